"""PostgreSQL's types of the columns of a result, and DuckDB's values as values of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from decimal import Context, Decimal
from typing import Any, Final

import numpy as np
from sqlglot import exp

from nestvec.sql.parse.vectors.kinds import KINDS, vector_dims, vector_kind
from nestvec.sql.relational.rewrites.bytes_and_times import BLANK_PADDED_TYPES
from nestvec.sql.relational.rewrites.numbers.numeric_types import (
    NUMERIC,
    gives_array,
    number_type,
    ordered_number,
)

_INTEGERS: Final = {
    "SMALLINT": ("INT16", 1 << 15),
    "INT": ("INT32", 1 << 31),
    "BIGINT": ("INT64", 1 << 63),
}
"""Milvus's names of PostgreSQL's types, and the first number beyond each."""
_RANKS: Final = ("TINYINT", "SMALLINT", "INT", "BIGINT", "DECIMAL", "FLOAT", "DOUBLE")
"""Types of numbers, each of which holds those before it."""
_WHOLE: Final = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UBIGINT", "UHUGEINT")
_NULL: Final = "NULL"
"""The type of a constant NULL, which takes that of the other rows."""
_UNSIZED: Final = ("DECIMAL(38,15)", "DECIMAL(38,20)")
"""What stands for a NUMERIC without a size: its zeros at the end are not those of the number."""
_OF_DUCKDB: Final = (*_WHOLE, "FLOAT", "DOUBLE")


def output_types(tree: exp.Expr) -> tuple[str, ...]:
    """The types of a query's columns by a tree with PostgreSQL's types; an unknown one is empty."""
    return tuple("" if type_ == _NULL else type_ for type_ in _types(tree))


def _types(tree: exp.Expr) -> tuple[str, ...]:
    if isinstance(tree, exp.SetOperation):
        sides = (_types(side.unnest()) for side in (tree.this, tree.expression))
        return tuple(map(_common, *sides))
    if not isinstance(tree, exp.Select):
        return ()
    return tuple(_type_name(item.unalias()) for item in tree.expressions)


def _type_name(node: exp.Expr) -> str:
    type_ = node.type
    if isinstance(node, exp.Null):
        return _NULL
    if number_type(node) == NUMERIC:
        return "DECIMAL"
    if isinstance(node, exp.WithinGroup) and (number := ordered_number(node)) and gives_array(node):
        return f"{_type_name(number)}[]"
    if vector_kind(node):
        return vector_name(node)
    if type_ is None or type_.this in (exp.DType.UNKNOWN, exp.DType.USERDEFINED):
        return ""
    if type_.this in BLANK_PADDED_TYPES:
        # The values of CASE, coalesce() and their like may be of other sizes.
        has_size = isinstance(node, (exp.Cast, exp.Column, exp.AggFunc, exp.Nullif))
        sizes = [size.name for size in type_.expressions] if has_size else []
        return f"CHAR({sizes[0] if sizes and sizes[0].isdecimal() else 0})"
    if type_.this == exp.DType.VARCHAR:
        return "VARCHAR" if isinstance(node, exp.Cast) else "TEXT"
    if type_.this == exp.DType.ARRAY:
        element = type_.expressions[0] if type_.expressions else None
        return f"{element.this.value}[]" if isinstance(element, exp.DataType) else ""
    return str(getattr(type_.this, "value", ""))


def vector_name(node: exp.Expr) -> str:
    """``vector(3)``, of a node that is a vector; without the number where it is not known."""
    dims = vector_dims(node.unnest().type)
    return vector_kind(node) + (f"({dims})" if dims is not None else "")


def kind_of(type_: str) -> str:
    """The name of a type without its dimensions."""
    return type_.partition("(")[0]


def _common(left: str, right: str) -> str:
    if left == right or right == _NULL:
        return left
    if left == _NULL:
        return right
    vectors = [type_ for type_ in (left, right) if kind_of(type_) in KINDS]
    if vectors:
        return max(vectors, key=lambda type_: KINDS.index(kind_of(type_)))
    if left in _RANKS and right in _RANKS:
        return max(left, right, key=_RANKS.index)
    return ""


def type_name(type_: str, duckdb_type: str) -> str:
    """PostgreSQL's short name where Milvus's names do not tell it; empty elsewhere."""
    element, _, is_array = type_.partition("[")
    if is_array:
        name = _ELEMENTS.get(element, "") if duckdb_type.endswith("[]") else ""
        return f"_{name}" if name else ""
    return {"JSON": "json", "VARCHAR": "varchar"}.get(type_, "") if duckdb_type in _TEXTS else ""


_TEXTS: Final = ("JSON", "VARCHAR")
_ELEMENTS: Final = {
    "SMALLINT": "int2", "INT": "int4", "BIGINT": "int8", "FLOAT": "float4", "DOUBLE": "float8",
    "DATE": "date", "TIMESTAMP": "timestamp", "TIMESTAMPTZ": "timestamptz", "UUID": "uuid",
    "BOOLEAN": "bool", "DECIMAL": "numeric", "TEXT": "text", "VARCHAR": "text",
}  # fmt: skip
"""The types of elements whose values Python has."""


def as_postgres(type_: str, duckdb_type: str, values: list[Any]) -> tuple[str, list[Any]] | None:
    """Milvus's name of the type, and the values of it; None where DuckDB's type is PostgreSQL's, or close."""
    if type_.startswith("CHAR("):
        size = int(type_[len("CHAR(") : -1])
        return (
            ("BPCHAR", _each(values, lambda value: value.ljust(size))) if duckdb_type == "VARCHAR" else None
        )
    if type_ == "DECIMAL" and duckdb_type == "VARCHAR":
        return "DECIMAL", _each(values, Decimal)
    if type_ == "DECIMAL[]" and duckdb_type == "VARCHAR[]":
        return "ARRAY", _each(values, lambda texts: _each(texts, Decimal))
    if type_ == "DECIMAL[]" and duckdb_type.startswith("DECIMAL"):
        return "ARRAY", values
    is_number = duckdb_type in _OF_DUCKDB or duckdb_type.startswith("DECIMAL(")
    if not is_number or duckdb_type.endswith("]"):
        return None
    if type_ in _INTEGERS:
        name, beyond = _INTEGERS[type_]
        is_whole = duckdb_type in _WHOLE
        in_range = is_whole and all(value is None or -beyond <= value < beyond for value in values)
        return (name, values) if in_range else None
    if type_ == "DECIMAL" and duckdb_type in _UNSIZED:
        return "DECIMAL", _each(values, without_zeros)
    if type_ == "DOUBLE" and duckdb_type.startswith("DECIMAL"):
        return None
    convert = _CONVERSIONS.get(type_)
    return (_NAMES[type_], _each(values, convert)) if convert is not None else None


def exact_number(value: Any) -> Decimal:
    """A number as a NUMERIC; of a double, the shortest digits that it has."""
    if isinstance(value, float):
        is_whole = value.is_integer() and math.isfinite(value)
        return Decimal(int(value)) if is_whole else Decimal(repr(value))
    return value if isinstance(value, Decimal) else Decimal(value)


def without_zeros(number: Decimal) -> Decimal:
    """A number without zeros at the end of its fraction."""
    return Decimal(int(number)) if number == int(number) else number.normalize(_DIGITS)


_DIGITS: Final = Context(prec=60)
_NAMES: Final = {"DECIMAL": "DECIMAL", "DOUBLE": "DOUBLE", "FLOAT": "FLOAT"}
_CONVERSIONS: Final[dict[str, Callable[[Any], Any]]] = {
    "DECIMAL": exact_number,
    "DOUBLE": float,
    "FLOAT": lambda value: float(np.float32(value)),
}


def _each(values: Sequence[Any], convert: Callable[[Any], Any]) -> list[Any]:
    return [None if value is None else convert(value) for value in values]
