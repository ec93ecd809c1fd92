"""What a collection is, read back from Milvus: columns, embeddings, metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pymilvus import DataType, FunctionType, MilvusClient

from nestvec.milvus import milvus_errors
from nestvec.providers import Endpoint, read_note, read_params
from nestvec_schemas.errors import CollectionNotFound, nearest
from nestvec_schemas.spec import VECTOR_TYPES, Form


@dataclass(frozen=True)
class Column:
    """One field. ``type`` is Milvus's own name for it (``INT64``, ``VARCHAR``, ``FLOAT_VECTOR``, …)."""

    name: str
    type: str
    primary: bool = False
    auto_id: bool = False
    nullable: bool = False
    has_default: bool = False
    partition_key: bool = False
    max_length: int | None = None
    dim: int | None = None

    @property
    def is_vector(self) -> bool:
        return self.type.endswith("_VECTOR")


@dataclass(frozen=True)
class Embedding:
    """A vector column made of the ``source`` column by a service, which Milvus asks.

    Where ``form`` is ``binary``, no function of Milvus can: ``nestvec ingest`` asks as it writes the rows.
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


@dataclass(frozen=True)
class Table:
    """A collection. ``metrics`` maps an indexed vector column to its metric (``COSINE``, ``IP``, ``L2``)."""

    name: str
    columns: tuple[Column, ...]
    embeddings: tuple[Embedding, ...] = ()
    metrics: Mapping[str, str] = field(default_factory=dict)
    dynamic: bool = False
    description: str = ""

    def column(self, name: str) -> Column | None:
        """The column of this name, or None."""
        return next((column for column in self.columns if column.name == name), None)

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
    with milvus_errors(f"reading collection {name}"):
        if not client.has_collection(name):
            names = client.list_collections()
            there = f"There: {', '.join(sorted(names))}." if names else "The database is empty."
            raise CollectionNotFound(
                "no collection of this name",
                value=name,
                next_step=f"{there}{nearest(name, names)} Create one with nestvec collection create.",
            )
        described: dict[str, Any] = client.describe_collection(name)
        metrics = {}
        for index in client.list_indexes(name):
            about = client.describe_index(name, index)
            metrics[about["field_name"]] = str(about.get("metric_type", ""))
    return Table(
        name=name,
        columns=tuple(_column(one) for one in described["fields"]),
        embeddings=tuple(_embeddings(described)),
        metrics=metrics,
        dynamic=bool(described.get("enable_dynamic_field")),
        description=described.get("description", ""),
    )


def _column(described: Mapping[str, Any]) -> Column:
    params = described.get("params", {})
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
    )


_FORMS = {type_: form for form, type_ in VECTOR_TYPES.items()}


def _embeddings(described: Mapping[str, Any]) -> Iterator[Embedding]:
    functions = {
        one["output_field_names"][0]: one
        for one in described.get("functions", [])
        if one["type"] == FunctionType.TEXTEMBEDDING
    }
    for one in described["fields"]:
        column = _column(one)
        filled = _filled(column, functions.get(column.name), str(one.get("description", "")))
        if filled is not None:
            source, endpoint = filled
            yield Embedding(source, column.name, column.dim or 0, endpoint, _FORMS[column.type])


def _filled(column: Column, function: Mapping[str, Any] | None, note: str) -> tuple[str, Endpoint] | None:
    """A vector column's source and who fills it; None where no nestvec service does."""
    if column.type not in _FORMS:
        return None
    if function is None:
        return read_note(note, "nestvec") if column.type == VECTOR_TYPES["binary"] else None
    endpoint = read_params(function["params"])
    if endpoint is not None:
        return function["input_field_names"][0], endpoint
    return read_note(note, "cohere") if function["params"].get("provider") == "cohere" else None
