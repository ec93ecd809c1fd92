"""Comparisons of values inside JSON, where each row may hold a value of another type.

PostgreSQL compares the *text* of a value (``->>``), or casts that text. Milvus compares values of the
constant's type only, and Milvus Lite takes ``true`` for 1 besides.
"""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Final

from sqlglot import exp

from nestvec.milvus.catalog import Column
from nestvec.sql.bind.conditions.constants import (
    RANGES,
    TypedConstant,
    mismatch,
    read_boolean,
    read_double,
    read_integer,
    shown,
)
from nestvec.sql.bind.conditions.nodes import (
    ALWAYS,
    NEVER,
    Compare,
    Condition,
    Like,
    Narrowed,
    Operator,
    disjunction,
    not_null,
)
from nestvec.sql.bind.conditions.operands import ConditionOperand
from nestvec.sql.bind.scope import Scope, Value

_MAX_FILTER_INTEGER: Final = (1 << 63) - 1
_LONGEST_NUMBER: Final = 400
_STARTS_OF_OTHERS: Final = frozenset('-0123456789tf{["')
"""First characters of the text of JSON values that are not strings, and of no other text."""


def compare_json(
    scope: Scope, value: ConditionOperand, operator: Operator, constant: TypedConstant, node: exp.Expr
) -> Narrowed:
    """A comparison of a value inside JSON with a constant that is not NULL."""
    if value.cast:
        return _compare_cast(scope, value, operator, constant, node)
    if not isinstance(constant.value, str):
        raise mismatch(scope, value.column, shown(constant), node)
    if operator != "=":
        return Narrowed(not_null_json(value), node)
    text, column = constant.value, value.column
    equal = Compare(column, "=", text)
    others = _other_values(column, text)
    if others is None:
        return Narrowed(not_null_json(value), node)
    if others == NEVER:
        return Narrowed(equal, None if value.certain else node)
    return Narrowed(disjunction((equal, others)), node)


def like_json(value: ConditionOperand, pattern: str, exact: bool, node: exp.Expr) -> Narrowed:
    """LIKE of a value inside JSON; ``pattern`` has no special character but ``%``."""
    if not pattern or pattern[0] in _STARTS_OF_OTHERS or pattern[0] == "%":
        return Narrowed(not_null_json(value), node)
    return Narrowed(Like(value.column, pattern), None if exact and value.certain else node)


def not_null_json(value: ConditionOperand) -> Condition:
    """What follows from a JSON value that is not NULL: servers differ on ``exists`` of an empty object."""
    return ALWAYS if value.base.name == "$meta" else not_null(value.base)


def _other_values(column: Column, text: str) -> Condition | None:
    """A condition for values other than strings with this text: NEVER without any, None if none says it."""
    if len(text) > _LONGEST_NUMBER:
        return None if text[0] in _STARTS_OF_OTHERS else NEVER
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None if text[:1] in ("{", "[") else NEVER
    if isinstance(value, str) or value is None:
        return NEVER
    if isinstance(value, bool) or (isinstance(value, int) and abs(value) <= _MAX_FILTER_INTEGER):
        return Compare(column, "=", value)
    if isinstance(value, float) and math.isfinite(value):
        return Compare(column, "=", value)
    return None


def _compare_cast(
    scope: Scope, value: ConditionOperand, operator: Operator, constant: TypedConstant, node: exp.Expr
) -> Narrowed:
    """``(j->>'key')::type operator constant``: a number or a boolean that compares so, or any string."""
    column = value.column
    bound = _bound(scope, column, constant, node)
    if operator == "!=" or bound is None:
        return Narrowed(not_null_json(value), node)
    a_string = Like(column, "%")
    if isinstance(bound, bool):
        if operator != "=":
            return Narrowed(not_null_json(value), node)
        numbers = Compare(column, "=", int(bound))
        return Narrowed(disjunction((Compare(column, "=", bound), numbers, a_string)), node)
    # Rounding to a double keeps the order of numbers, but may make different ones equal.
    loose: dict[Operator, Operator] = {"<": "<=", ">": ">="}
    return Narrowed(disjunction((Compare(column, loose.get(operator, operator), bound), a_string)), node)


def _bound(scope: Scope, column: Column, constant: TypedConstant, node: exp.Expr) -> Value | None:
    """The constant as a filter has it; None if it has none."""
    value = constant.value
    if column.type == "BOOL":
        return read_boolean(scope, column, constant, node)
    if isinstance(value, bool) or constant.kind == "text":
        raise mismatch(scope, column, shown(constant), node)
    if column.type == "INT64" and isinstance(value, str):
        value = read_integer(scope, column, value, node)
    if isinstance(value, Decimal) and value == value.to_integral_value() and abs(value) < RANGES["INT64"][1]:
        value = int(value)
    if isinstance(value, int):
        return value if abs(value) <= _MAX_FILTER_INTEGER else None
    number = read_double(scope, value, node)
    return number if math.isfinite(number) else None
