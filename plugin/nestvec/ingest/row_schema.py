"""What a row of a collection may contain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Final

from nestvec.datasets.readers import CellTypes
from nestvec.ingest.columns import ColumnMap, ignore_step
from nestvec.milvus.catalog import Column, Table
from nestvec_schemas.errors import IngestError, nearest

NO_NULL_VECTORS: Final = (
    "A vector column takes NULL unless CREATE TABLE says NOT NULL; one of a spec, if it says nullable: true."
)


@dataclass(frozen=True)
class ArrayType:
    """The type of an ARRAY column."""

    element: str
    """Milvus's name for the elements' type."""

    capacity: int | None = None
    """Number of elements."""

    max_length: int | None = None
    """Bytes of a VARCHAR element."""


@dataclass(frozen=True)
class RowSchema:
    """A table as rows see it."""

    table: Table
    columns: Mapping[str, Column]
    generated: frozenset[str] = frozenset()
    """The columns that a Function of Milvus or nestvec fills."""

    sources: frozenset[str] = frozenset()
    """The columns that are embedded."""

    arrays: Mapping[str, ArrayType] = field(default_factory=dict)
    cells: CellTypes = field(default_factory=CellTypes)
    """How the file writes values."""

    mapping: ColumnMap | None = None
    """Which columns of a file fill which columns of the table; None for rows of no file."""

    defaults: Mapping[str, Iterator[object]] = field(default_factory=dict)
    """The values of columns that a row lacks, one for each such row: those of defaults that Milvus does not
    hold."""

    def value(self, row: Mapping[str, object], column: Column) -> object:
        """The value of a row, or the next default of a column that it lacks; None for NULL."""
        if column.name in self.defaults and column.name not in row:
            return next(self.defaults[column.name])
        return row.get(column.name)

    @cached_property
    def expected(self) -> tuple[Column, ...]:
        """The columns that a row provides: neither generated nor a key that Milvus generates."""
        auto = {column.name for column in self.columns.values() if column.auto_id}
        return tuple(column for name, column in self.columns.items() if name not in self.generated | auto)


def null_reason(column: Column) -> str:
    """Why a column takes no NULL, as a sentence after another; empty if its definition says so."""
    return f" {NO_NULL_VECTORS}" if column.is_vector else ""


def row_schema(
    table: Table,
    cells: CellTypes | None = None,
    mapping: ColumnMap | None = None,
    *,
    defaults: Mapping[str, Iterator[object]] = MappingProxyType({}),
) -> RowSchema:
    """What rows of ``table`` may contain, with values in the notation of ``cells``, and columns under the
    names of ``mapping``; those that they lack are filled from ``defaults``, or those of ``mapping``."""
    generated = {embedding.column: embedding.source for embedding in table.embeddings} | dict(table.generated)
    # BM25 accepts a text without words; an empty text cannot be embedded.
    lexical = {column.column for column in table.lexical}
    return RowSchema(
        table=table,
        columns={column.name: column for column in table.columns},
        generated=frozenset(generated),
        sources=frozenset(source for column, source in generated.items() if column not in lexical),
        arrays={
            column.name: ArrayType(
                column.type_params.element_type or "", column.type_params.max_capacity, column.max_length
            )
            for column in table.columns
            if column.type == "ARRAY"
        },
        cells=cells or CellTypes(),
        mapping=mapping,
        defaults=defaults or (mapping.defaults if mapping is not None else {}),
    )


def checked_schema(
    table: Table, header: tuple[str, ...] | None, cells: CellTypes, columns: ColumnMap, name: str
) -> RowSchema:
    """What the rows of a source of this name and header may contain. Raises IngestError for a header that
    gives no row."""
    columns = columns.with_header(header, path=name)
    schema = row_schema(table, cells, columns)
    if header is not None:
        check_header(header, schema, path=name)
    return schema


def check_header(names: Iterable[str], schema: RowSchema, *, path: str) -> None:
    """Raise IngestError if a header has a column that the table does not take, or lacks one that it needs."""
    mapping = schema.mapping or ColumnMap()
    header = tuple(mapping.apply(dict.fromkeys(names)))
    expected = {column.name: column for column in schema.expected}
    for name in () if mapping.ignore_extra else header:
        if name in expected:
            continue
        if name in schema.columns:
            why = (
                "generated from another column" if name in schema.generated else "a key that Milvus generates"
            )
            raise IngestError(
                f"{path} has a column that is {why}",
                value=name,
                next_step="Remove the column from the file, or ignore it with --ignore-extra (in COPY, "
                "IGNORE_EXTRA).",
            )
        if not schema.table.dynamic:
            raise IngestError(
                f"{path} has a column that {schema.table.name} does not have",
                value=name,
                next_step=f"{ignore_step(name)} Columns: {', '.join(expected)}.{nearest(name, expected)}",
            )
    for column in expected.values():
        optional = column.nullable or column.has_default or column.name in schema.table.composed
        if column.name not in header and not optional and column.name not in schema.defaults:
            raise IngestError(
                f"{path} has no column {column.name}, which every row of {schema.table.name} needs",
                value=", ".join(header),
                next_step=f"Add the column.{nearest(column.name, header)}",
            )
