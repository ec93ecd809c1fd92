"""A collection as Milvus describes it: columns, embeddings, metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

from pymilvus import DataType, FunctionType, MilvusClient

from nestvec.milvus.column_properties import HIDDEN_VALUE, hidden_fields, read_defaults, read_templates
from nestvec.milvus.fingerprints import (
    RecordedFingerprint,
    RecordedUpgrade,
    read_fingerprint,
    read_upgrade,
)
from nestvec.milvus.indexes import drop_ratio_property, index_property
from nestvec.milvus.providers import Endpoint, find_provider, note_property, read_note, read_params
from nestvec.milvus.steps import Steps, call, drive
from nestvec.sqltypes.kinds import VECTORS_WITH_OWN_VALUES, is_mapped, type_property
from nestvec_schemas.embedding_config import CLIENT_SIDE_FORMS, VECTOR_FORMS, EmbeddingConfig, Form
from nestvec_schemas.errors import CollectionNotFound, nearest
from nestvec_schemas.model_name import format_model_name
from nestvec_schemas.spec.compose import Template
from nestvec_schemas.spec.problem import TEXT_TYPES

LOCKS_COLLECTION: Final = "nestvec_locks"
"""Where statements of SQL claim a collection that they change; no table of the user."""

_EXACT_INDEXES: Final = ("FLAT", "AUTOINDEX", "BIN_FLAT", "SPARSE_INVERTED_INDEX", "")
"""Indexes that a vector column has without CREATE INDEX: Milvus cannot do without."""


@dataclass(frozen=True)
class TypeParams:
    """The parameters of a column's type."""

    max_length: int | None = None
    """Bytes of a VARCHAR, or of the VARCHARs in an ARRAY."""

    dim: int | None = None
    """Length of a vector; None for a sparse one."""
    element_type: str | None = None
    """Of an ARRAY."""
    max_capacity: int | None = None
    """Elements of an ARRAY."""

    analyzed: bool = False
    """Whether text match works on it."""

    sql_type: str = ""
    """The SQL type that this type stores by a mapping, ``date`` or ``numeric(10,2)``; empty for Milvus's."""


_NO_PARAMS: Final = TypeParams()


@dataclass(frozen=True)
class Column:
    """One field of a collection."""

    name: str

    type: str
    """Milvus's name for its type: ``INT64``, ``VARCHAR``, ``FLOAT_VECTOR``, …"""

    type_params: TypeParams = _NO_PARAMS
    primary: bool = False
    auto_id: bool = False
    nullable: bool = False
    has_default: bool = False
    partition_key: bool = False
    description: str = ""
    default: bool | int | float | str | None = None
    """What Milvus stores if a row has no value; None for NULL."""

    @property
    def max_length(self) -> int | None:
        """Bytes of a VARCHAR, or of the VARCHARs in an ARRAY."""
        return self.type_params.max_length

    @property
    def dim(self) -> int | None:
        """Length of a vector; None for a sparse one."""
        return self.type_params.dim

    @property
    def is_vector(self) -> bool:
        return self.type.endswith("_VECTOR")


DYNAMIC_COLUMN: Final = Column("$meta", "JSON", nullable=True)
"""Where Milvus keeps the fields of a row that are not columns, in a collection that allows them."""


@dataclass(frozen=True)
class EmbeddingColumn:
    """A vector column that is embedded from a column of texts or of images' addresses."""

    source: str
    """The column that is embedded."""

    column: str
    """The vector column."""

    endpoint: Endpoint
    """Who calls which service for the vectors: Milvus or, where no Function fills this form, nestvec. Its
    config has the fingerprint that the collection's properties record, if they record one."""

    recorded: RecordedFingerprint | None = field(default=None, compare=False)
    """The encoder that made the vectors, by the collection's properties; None if they do not say it."""

    pinned: str | None = field(default=None, compare=False)
    """The fingerprint in the Function's params, without which Milvus's own requests are not compared."""

    upgrade: RecordedUpgrade | None = None
    """The upgrade of its encoder that has begun; None if none has."""

    @property
    def config(self) -> EmbeddingConfig:
        """How the vectors are made; ``dim`` is None for a sparse column."""
        return self.endpoint.config

    @property
    def made_by(self) -> RecordedFingerprint | None:
        """The encoder that made the vectors, by the collection's properties or else the Function's params;
        None if neither says it."""
        fingerprint = self.config.fingerprint
        if self.recorded is not None or fingerprint is None:
            return self.recorded
        return RecordedFingerprint(fingerprint=fingerprint)

    @property
    def is_guarded(self) -> bool:
        """Whether every request for its vectors names the fingerprint that is recorded, so that the service
        compares them: a Function that was created before it was recorded does not."""
        recorded = self.config.fingerprint
        return recorded is None or self.caller_is_nestvec or self.pinned == recorded

    @property
    def caller_is_nestvec(self) -> bool:
        """Whether nestvec requests the vectors, which no Function fills."""
        return self.endpoint.caller == "nestvec"

    @property
    def query_bridge(self) -> str | None:
        """The bridge by which nestvec embeds queries, as Milvus's Function calls the encoder of before; None
        if both call the same."""
        bridge = None if self.upgrade is None else self.upgrade.bridge
        return None if bridge == self.config.encoder else bridge

    @property
    def dim(self) -> int:
        """Length of the vectors; 0 for a sparse column."""
        return self.config.dim or 0

    @property
    def service(self) -> str:
        """Base URL of the service that embeds."""
        return self.endpoint.service

    @property
    def encoder_name(self) -> str:
        """The encoder, with its expert and prompts: ``minilm@biomed?prompt=clustering``."""
        return format_model_name(replace(self.config, exit=None))


