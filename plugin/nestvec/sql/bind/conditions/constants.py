"""Constants of a condition, with the types that PostgreSQL gives them.

A string without a cast takes the type of what it is compared with (``a = '5'``); a number does not.
"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal
from typing import Final, Literal
from uuid import UUID

from sqlglot import exp

from nestvec.milvus.catalog import Column
from nestvec.sql.bind.params import PARAMETER_NODES, check_characters
from nestvec.sql.bind.scope import FLOATS, INTEGERS, STRINGS, Scope
from nestvec.sql.bind.sql_constants import sql_constant
from nestvec_schemas.errors import SqlError

Kind = Literal["null", "unknown", "text", "number", "double", "boolean", "typed"]
"""``typed`` is a value of a type that Milvus does not have: a date, a UUID, bytes."""


TypedValue = date | time | UUID | bytes
_TYPED: Final = (date, time, UUID, bytes)


@dataclass(frozen=True)
class TypedConstant:
    """A constant, and its type as PostgreSQL sees it."""

    value: bool | int | float | Decimal | str | TypedValue | None
    kind: Kind


NULL: Final = TypedConstant(None, "null")

RANGES: Final = {
    "INT8": (-(1 << 7), (1 << 7) - 1),
    "INT16": (-(1 << 15), (1 << 15) - 1),
    "INT32": (-(1 << 31), (1 << 31) - 1),
    "INT64": (-(1 << 63), (1 << 63) - 1),
}
_INTEGER_CASTS: Final = {
    exp.DataType.Type.SMALLINT: "INT16",
    exp.DataType.Type.INT: "INT32",
    exp.DataType.Type.BIGINT: "INT64",
}
_TYPED_CASTS: Final = frozenset(
    {
        exp.DataType.Type.DATE,
        exp.DataType.Type.TIME,
        exp.DataType.Type.TIMESTAMP,
        exp.DataType.Type.TIMESTAMPNTZ,
        exp.DataType.Type.TIMESTAMPTZ,
        exp.DataType.Type.UUID,
        exp.DataType.Type.VARBINARY,
    }
)
_TEXT_CASTS: Final = (exp.DataType.Type.TEXT, exp.DataType.Type.VARCHAR)
_INTEGER_TEXT = re.compile(r"\s*[+-]?[0-9]{1,400}\s*", re.ASCII)
_NUMBER_TEXT = re.compile(r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?\s*", re.ASCII | re.IGNORECASE)
_SPECIAL_NUMBERS: Final = ("nan", "inf", "+inf", "-inf", "infinity", "+infinity", "-infinity")
_TRUE: Final = ("t", "tr", "tru", "true", "y", "ye", "yes", "on", "1")
_FALSE: Final = ("f", "fa", "fal", "fals", "false", "n", "no", "of", "off", "0")


def read_constant(scope: Scope, node: exp.Expr) -> TypedConstant | None:
    """The constant that a node is; None if it is anything else. Raises SqlTypeMismatch, SqlSyntaxError."""
    if isinstance(node, exp.Paren):
        return read_constant(scope, node.this)
    if isinstance(node, exp.Neg):
        return _negative(scope, node)
    if isinstance(node, exp.Cast):
        return _cast(scope, node)
    if isinstance(node, PARAMETER_NODES):
        return _parameter(scope, node)
    if isinstance(node, exp.Literal):
        return TypedConstant(str(node.this), "unknown") if node.is_string else _number(scope, node)
    if isinstance(node, exp.Boolean):
        return TypedConstant(bool(node.this), "boolean")
    return NULL if isinstance(node, exp.Null) else None


def parameter_constant(scope: Scope, value: object, node: exp.Expr) -> TypedConstant | None:
    """The value of a parameter, or of a list in one, as a constant."""
    if value is None:
        return NULL
    if isinstance(value, bool):
        return TypedConstant(value, "boolean")
    if isinstance(value, str):
        check_characters(scope.source, value, node)
        return TypedConstant(value, "unknown")
    if isinstance(value, int):
        return TypedConstant(value, "number")
    if isinstance(value, float):
        return TypedConstant(value, "double")
    if isinstance(value, _TYPED):
        return TypedConstant(value, "typed")
    return TypedConstant(value, "number") if isinstance(value, Decimal) and value.is_finite() else None


def _parameter(scope: Scope, node: exp.Expr) -> TypedConstant | None:
    return parameter_constant(scope, scope.params.value(scope.source, node), node)


def _number(scope: Scope, node: exp.Literal) -> TypedConstant:
    text = str(node.this)
    if re.fullmatch("[0-9]{1,400}", text):
        return TypedConstant(int(text), "number")
    try:
        finite = math.isfinite(float(text))
        number = Decimal(text)
    except (ValueError, ArithmeticError):
        finite = False
    if not finite:
        raise scope.source.type_mismatch(
            "the number is out of range", text[:40], node, "Use a smaller number."
        )
    return TypedConstant(number, "number")


def _negative(scope: Scope, node: exp.Neg) -> TypedConstant | None:
    inner = read_constant(scope, node.this)
    if (
        inner is None
        or not isinstance(inner.value, (int, float, Decimal, type(None)))
        or inner.kind == "boolean"
    ):
        return None
    if isinstance(inner.value, Decimal):
        return TypedConstant(inner.value.copy_negate(), inner.kind)
    return inner if inner.value is None else TypedConstant(-inner.value, inner.kind)


def _cast(scope: Scope, node: exp.Cast) -> TypedConstant | None:
    """A cast that leaves a value as it is, or reads a string."""
    if node.to.this in _TYPED_CASTS:
        value = sql_constant(scope, node) if read_constant(scope, node.this) is not None else None
        return TypedConstant(value, "typed") if isinstance(value, _TYPED) else None
    inner = read_constant(scope, node.this)
    kind, sized = node.to.this, bool(node.to.expressions)
    if inner is None or sized or node.to.args.get("nested"):
        return None
    if inner.value is None:
        return inner
    if kind in _TEXT_CASTS:
        return TypedConstant(inner.value, "text") if isinstance(inner.value, str) else None
    if inner.kind == "text":
        return None
    if kind in _INTEGER_CASTS and inner.kind in ("number", "unknown"):
        integer = Column("", _INTEGER_CASTS[kind])
        value = (
            read_integer(scope, integer, inner.value, node) if isinstance(inner.value, str) else inner.value
        )
        low, high = RANGES[integer.type]
        in_range = isinstance(value, int) and low <= value <= high
        return TypedConstant(value, "number") if in_range else None
    if kind == exp.DataType.Type.DOUBLE and inner.kind in ("number", "double", "unknown"):
        value = read_double(scope, inner.value, node)
        return TypedConstant(value, "double")
    if kind == exp.DataType.Type.BOOLEAN and inner.kind in ("boolean", "unknown"):
        return TypedConstant(read_boolean(scope, Column("", "BOOL"), inner, node), "boolean")
    return None


def read_integer(scope: Scope, column: Column, text: str, node: exp.Expr) -> int:
    """A string as an integer of the column's type. Raises SqlTypeMismatch."""
    number = int(text) if _INTEGER_TEXT.fullmatch(text) else None
    low, high = RANGES[column.type]
    if number is None or not low <= number <= high:
        raise mismatch(scope, column, f"'{text}'", node)
    return number


