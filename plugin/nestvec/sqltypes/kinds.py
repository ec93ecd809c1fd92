"""SQL types that Milvus does not have: their names, sizes and the types that store them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

TYPE_PROPERTY: Final = "nestvec.type."
"""Prefix of the property of a collection that holds a column's SQL type: ``nestvec.type.born``."""

BFLOAT16: Final = "bfloat16_vector"
"""The type of vectors of 16-bit floats with the range of 32-bit ones, which pgvector does not have."""

MAX_FIXED_DIGITS: Final = 18
"""Digits of a NUMERIC that is stored as a 64-bit integer."""

MAX_DIGITS: Final = 1_000
"""Digits of a NUMERIC, as in PostgreSQL."""

_TEXT = re.compile(r"(?P<name>[a-z0-9_]+)(?:\((?P<sizes>\d+(?:,\d+)?)\))?(?P<array>\[\])?")


@dataclass(frozen=True)
class SqlType:
    """A SQL type with its sizes: ``numeric(10,2)``, ``date``, ``uuid[]``."""

    name: str
    """PostgreSQL's short name: ``date``, ``timestamptz``, ``int4``, ``halfvec``."""

    sizes: tuple[int, ...] = ()
    """Precision and scale, bits, or dims."""

    array: bool = False

    def __str__(self) -> str:
        sizes = f"({','.join(map(str, self.sizes))})" if self.sizes else ""
        return f"{self.name}{sizes}{'[]' if self.array else ''}"

    @property
    def element(self) -> SqlType:
        """The type of an array's elements; the type itself otherwise."""
        return SqlType(self.name, self.sizes) if self.array else self

    @property
    def scale(self) -> int | None:
        """Digits after the point of a NUMERIC; None if they are not fixed."""
        if self.name != "numeric" or not self.sizes:
            return None
        return self.sizes[1] if len(self.sizes) > 1 else 0

    @property
    def is_fixed_point(self) -> bool:
        """Whether a NUMERIC is stored as an integer, scaled by its digits after the point."""
        return self.name == "numeric" and bool(self.sizes) and self.sizes[0] <= MAX_FIXED_DIGITS


_INT_STORED: Final = ("date", "time", "timestamp", "timestamptz", "int2", "int4")
_PLAIN: Final = ("", "int2", "int4")
_INTEGERS: Final[Mapping[str, str]] = {"int2": "INT16", "int4": "INT32"}
VECTORS_WITH_OWN_VALUES: Final[Mapping[str, str]] = {
    "halfvec": "FLOAT16_VECTOR",
    BFLOAT16: "BFLOAT16_VECTOR",
    "bit": "BINARY_VECTOR",
}
"""Vectors whose values in Python are not pymilvus's, with Milvus's names of the types that store them."""

_VECTORS: Final[Mapping[str, str]] = {**VECTORS_WITH_OWN_VALUES, "sparsevec": "SPARSE_FLOAT_VECTOR"}
_TEXT_BYTES: Final[Mapping[str, int]] = {"uuid": 36, "numeric": MAX_DIGITS + 8, "bytea": 65_535}

SQL_TYPES: Final = frozenset({*_INT_STORED, *_VECTORS, *_TEXT_BYTES})
"""Names of the types that are stored by a mapping."""


def storage(kind: SqlType) -> tuple[str, int | None]:
    """Milvus's name of the type that stores a SQL type, and the length of a VARCHAR."""
    if kind.name in _VECTORS:
        return _VECTORS[kind.name], None
    if kind.name in _INT_STORED or kind.is_fixed_point:
        return "INT64", None
    return "VARCHAR", _TEXT_BYTES[kind.name]


@lru_cache(maxsize=1024)
def parse_sql_type(text: str) -> SqlType | None:
    """The type that a property names; None if it names none of these."""
    match = _TEXT.fullmatch(text)
    if match is None or match["name"] not in SQL_TYPES:
        return None
    sizes = tuple(int(size) for size in match["sizes"].split(",")) if match["sizes"] else ()
    return SqlType(match["name"], sizes, match["array"] is not None)


def is_mapped(sql_type: str) -> bool:
    """Whether values of a column differ in Milvus and in Python; a small integer does not."""
    return sql_type not in _PLAIN


def result_type(column_type: str, sql_type: str) -> str:
    """The name of a column's type in a result: Milvus's, or ``DATE``, ``NUMERIC(10,2)``, ``UUID[]``."""
    kind = parse_sql_type(sql_type) if sql_type else None
    if kind is None:
        return column_type
    return _INTEGERS.get(kind.name, str(kind).upper())


def type_property(column: str) -> str:
    """The property of a collection that holds the SQL type of a column."""
    return f"{TYPE_PROPERTY}{column}"