@dataclass(frozen=True)
class LexicalColumn:
    """A sparse column that Milvus fills from the words of the ``source`` column, for BM25."""

    source: str
    column: str


@dataclass(frozen=True)
class Table:
    """A collection, as Milvus describes it."""

    name: str
    columns: tuple[Column, ...]
    embeddings: tuple[EmbeddingColumn, ...] = ()
    lexical: tuple[LexicalColumn, ...] = ()

    metrics: Mapping[str, str] = field(default_factory=dict)
    """The metric of each indexed vector column: ``COSINE``, ``IP``, ``L2``."""

    dynamic: bool = False
    """Whether rows may have fields that are not columns."""

    description: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)

    indexes: Mapping[str, str] = field(default_factory=dict)
    """The type of each column's index."""

    generated: Mapping[str, str] = field(default_factory=dict)
    """The columns that Functions or ``nestvec ingest`` fill, each with its source column."""

    def column(self, name: str) -> Column | None:
        """The column of this name, or None."""
        return self._named.get(name)

    @cached_property
    def _named(self) -> Mapping[str, Column]:
        return {column.name: column for column in self.columns}

    @cached_property
    def composed(self) -> Mapping[str, Template]:
        """The columns that are composed of others as rows are written, each after those that it depends
        on."""
        return read_templates(
            (column.name for column in self.columns if column.type in TEXT_TYPES), self.properties
        )

    @cached_property
    def default_expressions(self) -> Mapping[str, str]:
        """The defaults that Milvus cannot hold, as SQL, by column: nestvec evaluates them as it writes."""
        return read_defaults((column.name for column in self.columns), self.properties)

    @cached_property
    def index_names(self) -> Mapping[str, str]:
        """The names of the indexes that CREATE INDEX made, by column; Milvus has others of vectors."""
        named = {name: self.properties.get(index_property(name)) for name in self.indexes}
        return {
            name: chosen or name
            for name, chosen in named.items()
            if chosen or self.indexes[name] not in _EXACT_INDEXES
        }

    @cached_property
    def mapped(self) -> Mapping[str, Column]:
        """The columns whose values are stored by a mapping of their SQL type."""
        return {column.name: column for column in self.columns if is_mapped(column.type_params.sql_type)}

    @cached_property
    def hidden(self) -> Mapping[str, list[float]]:
        """The value of the field that stands for a vector in each row of a table without vectors."""
        names = hidden_fields({*self._named, *self.indexes}) - self._named.keys()
        return {name: list(HIDDEN_VALUE) for name in names}

    def embedding(self, column: str) -> EmbeddingColumn | None:
        """The vector column of this name, or None if the application fills it."""
        return next((embedding for embedding in self.embeddings if embedding.column == column), None)

    @property
    def primary(self) -> Column:
        """The primary key."""
        return next(column for column in self.columns if column.primary)

    @property
    def services(self) -> tuple[str, ...]:
        """The distinct base URLs of the services that embed."""
        return tuple(dict.fromkeys(embedding.service for embedding in self.embeddings))


def read_table(client: MilvusClient, name: str) -> Table:
    """Read one collection. Raises CollectionNotFound with the nearest name, StoreError."""
    return drive(client, table_steps(name))


def table_steps(name: str) -> Steps[Table]:
    """``read_table`` as steps. An alias is read as its collection."""
    doing = f"reading collection {name}"
    if not (yield call(doing, "has_collection", name)):
        others = sorted(set((yield call(doing, "list_collections"))) - {LOCKS_COLLECTION})
        available = f"Available: {', '.join(others)}." if others else "The database is empty."
        raise CollectionNotFound(
            "there is no collection of this name",
            value=name,
            next_step=f"{available}{nearest(name, others)} Create one with nestvec collection create.",
        )
    described: dict[str, Any] = yield call(doing, "describe_collection", name)
    metrics, indexes, names = {}, {}, dict[str, str]()
    for index in (yield call(doing, "list_indexes", name)):
        index_info = yield call(doing, "describe_index", name, index)
        indexes[index_info["field_name"]] = str(index_info.get("index_type", ""))
        if float(index_info.get("drop_ratio_build") or 0) > 0:
            names[drop_ratio_property(index_info["field_name"])] = str(index_info["drop_ratio_build"])
        if index != index_info["field_name"]:
            names[index_property(index_info["field_name"])] = str(index)
        if index_info.get("metric_type") not in (None, "", "NONE"):
            metrics[index_info["field_name"]] = str(index_info["metric_type"])
    embeddings = tuple(described_embeddings(described))
    properties = names | dict(described.get("properties") or {})
    return Table(
        name=str(described.get("collection_name") or name),
        columns=described_columns(described, properties),
        embeddings=embeddings,
        lexical=tuple(
            LexicalColumn(function["input_field_names"][0], function["output_field_names"][0])
            for function in described.get("functions", [])
            if function["type"] == FunctionType.BM25
        ),
        metrics=metrics,
        dynamic=bool(described.get("enable_dynamic_field")),
        description=described.get("description", ""),
        properties=properties,
        indexes=indexes,
        generated={embedding.column: embedding.source for embedding in embeddings}
        | _function_outputs(described),
    )


