"""The collection spec: a collection with nested vector fields, declared in YAML.

```yaml
collection: papers
service: http://127.0.0.1:8080
fields:
  id:       {type: INT64, primary: true}
  abstract: {type: VARCHAR, max_length: 8192}
  year:     {type: INT32, nullable: true, default: 2000}
  about:    {type: VARCHAR, max_length: 8192, compose: "{abstract} ({year})"}
embeddings:
  - {field: abstract, encoder: minilm, dims: [64, 384]}
  - {field: abstract, encoder: minilm, dims: [128], index: HNSW, metric: IP, params: {M: 16}}
  - {field: abstract, encoder: minilm, dims: [64], exit: 3, form: int8}
  - {field: abstract, encoder: minilm, dims: [32], name: short}
  - {field: abstract, encoder: minilm, dims: [64], expert: biomed}
  - {field: abstract, encoder: splade, form: sparse, top: 64}
lexical:
  - {field: abstract}
vectors:
  - {name: photo, dim: 512, metric: L2}
```

Every embedding gives one vector field per dim, ``{field}_{dim}``, with ``_{expert}``, ``_exit{exit}`` and
``_{form}`` behind it where those are chosen; with one dim it may have a ``name`` of its own. A sparse one,
whose dims are the encoder's vocabulary, gives the field ``{field}_sparse``, with ``_top{top}`` where only
the largest weights are kept, which ``nestvec ingest`` and SQL fill. A lexical gives a sparse field,
``{field}_bm25``, which Milvus fills from the field's words; a vector is filled by whoever writes the rows.
A field with ``compose`` is filled from the row's other values where a row does not bring it
(``nestvec_schemas.spec.compose``). The limits are Milvus's own (``milvus.yaml``: proxy.maxFieldNum,
maxVectorFieldNum, maxDimension, maxNameLength).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr

from nestvec_schemas.embedding_config import EmbeddingConfig, Form
from nestvec_schemas.manifest import ENCODER_NAME, EXPERT_NAME

DEFAULT_MAX_VECTOR_FIELDS: Final = 4
"""How many vector fields Milvus takes in a collection, unless proxy.maxVectorFieldNum says otherwise."""

FieldType = Literal["BOOL", "INT8", "INT16", "INT32", "INT64", "FLOAT", "DOUBLE", "VARCHAR", "JSON", "ARRAY"]
IndexType = Literal[
    "AUTOINDEX", "FLAT", "HNSW", "HNSW_SQ", "HNSW_PQ", "HNSW_PRQ", "IVF_FLAT", "IVF_SQ8", "IVF_PQ",
    "IVF_RABITQ", "SCANN", "DISKANN", "GPU_BRUTE_FORCE", "GPU_CAGRA", "GPU_IVF_FLAT", "GPU_IVF_PQ",
    "BIN_FLAT", "BIN_IVF_FLAT", "SPARSE_INVERTED_INDEX",
]  # fmt: skip
Metric = Literal["COSINE", "IP", "L2", "HAMMING"]
DefaultValue = StrictBool | StrictInt | float | StrictStr | None


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class FieldSpec(_Record):
    """A scalar field. ``element_type`` and ``max_capacity`` are an ARRAY's; ``max_length`` is in bytes.

    ``compose`` is the template that a VARCHAR is filled by, or ``flatten``.
    """

    type: FieldType
    primary: StrictBool = False
    auto_id: StrictBool = False
    nullable: StrictBool = False
    partition_key: StrictBool = False
    default: DefaultValue = None
    max_length: Annotated[StrictInt, Field(ge=1, le=65_535)] | None = None
    element_type: FieldType | None = None
    max_capacity: Annotated[StrictInt, Field(ge=1, le=4_096)] | None = None
    description: StrictStr = ""
    compose: Annotated[StrictStr, Field(max_length=4_096)] | None = None


def column_name(source: str, config: EmbeddingConfig) -> str:
    """The name of a vector field: ``abstract_64``, ``abstract_64_exit3``, ``abstract_64_biomed_int8``,
    ``abstract_sparse``, ``abstract_sparse_top64``."""
    if config.form == "sparse":
        return f"{source}_sparse{_suffix('top', config.top)}"
    # Milvus takes no hyphen in a name.
    expert = None if config.expert is None else config.expert.replace("-", "_")
    form = None if config.form == "float" else config.form
    return f"{source}_{config.dim}{_suffix('', expert)}{_suffix('exit', config.exit)}{_suffix('', form)}"


def _suffix(label: str, value: object) -> str:
    return "" if value is None else f"_{label}{value}"


def default_index(form: Form) -> IndexType:
    """The index of a vector field that names none."""
    return _FORM_DEFAULTS.get(form, _FLOAT_DEFAULTS)[0]


def default_metric(form: Form) -> Metric:
    """The metric of a vector field that names none."""
    return _FORM_DEFAULTS.get(form, _FLOAT_DEFAULTS)[1]


_FLOAT_DEFAULTS: Final[tuple[IndexType, Metric]] = ("AUTOINDEX", "COSINE")
_FORM_DEFAULTS: Final[dict[Form, tuple[IndexType, Metric]]] = {
    "binary": ("BIN_FLAT", "HAMMING"),
    "sparse": ("SPARSE_INVERTED_INDEX", "IP"),
}


def _default_index_of(data: Mapping[str, Any]) -> IndexType:
    return default_index(data.get("form", "float"))


def _default_metric_of(data: Mapping[str, Any]) -> Metric:
    return default_metric(data.get("form", "float"))


class EmbeddingSpec(_Record):
    """A vector field per dim (``column_name``), filled by the encoder at ``service`` from ``field``.

    ``exit`` is the layer that a pass stops after, None for the deepest; ``expert`` whose weights of the
    encoder are used, None for its own. ``index`` and ``metric`` without
    a word of the spec are ``default_index`` and ``default_metric`` of ``form``. ``name`` is for one dim.
    ``dims`` are none where ``form`` is sparse: those are the words of the encoder's vocabulary, of which
    ``top`` keeps so many of the largest weights of a text, None all.
    """

    field: StrictStr
    encoder: Annotated[StrictStr, Field(pattern=f"^{ENCODER_NAME.pattern}$")]
    dims: Annotated[tuple[Annotated[StrictInt, Field(ge=2, le=32_768)], ...], Field(min_length=1)] = ()
    exit: Annotated[StrictInt, Field(ge=1, le=1_000)] | None = None
    expert: Annotated[StrictStr, Field(pattern=f"^{EXPERT_NAME.pattern}$")] | None = None
    form: Form = "float"
    top: Annotated[StrictInt, Field(ge=1, le=1_000_000)] | None = None
    service: StrictStr | None = None
    name: StrictStr | None = None
    index: IndexType = Field(default_factory=_default_index_of)
    metric: Metric = Field(default_factory=_default_metric_of)
    params: dict[StrictStr, StrictBool | StrictInt | float | StrictStr] = {}

    @property
    def configs(self) -> tuple[EmbeddingConfig, ...]:
        """How each vector field is embedded, one per dim; a sparse one has no dim."""
        names = {field.name for field in fields(EmbeddingConfig)} & set(type(self).model_fields)
        config = EmbeddingConfig(**{name: getattr(self, name) for name in names})
        return (config,) if self.form == "sparse" else tuple(replace(config, dim=dim) for dim in self.dims)

    def column(self, config: EmbeddingConfig) -> str:
        """The name of the vector field that is embedded so."""
        return self.name or column_name(self.field, config)


class LexicalSpec(_Record):
    """A sparse vector field that Milvus fills from the words of ``field``, for BM25.

    ``k1`` is how soon more of a word counts no more, ``b`` how much a long text is held against it.
    """

    field: StrictStr
    name: StrictStr | None = None
    k1: Annotated[float, Field(ge=0, le=3)] | None = None
    b: Annotated[float, Field(ge=0, le=1)] | None = None

    @property
    def column(self) -> str:
        """The name of the sparse field."""
        return self.name or f"{self.field}_bm25"


class VectorSpec(_Record):
    """A vector field of float32 that rows bring with them."""

    name: StrictStr
    dim: Annotated[StrictInt, Field(ge=2, le=32_768)]
    index: IndexType = "AUTOINDEX"
    metric: Metric = "COSINE"
    params: dict[StrictStr, StrictBool | StrictInt | float | StrictStr] = {}


class CollectionSpec(_Record):
    """A collection. ``service`` is the default of embeddings that name none.

    ``max_vector_fields`` is what the server's proxy.maxVectorFieldNum allows.
    """

    collection: StrictStr
    description: StrictStr = ""
    service: StrictStr | None = None
    dynamic: StrictBool = False
    max_vector_fields: Annotated[StrictInt, Field(ge=1, le=10)] = DEFAULT_MAX_VECTOR_FIELDS
    fields: Annotated[dict[StrictStr, FieldSpec], Field(min_length=1)]
    embeddings: tuple[EmbeddingSpec, ...] = ()
    lexical: tuple[LexicalSpec, ...] = ()
    vectors: tuple[VectorSpec, ...] = ()

    def service_of(self, embedding: EmbeddingSpec) -> str:
        """The service that fills an embedding's vector fields."""
        return embedding.service or self.service or ""

    @property
    def services(self) -> tuple[str, ...]:
        """Every service that the embeddings name, each once."""
        return tuple(dict.fromkeys(self.service_of(embedding) for embedding in self.embeddings))
