"""PostgreSQL's types of the columns of collections and of results."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final

from nestvec.milvus.catalog import Column
from nestvec.pgwire.types.arrays import is_sequence
from nestvec.sql.analysis.column_types import OIDS, column_oid, sql_type_oid
from nestvec.sqltypes import oids, parse_sql_type, sql_type_of

_CLASSES: Final[tuple[tuple[type, int], ...]] = (
    (bool, oids.BOOL),
    (float, oids.FLOAT8),
    (Decimal, oids.NUMERIC),
    (str, oids.TEXT),
    (bytes, oids.BYTEA),
    (uuid.UUID, oids.UUID),
    (datetime, oids.TIMESTAMPTZ),
    (date, oids.DATE),
    (time, oids.TIME),
    (timedelta, oids.INTERVAL),
    (dict, oids.JSONB),
)


def column_modifier(column: Column) -> int:
    """The length of a VARCHAR plus 4, digits of a NUMERIC, or the dim of a vector; -1 for none."""
    kind = sql_type_of(column)
    if kind is not None and kind.name == "numeric":
        return (kind.sizes[0] << 16 | (kind.scale or 0)) + 4 if kind.sizes else -1
    if kind is not None:
        return kind.sizes[0] if kind.sizes and not kind.array else column.dim or -1
    if column_oid(column) == oids.VARCHAR and column.max_length:
        return column.max_length + 4
    return column.dim if column.dim else -1


def type_oid(type_: str) -> int:
    """The type of a result's column by its name: ``INT64``, ``NUMERIC(10,2)``, ``UUID[]``; 0 for another."""
    kind = parse_sql_type(type_.lower())
    return sql_type_oid(kind) if kind is not None else OIDS.get(type_, oids.UNSPECIFIED)


def result_oid(type_: str, values: Sequence[Any] = ()) -> int:
    """The type of a result's column, by its name or else by its values, of which None says nothing."""
    oid = type_oid(type_)
    if oid != oids.UNSPECIFIED:
        return oid
    kinds = {_value_oid(value) for value in values if value is not None}
    if len(kinds) == 1:
        return kinds.pop()
    return oids.FLOAT8 if kinds and kinds <= {oids.INT8, oids.FLOAT8} else oids.TEXT


def _value_oid(value: Any) -> int:
    if is_sequence(value):
        elements = {_value_oid(item) for item in value if item is not None}
        element = elements.pop() if len(elements) == 1 else oids.JSONB if elements else oids.TEXT
        return oids.JSONB if element == oids.JSONB else oids.array_of(element)
    if isinstance(value, int) and not isinstance(value, bool):
        return oids.INT8 if -(1 << 63) <= value < 1 << 63 else oids.NUMERIC
    oid = next((oid for kind, oid in _CLASSES if isinstance(value, kind)), oids.TEXT)
    return oids.TIMESTAMP if isinstance(value, datetime) and value.tzinfo is None else oid
