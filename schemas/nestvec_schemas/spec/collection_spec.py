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
  - {field: abstract, encoder: nomic, dims: [64], prompt: clustering}
  - {field: abstract, encoder: splade, form: sparse, top: 64}
lexical:
  - {field: abstract}
vectors:
  - {name: photo, dim: 512, metric: L2}
```

Every embedding declares one vector field per dim, ``{field}_{dim}``, followed by ``_{expert}``,
``_exit{exit}``, ``_{prompt}`` and ``_{form}`` if those are chosen; with one dim it may have a ``name`` of its
own. A sparse embedding, whose dims are the encoder's vocabulary, declares the field ``{field}_sparse``,
followed by ``_top{top}`` if only the largest weights are kept, which ``nestvec ingest`` and SQL fill. An
entry of ``lexical`` declares a sparse field, ``{field}_bm25``, which Milvus fills from the field's words; the
application fills those of ``vectors``. A field with ``compose`` is filled from the row's other values if
a row does not have it (``nestvec_schemas.spec.compose``). The limits are Milvus's own (``milvus.yaml``:
proxy.maxDimension, maxNameLength); how many fields it takes depends on its version, and is checked when the
collection is created.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr

from nestvec_schemas.embedding_config import EmbeddingConfig, Form
from nestvec_schemas.manifest import ENCODER_NAME, EXPERT_NAME

FieldType = Literal[
    "BOOL", "INT8", "INT16", "INT32", "INT64", "FLOAT", "DOUBLE", "VARCHAR", "TEXT", "JSON", "ARRAY",
]  # fmt: skip

IndexType = Literal[
    "AUTOINDEX", "FLAT", "HNSW", "HNSW_SQ", "HNSW_PQ", "HNSW_PRQ", "IVF_FLAT", "IVF_SQ8", "IVF_PQ",
    "IVF_RABITQ", "SCANN", "DISKANN", "GPU_BRUTE_FORCE", "GPU_CAGRA", "GPU_IVF_FLAT", "GPU_IVF_PQ",
    "BIN_FLAT", "BIN_IVF_FLAT", "SPARSE_INVERTED_INDEX",
]  # fmt: skip
Metric = Literal["COSINE", "IP", "L2", "HAMMING", "JACCARD"]
VectorType = Literal[
    "FLOAT_VECTOR", "FLOAT16_VECTOR", "BFLOAT16_VECTOR", "BINARY_VECTOR", "SPARSE_FLOAT_VECTOR",
]  # fmt: skip
DefaultValue = StrictBool | StrictInt | float | StrictStr | None


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class FieldSpec(_Record):
    """A scalar field."""

    type: FieldType
    primary: StrictBool = False
    auto_id: StrictBool = False
    nullable: StrictBool = False
    partition_key: StrictBool = False
    default: DefaultValue = None
    max_length: Annotated[StrictInt, Field(ge=1, le=65_535)] | None = None
    """Bytes of a VARCHAR, or of the VARCHARs in an ARRAY; of a TEXT, where Milvus wants it."""

    element_type: FieldType | None = None
    """Of an ARRAY."""

    max_capacity: Annotated[StrictInt, Field(ge=1, le=4_096)] | None = None
    """Elements of an ARRAY."""

    description: StrictStr = ""
    sql_type: Annotated[StrictStr, Field(max_length=64)] = ""
    """The SQL type that this type stores by a mapping, such as ``date``; empty for none."""

    compose: Annotated[StrictStr, Field(max_length=4_096)] | None = None
    """The template that fills a VARCHAR or TEXT, or ``flatten``."""


_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9_]+")


def column_name(source: str, config: EmbeddingConfig) -> str:
    """The name of a vector field: ``abstract_64``, ``abstract_64_exit3``, ``abstract_64_biomed_int8``,
    ``abstract_64_clustering``, ``abstract_sparse``, ``abstract_sparse_top64``."""
    prompts = f"{_suffix('', _word(config.prompt))}{_suffix('query_', _word(config.query_prompt))}"
    if config.form == "sparse":
        return f"{source}_sparse{prompts}{_suffix('top', config.top)}"
    expert, exit = _suffix("", _word(config.expert)), _suffix("exit", config.exit)
    form = None if config.form == "float" else config.form
    return f"{source}_{config.dim}{expert}{exit}{prompts}{_suffix('', form)}"


def _word(name: str | None) -> str | None:
    """The name of an expert or a prompt as Milvus allows it in a field's name; ``plain`` for no prompt."""
    return None if name is None else _NOT_IN_NAMES.sub("_", name) or "plain"


def _suffix(label: str, value: object) -> str:
    return "" if value is None else f"_{label}{value}"


def default_index(form: Form) -> IndexType:
    """The index of a vector field if the spec names none."""
    return _FORM_DEFAULTS.get(form, _FLOAT_DEFAULTS)[0]


def default_metric(form: Form) -> Metric:
    """The metric of a vector field if the spec names none."""
    return _FORM_DEFAULTS.get(form, _FLOAT_DEFAULTS)[1]


_FLOAT_DEFAULTS: Final[tuple[IndexType, Metric]] = ("AUTOINDEX", "COSINE")
_FORM_DEFAULTS: Final[dict[Form, tuple[IndexType, Metric]]] = {
    "binary": ("BIN_FLAT", "HAMMING"),
    "sparse": ("SPARSE_INVERTED_INDEX", "IP"),
}
_PLAIN_DEFAULTS: Final[dict[str, tuple[IndexType, Metric]]] = {
    "BINARY_VECTOR": _FORM_DEFAULTS["binary"],
    "SPARSE_FLOAT_VECTOR": _FORM_DEFAULTS["sparse"],
}


def _default_index_of(data: Mapping[str, Any]) -> IndexType:
    return default_index(data.get("form", "float"))


def _default_metric_of(data: Mapping[str, Any]) -> Metric:
    return default_metric(data.get("form", "float"))


class EmbeddingSpec(_Record):
    """A vector field per dim (``column_name``), filled by the encoder at ``service`` from ``field``."""

    field: StrictStr
    encoder: Annotated[StrictStr, Field(pattern=f"^{ENCODER_NAME.pattern}$")]
    dims: Annotated[tuple[Annotated[StrictInt, Field(ge=2, le=32_768)], ...], Field(min_length=1)] = ()
    """None if ``form`` is sparse: those are the words of the encoder's vocabulary."""

    exit: Annotated[StrictInt, Field(ge=1, le=1_000)] | None = None
    """Layer that the encoder stops after; None for the deepest."""

    expert: Annotated[StrictStr, Field(pattern=f"^{EXPERT_NAME.pattern}$")] | None = None
    """Expert whose weights are used; None for the encoder's own."""

    prompt: StrictStr | None = None
    """Name of the prompt before documents, and before queries unless ``query_prompt`` names another; None for
    the encoder's own of each."""

    query_prompt: StrictStr | None = None
    """Name of the prompt before queries."""

    form: Form = "float"
    top: Annotated[StrictInt, Field(ge=1, le=1_000_000)] | None = None
    """Number of largest weights that a sparse vector keeps; None for all."""

    service: StrictStr | None = None
    """None for the collection's."""

    provider: Literal["cohere", "voyageai"] | None = None
    """Which of Milvus's providers fills an int8 field; None for cohere."""

    name: StrictStr | None = None
    """Name of the vector field, where there is one dim."""

    index: IndexType = Field(default_factory=_default_index_of)
    metric: Metric = Field(default_factory=_default_metric_of)
    params: dict[StrictStr, StrictBool | StrictInt | float | StrictStr] = {}
    """Build parameters of the index."""

    @property
    def configs(self) -> tuple[EmbeddingConfig, ...]:
        """How each vector field is embedded, one per dim; a sparse one has no dim."""
        names = {field.name for field in fields(EmbeddingConfig)} & set(type(self).model_fields)
        config = EmbeddingConfig(**{name: getattr(self, name) for name in names})
        return (config,) if self.form == "sparse" else tuple(replace(config, dim=dim) for dim in self.dims)

    def column(self, config: EmbeddingConfig) -> str:
        """The name of the vector field with this config."""
        return self.name or column_name(self.field, config)


class LexicalSpec(_Record):
    """A sparse vector field that Milvus fills from the words of ``field``, for BM25."""

    field: StrictStr
    name: StrictStr | None = None
    analyzer: dict[StrictStr, Any] = {}
    """Milvus's ``analyzer_params``: how a text becomes words; empty for its default."""

    analyzers: dict[StrictStr, Any] = {}
    """Milvus's ``multi_analyzer_params``: an analyzer for each value of another field."""

    k1: Annotated[float, Field(ge=0, le=3)] | None = None
    """Saturation of a word's frequency."""

    b: Annotated[float, Field(ge=0, le=1)] | None = None
    """Normalisation by the text's length."""

    @property
    def column(self) -> str:
        """The name of the sparse field."""
        return self.name or f"{self.field}_bm25"


def _default_plain_index(data: Mapping[str, Any]) -> IndexType:
    return _PLAIN_DEFAULTS.get(data.get("type", ""), _FLOAT_DEFAULTS)[0]


def _default_plain_metric(data: Mapping[str, Any]) -> Metric:
    return _PLAIN_DEFAULTS.get(data.get("type", ""), _FLOAT_DEFAULTS)[1]


class VectorSpec(_Record):
    """A vector field that the rows contain."""

    name: StrictStr
    type: VectorType = "FLOAT_VECTOR"
    dim: Annotated[StrictInt, Field(ge=2, le=32_768)] | None = None
    """None if it is sparse."""

    sql_type: Annotated[StrictStr, Field(max_length=64)] = ""
    """The SQL type that this type stores by a mapping, such as ``bit(3)``; empty for none."""

    nullable: StrictBool = False
    """Whether a row may be without a vector; a hidden field of the collection records it."""

    index: IndexType = Field(default_factory=_default_plain_index)
    metric: Metric = Field(default_factory=_default_plain_metric)
    params: dict[StrictStr, StrictBool | StrictInt | float | StrictStr] = {}


class CollectionSpec(_Record):
    """A collection."""

    collection: StrictStr
    description: StrictStr = ""
    service: StrictStr | None = None
    """The service of the embeddings that name none."""

    dynamic: StrictBool = False
    """Whether rows may have fields that are not declared."""

    max_vector_fields: Annotated[StrictInt, Field(ge=1, le=10)] | None = None
    """The server's proxy.maxVectorFieldNum; None for the default of its version."""

    chunk: Annotated[StrictInt, Field(ge=1, le=65_536)] | None = None
    """Texts in each request of Milvus to a service; None for as many as its encoder embeds in time."""

    fields: Annotated[dict[StrictStr, FieldSpec], Field(min_length=1)]
    embeddings: tuple[EmbeddingSpec, ...] = ()
    lexical: tuple[LexicalSpec, ...] = ()
    vectors: tuple[VectorSpec, ...] = ()

    def service_of(self, embedding: EmbeddingSpec) -> str:
        """The service that fills an embedding's vector fields."""
        return embedding.service or self.service or ""

    @property
    def services(self) -> tuple[str, ...]:
        """The distinct services of the embeddings."""
        return tuple(dict.fromkeys(self.service_of(embedding) for embedding in self.embeddings))