def _function_outputs(described: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: function["input_field_names"][0]
        for function in described.get("functions", [])
        for name in function["output_field_names"]
    }


def described_columns(described: Mapping[str, Any], properties: Mapping[str, Any]) -> tuple[Column, ...]:
    """The columns of a collection as Milvus describes it, without the field that stands for a vector."""
    fields = {field["name"]: field for field in described["fields"]}
    hidden = hidden_fields(fields)
    return tuple(_read_column(fields[name], properties) for name in fields if name not in hidden)


def _read_column(described: Mapping[str, Any], properties: Mapping[str, Any]) -> Column:
    params = described.get("params", {})
    element = described.get("element_type")
    return Column(
        name=described["name"],
        type=DataType(described["type"]).name,
        primary=bool(described.get("is_primary")),
        auto_id=bool(described.get("auto_id")),
        nullable=bool(described.get("nullable")),
        has_default=described.get("default_value") is not None,
        partition_key=bool(described.get("is_partition_key")),
        description=str(described.get("description") or ""),
        default=_default_value(described.get("default_value")),
        type_params=TypeParams(
            max_length=int(params["max_length"]) if "max_length" in params else None,
            dim=int(params["dim"]) if "dim" in params else None,
            element_type=DataType(element).name if element else None,
            max_capacity=int(params["max_capacity"]) if "max_capacity" in params else None,
            analyzed=str(params.get("enable_match", "")).lower() == "true",
            sql_type=str(properties.get(type_property(described["name"]), "")) or _sql_type(described),
        ),
    )


def _sql_type(described: Mapping[str, Any]) -> str:
    """The SQL type of vectors whose values in Python differ from those in Milvus, whoever created them."""
    name = _VALUE_TYPES.get(DataType(described["type"]))
    return f"{name}({described['params']['dim']})" if name is not None else ""


_VALUE_TYPES: Final = {DataType[stored]: kind for kind, stored in VECTORS_WITH_OWN_VALUES.items()}


def _default_value(value: Any) -> bool | int | float | str | None:
    """The default value in Milvus's message, where its key is the name of its type."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    kind = value.WhichOneof("data") if hasattr(value, "WhichOneof") else None
    value_of_kind = getattr(value, kind) if kind else None
    return value_of_kind if isinstance(value_of_kind, (bool, int, float, str)) else None


def described_embeddings(described: Mapping[str, Any]) -> Iterator[EmbeddingColumn]:
    """The vector columns that a service fills, of a collection as Milvus describes it."""
    functions = {
        function["output_field_names"][0]: function
        for function in described.get("functions", [])
        if function["type"] == FunctionType.TEXTEMBEDDING
    }
    properties = described.get("properties") or {}
    for described_field in described["fields"]:
        column = _read_column(described_field, properties)
        if column.type not in VECTOR_FORMS:
            continue
        form = VECTOR_FORMS[column.type]
        note = str(properties.get(note_property(column.name)) or described_field.get("description", ""))
        filled = _read_endpoint(form, functions.get(column.name), note)
        if filled is not None:
            source, endpoint = filled
            pinned = endpoint.config.fingerprint
            recorded = read_fingerprint(properties, column.name)
            fingerprint = pinned if recorded is None else recorded.fingerprint
            config = replace(endpoint.config, dim=column.dim, form=form, fingerprint=fingerprint)
            upgrade = read_upgrade(properties, column.name)
            endpoint = replace(endpoint, config=config)
            yield EmbeddingColumn(
                source, column.name, endpoint, recorded=recorded, pinned=pinned, upgrade=upgrade
            )


def _read_endpoint(form: Form, function: Mapping[str, Any] | None, note: str) -> tuple[str, Endpoint] | None:
    """A vector column's source and who fills it; None if no nestvec service does."""
    if function is None:
        return read_note(note, "nestvec") if form in CLIENT_SIDE_FORMS else None
    provider = find_provider(str(function["params"].get("provider", "")))
    if provider is not None and not provider.has_own_address:
        return read_note(note, provider.name)
    endpoint = read_params(function["params"])
    return None if endpoint is None else (function["input_field_names"][0], endpoint)
