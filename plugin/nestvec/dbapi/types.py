"""PEP 249's type objects and constructors. A column's type code is Milvus's name for its type."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

Date = datetime.date
Time = datetime.time
Timestamp = datetime.datetime
Binary = bytes


def DateFromTicks(ticks: float) -> datetime.date:
    """The local day of a time in seconds since the epoch."""
    return datetime.date.fromtimestamp(ticks)


def TimeFromTicks(ticks: float) -> datetime.time:
    """The local time of day of a time in seconds since the epoch."""
    return datetime.datetime.fromtimestamp(ticks).time()


def TimestampFromTicks(ticks: float) -> datetime.datetime:
    """The local time of a time in seconds since the epoch."""
    return datetime.datetime.fromtimestamp(ticks)


@dataclass(frozen=True, eq=False)
class TypeObject:
    """Equal to each of its type codes, whatever their sizes: ``description[0][1] == NUMBER``."""

    codes: frozenset[str]

    def __eq__(self, other: object) -> bool:
        return other.partition("(")[0] in self.codes if isinstance(other, str) else self is other

    def __hash__(self) -> int:
        return hash(self.codes)


STRING = TypeObject(
    frozenset({"VARCHAR", "STRING", "TEXT", "BPCHAR", "JSON", "GEOMETRY", "UUID", "BIT", "SPARSEVEC"})
)
BINARY = TypeObject(frozenset({"BINARY_VECTOR", "BYTEA"}))
NUMBER = TypeObject(
    frozenset({"BOOL", "INT8", "INT16", "INT32", "INT64", "FLOAT", "DOUBLE", "NUMERIC", "DECIMAL"})
)
DATETIME = TypeObject(frozenset({"DATE", "TIME", "TIMESTAMP", "TIMESTAMPTZ"}))
ROWID = TypeObject(frozenset())
