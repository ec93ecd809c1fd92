"""Rows with NULL in vector columns, as a collection stores them and as they are read.

Milvus Lite and Milvus before 3.0 have no NULL in a vector. A column that takes it has a hidden BOOL field,
which is true where the column is NULL, and NULL elsewhere; the vector of such a row means nothing. That some
row has one is recorded in a property of the collection: without it, nobody reads or filters by the field.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from pymilvus import DataType

from nestvec.milvus.null_vectors.names import null_flag, nulls_property

Row = Mapping[str, Any]

_ONE_AS_BYTES: Final = {DataType.FLOAT16_VECTOR: b"\x00\x3c", DataType.BFLOAT16_VECTOR: b"\x80\x3f"}
"""The number 1 in 16 bits."""


@dataclass(frozen=True)
class NullableVector:
    """A vector column that takes NULL."""

    column: str
    flag: str
    """The hidden field, which is true where the column is NULL."""

    placeholder: Any
    """The vector that is stored for NULL: one of length 1, which every index takes."""

    has_nulls: bool
    """Whether the collection's properties say that some row has a NULL."""


def nullable_vectors(described: Mapping[str, Any]) -> tuple[NullableVector, ...]:
    """The vector columns that take NULL, of a collection as Milvus describes it."""
    fields = {field["name"]: field for field in described["fields"]}
    properties = described.get("properties") or {}
    return tuple(
        NullableVector(
            name,
            null_flag(name),
            _placeholder(DataType(field["type"]), int((field.get("params") or {}).get("dim") or 0)),
            has_nulls=bool(properties.get(nulls_property(name))),
        )
        for name, field in fields.items()
        if null_flag(name) in fields
    )


def _placeholder(kind: DataType, dim: int) -> Any:
    if kind == DataType.SPARSE_FLOAT_VECTOR:
        return {0: 1.0}
    if kind == DataType.BINARY_VECTOR:
        return bytes(dim // 8)
    if kind in _ONE_AS_BYTES:
        return _ONE_AS_BYTES[kind] + bytes(2 * dim - 2)
    if kind == DataType.INT8_VECTOR:
        return np.eye(1, dim, dtype=np.int8)[0]
    return [1.0, *[0.0] * (dim - 1)]


def stored_rows(columns: Sequence[NullableVector], rows: Sequence[Row], *, partial: bool) -> list[Row]:
    """Rows with None in, or without, some of the columns as the collection stores them.

    ``partial``: a column that a row lacks keeps what it is.
    """
    return [_stored_row(columns, row, partial=partial) for row in rows]


def _stored_row(columns: Sequence[NullableVector], row: Row, *, partial: bool) -> Row:
    changes = dict[str, Any]()
    for vector in columns:
        if row.get(vector.column) is not None:
            changes[vector.flag] = None
        elif vector.column in row or not partial:
            changes |= {vector.column: vector.placeholder, vector.flag: True}
    return {**row, **changes}


def columns_with_null(
    columns: Iterable[NullableVector], rows: Sequence[Row], *, partial: bool
) -> list[NullableVector]:
    """The columns that are NULL in some of the rows."""
    return [
        vector
        for vector in columns
        if any(row.get(vector.column) is None and (vector.column in row or not partial) for row in rows)
    ]


def flags_to_read(columns: Iterable[NullableVector], fields: Iterable[str] | None) -> list[NullableVector]:
    """The columns among the fields to read that may be NULL."""
    read = set(fields or ())
    return [vector for vector in columns if vector.has_nulls and ("*" in read or vector.column in read)]


def with_nulls(columns: Sequence[NullableVector], row: Row) -> dict[str, Any]:
    """A row that was read with its flags, with None where a column is NULL, and without the flags."""
    hidden = {vector.flag for vector in columns}
    values = {name: value for name, value in row.items() if name not in hidden}
    return values | {vector.column: None for vector in columns if row.get(vector.flag)}