def read_double(scope: Scope, value: object, node: exp.Expr) -> float:
    """A number or a string as a double; NaN and infinities come from parameters and strings only."""
    try:
        if isinstance(value, str):
            if value.strip().lower() in _SPECIAL_NUMBERS:
                return float(value)
            number = float(value) if _NUMBER_TEXT.fullmatch(value) else None
        elif isinstance(value, float):
            return value
        else:
            number = float(value) if isinstance(value, (int, Decimal)) else None
    except OverflowError:
        number = math.inf
    if number is None or not math.isfinite(number):
        raise scope.source.type_mismatch(
            "the value is not a number in the range of a double", str(value)[:40], node, "Write a number."
        )
    return number


def read_boolean(scope: Scope, column: Column, constant: TypedConstant, node: exp.Expr) -> bool:
    """A boolean or a string as a boolean. Raises SqlTypeMismatch."""
    if isinstance(constant.value, bool):
        return constant.value
    if constant.kind == "unknown":
        word = str(constant.value).strip().lower()
        if word in _TRUE or word in _FALSE:
            return word in _TRUE
    raise mismatch(scope, column, shown(constant), node)


def mismatch(scope: Scope, column: Column, value: str, node: exp.Expr) -> SqlError:
    """The error of a constant that the column's type cannot be compared with."""
    expected = next((name for types, name in _EXPECTED if column.type in types), "a value of its type")
    cause = f"column {column.name} is {column.type}" if column.name else "the cast is impossible"
    return scope.source.type_mismatch(cause, value[:60], node, f"Compare it with {expected}.")


_EXPECTED: Final = (
    (INTEGERS, "a 64-bit integer"),
    (FLOATS, "a number"),
    (STRINGS, "text in single quotes"),
    (frozenset({"BOOL"}), "TRUE or FALSE"),
)


def shown(constant: TypedConstant) -> str:
    """A constant as SQL writes it."""
    if isinstance(constant.value, bool):
        return str(constant.value).upper()
    return f"'{constant.value}'" if isinstance(constant.value, str) else str(constant.value)


def nearest_singles(value: float) -> tuple[float, float]:
    """The largest 32-bit float that is not above a double, and the smallest that is not below it."""
    try:
        single = float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        single = math.copysign(_MAX_SINGLE, value)
    if single == value:
        return single, single
    if single < value:
        return single, _next_single(single)
    return -_next_single(-single), single


_MAX_SINGLE: Final = float(struct.unpack("<f", b"\xff\xff\x7f\x7f")[0])


def _next_single(single: float) -> float:
    """The smallest 32-bit float above a finite one; infinite above the largest."""
    (bits,) = struct.unpack("<i", struct.pack("<f", single))
    if single == 0:
        bits = 1
    else:
        bits += 1 if single > 0 else -1
    return float(struct.unpack("<f", struct.pack("<i", bits))[0])
