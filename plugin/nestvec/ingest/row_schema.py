"""What a row of a collection may hold, beyond the catalog: arrays, and what functions fill and read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pymilvus import DataType, FunctionType, MilvusClient

from nestvec.datasets.readers import CellTypes
from nestvec.milvus.catalog import Column, Table
from nestvec.milvus.connection import milvus_errors
from nestvec_schemas.errors import IngestError, nearest


@dataclass(frozen=True)
class ArrayType:
    """An ARRAY column: its elements' type, how many, and the bytes of a VARCHAR element."""

    element: str
    capacity: int | None = None
    max_length: int | None = None


@dataclass(frozen=True)
class Shape:
    """A table as rows see it: ``filled`` columns are made from ``sources``, by a function or by ingest."""

    table: Table
    columns: Mapping[str, Column]
    filled: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()
    arrays: Mapping[str, ArrayType] = field(default_factory=dict)
    cells: CellTypes = field(default_factory=CellTypes)

    @property
    def given(self) -> tuple[Column, ...]:
        """The columns that a row brings: neither filled by a function nor a key that Milvus makes."""
        auto = {one.name for one in self.columns.values() if one.auto_id}
        return tuple(one for name, one in self.columns.items() if name not in self.filled | auto)


def read_shape(client: MilvusClient, table: Table, cells: CellTypes) -> Shape:
    """What rows of ``table`` may hold, given as ``cells``. Raises StoreError."""
    with milvus_errors(f"reading collection {table.name}"):
        described: dict[str, Any] = client.describe_collection(table.name)
    return shape_of(table, described, cells)


def shape_of(table: Table, described: Mapping[str, Any], cells: CellTypes) -> Shape:
    """The shape of ``table`` from what Milvus's describe_collection says of it."""
    functions = described.get("functions", [])
    embedding = [one for one in functions if one["type"] == FunctionType.TEXTEMBEDDING]
    arrays = {}
    for one in described["fields"]:
        if one["type"] == DataType.ARRAY:
            params = one.get("params", {})
            element = DataType(one["element_type"]).name
            arrays[one["name"]] = ArrayType(element, *(_number(params, key) for key in _ARRAY_PARAMS))
    return Shape(
        table=table,
        columns={one.name: one for one in table.columns},
        filled=frozenset(name for one in functions for name in one["output_field_names"])
        | frozenset(one.column for one in table.embeddings),
        sources=frozenset(name for one in embedding for name in one["input_field_names"])
        | frozenset(one.source for one in table.embeddings),
        arrays=arrays,
        cells=cells,
    )


def table_shape(table: Table) -> Shape:
    """The shape of ``table`` for rows of Python's own values, from what the catalog knows of it."""
    arrays = {
        one.name: ArrayType(one.element_type or "", one.max_capacity, one.max_length)
        for one in table.columns
        if one.type == "ARRAY"
    }
    generated = {one.column: one.source for one in table.embeddings} | dict(table.generated)
    return Shape(
        table=table,
        columns={one.name: one for one in table.columns},
        filled=frozenset(generated),
        # A text without words is one like any other to BM25; nothing can be embedded of an empty one.
        sources=frozenset(generated.values()) - {one.source for one in table.lexical}
        | {one.source for one in table.embeddings},
        arrays=arrays,
    )


_ARRAY_PARAMS = ("max_capacity", "max_length")


def _number(params: Mapping[str, Any], key: str) -> int | None:
    return int(params[key]) if key in params else None


def check_header(names: Iterable[str], shape: Shape, *, path: str) -> None:
    """Raise IngestError where a header can give no row: a column too many, or one too few."""
    there = tuple(names)
    given = {one.name: one for one in shape.given}
    for name in there:
        if name in given:
            continue
        if name in shape.columns:
            why = "made from its source text" if name in shape.filled else "a key that Milvus makes"
            raise IngestError(
                f"{path} has a column that is {why}",
                value=name,
                next_step="Leave the column out of the file.",
            )
        if not shape.table.dynamic:
            raise IngestError(
                f"{path} has a column that {shape.table.name} has not",
                value=name,
                next_step=f"Columns: {', '.join(given)}.{nearest(name, given)}",
            )
    for column in given.values():
        made = column.nullable or column.has_default or column.name in shape.table.composed
        if column.name not in there and not made:
            raise IngestError(
                f"{path} has no column {column.name}, which every row of {shape.table.name} needs",
                value=", ".join(there),
                next_step=f"Add the column.{nearest(column.name, there)}",
            )
