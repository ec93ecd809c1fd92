"""A collection as Milvus describes it: columns, embeddings, metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from pymilvus import FunctionType, MilvusClient

from nestvec.milvus.catalog.column_properties import (
    HIDDEN_VALUE,
    ROW_ID_FIELD,
    hidden_fields,
    read_defaults,
    read_templates,
)
from nestvec.milvus.catalog.columns import ROW_ID, Column, described_columns
from nestvec.milvus.catalog.embedding_columns import EmbeddingColumn, described_embeddings
from nestvec.milvus.indexes import drop_ratio_property, index_property
from nestvec.milvus.null_vectors.names import nulls_property
from nestvec.milvus.steps import Steps, call, drive
from nestvec.sqltypes.kinds import is_mapped
from nestvec_schemas.errors import CollectionNotFound, nearest
from nestvec_schemas.spec.compose import Template
from nestvec_schemas.spec.problem import TEXT_TYPES

LOCKS_COLLECTION: Final = "nestvec_locks"
"""Where statements of SQL claim a collection that they change; no table of the user."""

_EXACT_INDEXES: Final = ("FLAT", "AUTOINDEX", "BIN_FLAT", "SPARSE_INVERTED_INDEX", "")
"""Indexes that a vector column has without CREATE INDEX: Milvus cannot do without."""


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
        """The column of this name, or None; the key, too, if it is hidden."""
        return ROW_ID if name == ROW_ID_FIELD and self.has_row_id else self._named.get(name)

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
    def null_flags(self) -> Mapping[str, str]:
        """The hidden field of each vector column that is, or was, NULL in some row."""
        return {
            column.name: column.type_params.null_flag
            for column in self.columns
            if column.type_params.null_flag and self.properties.get(nulls_property(column.name))
        }

    @cached_property
    def hidden(self) -> Mapping[str, list[float]]:
        """The value of the field that stands for a vector in each row of a table without vectors."""
        names = hidden_fields({*self._named, *self.indexes}) - self._named.keys() - {ROW_ID_FIELD}
        return {name: list(HIDDEN_VALUE) for name in names}

    def embedding(self, column: str) -> EmbeddingColumn | None:
        """The vector column of this name, or None if the application fills it."""
        return next((embedding for embedding in self.embeddings if embedding.column == column), None)

    @property
    def primary(self) -> Column:
        """The primary key, or the hidden field that is the key in Milvus."""
        return next((column for column in self.columns if column.primary), ROW_ID)

    @cached_property
    def has_row_id(self) -> bool:
        """Whether the table has no primary key: Milvus's key is hidden."""
        return bool(self.columns) and self.primary is ROW_ID

    @cached_property
    def field_names(self) -> frozenset[str]:
        """The names in rows that are no dynamic fields."""
        return frozenset({*self._named, self.primary.name, *self.hidden})

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
