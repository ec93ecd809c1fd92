"""What a collection is, read back from Milvus: columns, embeddings, metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from pymilvus import DataType, FunctionType, MilvusClient

from nestvec.milvus.composed_columns import templates
from nestvec.milvus.providers import Endpoint, note_property, read_note, read_params
from nestvec.milvus.steps import Steps, call, drive
from nestvec_schemas.errors import CollectionNotFound, nearest
from nestvec_schemas.model_name import named
from nestvec_schemas.spec.collection_spec import FILLED_HERE, VECTOR_TYPES, Form
from nestvec_schemas.spec.compose import Template


@dataclass(frozen=True)
class Column:
    """One field. ``type`` is Milvus's own name for it (``INT64``, ``VARCHAR``, ``FLOAT_VECTOR``, …).

    ``element_type`` and ``max_capacity`` are an ARRAY's; ``analyzed`` says that text match works on it.
    ``default`` is what Milvus stores where a row brings nothing, or NULL.
    """

    name: str
    type: str
    primary: bool = False
    auto_id: bool = False
    nullable: bool = False
    has_default: bool = False
    partition_key: bool = False
    max_length: int | None = None
    dim: int | None = None
    element_type: str | None = None
    max_capacity: int | None = None
    analyzed: bool = False
    description: str = ""
    default: bool | int | float | str | None = None

    @property
    def is_vector(self) -> bool:
        return self.type.endswith("_VECTOR")


DYNAMIC: Final = Column("$meta", "JSON", nullable=True)
"""Where Milvus keeps the fields of a row that are no columns, in a collection that takes such."""


@dataclass(frozen=True)
class Embedding:
    """A vector column made of the ``source`` column by a service, which Milvus asks.

    Where ``form`` is one of FILLED_HERE, no function of Milvus can: ``nestvec ingest`` asks as it writes the
    rows. ``dim`` is 0 of a sparse one: its dims are words.
    """

    source: str
    column: str
    dim: int
    endpoint: Endpoint
    form: Form = "float"

    @property
    def exit(self) -> int | None:
        """The layer that the encoder stops after; None for the deepest."""
        return self.endpoint.exit

    @property
    def expert(self) -> str | None:
        """The expert whose weights are used; None for the encoder's own."""
        return self.endpoint.expert

    @property
    def top(self) -> int | None:
        """How many of a text's largest weights a sparse column keeps; None for all."""
        return self.endpoint.top

    @property
    def maker(self) -> str:
        """The encoder, with its expert: ``minilm@biomed``."""
        return named(self.endpoint.encoder, None, self.expert)


@dataclass(frozen=True)
class Lexical:
    """A sparse column that Milvus fills from the words of the ``source`` column, for BM25."""

    source: str
    column: str


@dataclass(frozen=True)
class Table:
    """A collection. ``metrics`` maps an indexed vector column to its metric (``COSINE``, ``IP``, ``L2``).

    ``indexes`` maps any indexed column to the type of its index; ``generated`` are the columns that functions
    or ``nestvec ingest`` fill, each with the column that it is made of.
    """

    name: str
    columns: tuple[Column, ...]
    embeddings: tuple[Embedding, ...] = ()
    lexical: tuple[Lexical, ...] = ()
    metrics: Mapping[str, str] = field(default_factory=dict)
    dynamic: bool = False
    description: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)
    indexes: Mapping[str, str] = field(default_factory=dict)
    generated: Mapping[str, str] = field(default_factory=dict)

    def column(self, name: str) -> Column | None:
        """The column of this name, or None."""
        return self._named.get(name)

    @cached_property
    def _named(self) -> Mapping[str, Column]:
        return {column.name: column for column in self.columns}

    @cached_property
    def composed(self) -> Mapping[str, Template]:
        """The columns that are composed of others as rows are written, each after those that it needs."""
        return templates((one.name for one in self.columns if one.type == "VARCHAR"), self.properties)

    def embedding(self, column: str) -> Embedding | None:
        """How the vector column of this name is filled, or None where the application fills it."""
        return next((one for one in self.embeddings if one.column == column), None)

    @property
    def primary(self) -> Column:
        """The primary key."""
        return next(column for column in self.columns if column.primary)

    @property
    def services(self) -> tuple[str, ...]:
        """The base URLs of the services that the table's embeddings call, each once."""
        return tuple(dict.fromkeys(one.endpoint.service for one in self.embeddings))


def read_table(client: MilvusClient, name: str) -> Table:
    """Read one collection. Raises CollectionNotFound with the nearest name, StoreError."""
    return drive(client, table_steps(name))


def table_steps(name: str) -> Steps[Table]:
    """The same as steps. An alias is read as the collection that it stands for."""
    doing = f"reading collection {name}"
    if not (yield call(doing, "has_collection", name)):
        names = yield call(doing, "list_collections")
        there = f"There: {', '.join(sorted(names))}." if names else "The database is empty."
        raise CollectionNotFound(
            "no collection of this name",
            value=name,
            next_step=f"{there}{nearest(name, names)} Create one with nestvec collection create.",
        )
    described: dict[str, Any] = yield call(doing, "describe_collection", name)
    metrics, indexes = {}, {}
    for index in (yield call(doing, "list_indexes", name)):
        about = yield call(doing, "describe_index", name, index)
        indexes[about["field_name"]] = str(about.get("index_type", ""))
        if about.get("metric_type") not in (None, "", "NONE"):
            metrics[about["field_name"]] = str(about["metric_type"])
    embeddings = tuple(_embeddings(described))
    return Table(
        name=str(described.get("collection_name") or name),
        columns=tuple(_column(one) for one in described["fields"]),
        embeddings=embeddings,
        lexical=tuple(
            Lexical(one["input_field_names"][0], one["output_field_names"][0])
            for one in described.get("functions", [])
            if one["type"] == FunctionType.BM25
        ),
        metrics=metrics,
        dynamic=bool(described.get("enable_dynamic_field")),
        description=described.get("description", ""),
        properties=dict(described.get("properties") or {}),
        indexes=indexes,
        generated={one.column: one.source for one in embeddings} | _made(described),
    )


def _made(described: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: one["input_field_names"][0]
        for one in described.get("functions", [])
        for name in one["output_field_names"]
    }


def _column(described: Mapping[str, Any]) -> Column:
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
        max_length=int(params["max_length"]) if "max_length" in params else None,
        dim=int(params["dim"]) if "dim" in params else None,
        element_type=DataType(element).name if element else None,
        max_capacity=int(params["max_capacity"]) if "max_capacity" in params else None,
        analyzed=str(params.get("enable_match", "")).lower() == "true",
        description=str(described.get("description") or ""),
        default=_default(described.get("default_value")),
    )


def _default(value: Any) -> bool | int | float | str | None:
    """A default out of Milvus's message, which holds it under the name of its type."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    kind = value.WhichOneof("data") if hasattr(value, "WhichOneof") else None
    found = getattr(value, kind) if kind else None
    return found if isinstance(found, (bool, int, float, str)) else None


_FORMS = {type_: form for form, type_ in VECTOR_TYPES.items()}


def _embeddings(described: Mapping[str, Any]) -> Iterator[Embedding]:
    functions = {
        one["output_field_names"][0]: one
        for one in described.get("functions", [])
        if one["type"] == FunctionType.TEXTEMBEDDING
    }
    properties = described.get("properties") or {}
    for one in described["fields"]:
        column = _column(one)
        note = str(properties.get(note_property(column.name)) or one.get("description", ""))
        filled = _filled(column, functions.get(column.name), note)
        if filled is not None:
            source, endpoint = filled
            yield Embedding(source, column.name, column.dim or 0, endpoint, _FORMS[column.type])


def _filled(column: Column, function: Mapping[str, Any] | None, note: str) -> tuple[str, Endpoint] | None:
    """A vector column's source and who fills it; None where no nestvec service does."""
    if column.type not in _FORMS:
        return None
    if function is None:
        return read_note(note, "nestvec") if _FORMS[column.type] in FILLED_HERE else None
    endpoint = read_params(function["params"])
    if endpoint is not None:
        return function["input_field_names"][0], endpoint
    return read_note(note, "cohere") if function["params"].get("provider") == "cohere" else None
