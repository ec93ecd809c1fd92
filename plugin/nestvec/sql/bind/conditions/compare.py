"""Comparisons with constants and of two columns, where Milvus compares as PostgreSQL does."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Final

from sqlglot import exp

from nestvec.milvus.catalog import Column
from nestvec.sql.bind.conditions.constants import (
    RANGES,
    TypedConstant,
    mismatch,
    nearest_singles,
    read_boolean,
    read_double,
    read_integer,
    shown,
)
from nestvec.sql.bind.conditions.json_compare import compare_json, not_null_json
from nestvec.sql.bind.conditions.nodes import (
    ALWAYS,
    NEGATED,
    NEVER,
    Compare,
    CompareColumns,
    Condition,
    IsNull,
    Narrowed,
    Not,
    Operator,
    all_of,
    conjunction,
    disjunction,
    not_null,
    vector_is_null,
)
from nestvec.sql.bind.conditions.operands import ConditionOperand
from nestvec.sql.bind.scope import FLOATS, INTEGERS, STRINGS, Scope, Value
from nestvec.sqltypes import is_mapped, to_stored
from nestvec_schemas.errors import RowRejected

_EXACT_DOUBLE: Final = 1 << 53
"""Integers below it are doubles."""
_NUMBERS: Final = INTEGERS | FLOATS
_FAMILIES: Final = (_NUMBERS, STRINGS, frozenset({"BOOL"}))
_NARROW: Final = {"FLOAT": frozenset({"INT8", "INT16"}), "DOUBLE": frozenset({"INT8", "INT16", "INT32"})}
"""The integers that every engine compares with a float as PostgreSQL does: those that are one."""


def compare_constant(
    scope: Scope, value: ConditionOperand, operator: Operator, constant: TypedConstant, node: exp.Expr
) -> Narrowed:
    """``value operator constant``. Raises SqlTypeMismatch for a constant of another type."""
    if constant.value is None:
        return Narrowed(NEVER)
    if value.form == "json":
        return compare_json(scope, value, operator, constant, node)
    compared = _compare(scope, value.column, operator, constant, node)
    if value.form != "length":
        return compared
    # The length of an empty array is NULL.
    return all_of((Narrowed(Compare(value.column, ">", 0)), compared))


def _compare(
    scope: Scope, column: Column, operator: Operator, constant: TypedConstant, node: exp.Expr
) -> Narrowed:
    if is_mapped(column.type_params.sql_type):
        return _compare_stored(scope, column, operator, constant, node)
    if constant.kind == "typed":
        return Narrowed(ALWAYS if column.is_vector else not_null(column), node)
    if column.type in INTEGERS:
        return _compare_integer(scope, column, operator, constant, node)
    if column.type in FLOATS:
        return _compare_float(scope, column, operator, constant, node)
    if column.type in STRINGS:
        if not isinstance(constant.value, str):
            raise mismatch(scope, column, shown(constant), node)
        return Narrowed(Compare(column, operator, constant.value))
    if column.type == "BOOL":
        return Narrowed(_compare_boolean(column, operator, read_boolean(scope, column, constant, node)))
    return Narrowed(ALWAYS if column.is_vector else not_null(column), node)


def _compare_stored(
    scope: Scope, column: Column, operator: Operator, constant: TypedConstant, node: exp.Expr
) -> Narrowed:
    """A column of a type that is stored by a mapping, which sorts and compares as the values do."""
    if column.is_vector:
        return Narrowed(ALWAYS, node)
    if constant.kind == "text":
        return Narrowed(not_null(column), node)
    try:
        return Narrowed(Compare(column, operator, to_stored(column, constant.value, exact=True)))
    except RowRejected:
        # What the column would round is compared by the second engine.
        if not isinstance(constant.value, (int, float, Decimal)):
            try:
                to_stored(column, constant.value)
            except RowRejected as error:
                raise scope.source.data_error(error.cause, error.value, node, error.next_step) from error
    return Narrowed(not_null(column), node)


def _compare_integer(
    scope: Scope, column: Column, operator: Operator, constant: TypedConstant, node: exp.Expr
) -> Narrowed:
    value = constant.value
    if (
        constant.kind == "text"
        or isinstance(value, bool)
        or not isinstance(value, (int, float, Decimal, str))
    ):
        raise mismatch(scope, column, shown(constant), node)
    if isinstance(value, str):
        value = read_integer(scope, column, value, node)
    if isinstance(value, float):
        # PostgreSQL compares doubles: beyond this bound, several integers are the same one.
        if not abs(value) < _EXACT_DOUBLE:
            return Narrowed(not_null(column), node)
        value = Decimal(value)
    return Narrowed(_compare_exactly(column, operator, value))


def _compare_exactly(column: Column, operator: Operator, value: int | Decimal) -> Condition:
    """An integer column and any number, within what the column can hold and a filter can write."""
    low, high = RANGES[column.type]
    if value > high or value < low:
        below = value > high
        satisfied = operator == "!=" or (operator in ("<", "<=") if below else operator in (">", ">="))
        return not_null(column) if satisfied else NEVER
    integer = int(value) if isinstance(value, int) else math.floor(value)
    if integer != value:
        if operator in ("=", "!="):
            return not_null(column) if operator == "!=" else NEVER
        return Compare(column, "<=" if operator in ("<", "<=") else ">", integer)
    if integer == RANGES["INT64"][0]:
        # A filter cannot write -2^63, which it reads as the negative of a number out of range.
        if operator in ("=", "<="):
            return Compare(column, "<", integer + 1)
        return {"!=": Compare(column, ">=", integer + 1), ">": Compare(column, ">=", integer + 1)}.get(
            operator, not_null(column) if operator == ">=" else NEVER
        )
    return Compare(column, operator, integer)


def _compare_float(
    scope: Scope, column: Column, operator: Operator, constant: TypedConstant, node: exp.Expr
) -> Narrowed:
    if isinstance(constant.value, bool) or constant.kind == "text":
        raise mismatch(scope, column, shown(constant), node)
    value = read_double(scope, constant.value, node)
    if not math.isfinite(value):
        return Narrowed(not_null(column), node)
    if column.type == "DOUBLE":
        return Narrowed(float_condition(column, operator, value))
    low, high = nearest_singles(value)
    if constant.kind == "unknown":
        # A string becomes a REAL itself.
        if not math.isfinite(low) or not math.isfinite(high):
            raise mismatch(scope, column, shown(constant), node)
        return Narrowed(float_condition(column, operator, to_single(value)))
    if low == high:
        return Narrowed(float_condition(column, operator, low))
    if operator in ("=", "!="):
        return Narrowed(not_null(column) if operator == "!=" else NEVER)
    under = operator in ("<", "<=")
    if math.isfinite(low):
        return Narrowed(float_condition(column, "<=" if under else ">", low))
    return Narrowed(float_condition(column, "<" if under else ">=", high))


def to_single(value: float) -> float:
    """A double as a REAL holds it; infinite out of its range."""
    low, high = nearest_singles(value)
    return low if value - low < high - value else high


def float_condition(column: Column, operator: Operator, value: float) -> Condition:
    """A comparison with a finite float. NaN, which Milvus Lite stores, is above all numbers in PostgreSQL."""
    if operator in (">", ">="):
        return conjunction((not_null(column), Not(Compare(column, NEGATED[operator], value))))
    return Compare(column, operator, value)


def _compare_boolean(column: Column, operator: Operator, value: bool) -> Condition:
    """FALSE is below TRUE."""
    tests = {
        "=": lambda each: each == value,
        "!=": lambda each: each != value,
        "<": lambda each: each < value,
        "<=": lambda each: each <= value,
        ">": lambda each: each > value,
        ">=": lambda each: each >= value,
    }
    passing = [each for each in (False, True) if tests[operator](each)]
    if len(passing) == 1:
        return Compare(column, "=", passing[0])
    return not_null(column) if passing else NEVER


def equal_value(scope: Scope, column: Column, constant: TypedConstant, node: exp.Expr) -> Value | None:
    """The value of an array element that equals a constant; None if there is none."""
    if column.type in STRINGS | INTEGERS | {"BOOL"}:
        equality = _compare(scope, column, "=", constant, node)
        condition = equality.condition
        if isinstance(condition, Compare) and condition.operator == "=" and equality.rest is None:
            return condition.value
        if condition == NEVER:
            return None
        raise scope.source.not_supported("this value in an array", node, "Use another value.")
    if column.type not in FLOATS or isinstance(constant.value, bool) or constant.kind == "text":
        raise mismatch(scope, column, shown(constant), node)
    value = read_double(scope, constant.value, node)
    value = to_single(value) if column.type == "FLOAT" and math.isfinite(value) else value
    if not math.isfinite(value):
        raise scope.source.not_supported("this value in an array", node, "Use another value.")
    return value


def compare_columns(
    scope: Scope, left: ConditionOperand, right: ConditionOperand, operator: Operator, node: exp.Expr
) -> Narrowed:
    """``left operator right``, two columns. Raises SqlTypeMismatch if PostgreSQL cannot compare them."""
    present = conjunction((present_base(left), present_base(right)))
    if any(is_mapped(each.column.type_params.sql_type) for each in (left, right)) and (
        left.column.type_params.sql_type != right.column.type_params.sql_type
    ):
        return Narrowed(present, node)
    family = next((types for types in _FAMILIES if left.column.type in types), None)
    other = next((types for types in _FAMILIES if right.column.type in types), None)
    if family is None or other is None:
        return Narrowed(present, node)
    if family is not other:
        raise scope.source.type_mismatch(
            "these types cannot be compared",
            f"{left.column.type} and {right.column.type}",
            node.args.get("expression") or node,
            "Compare numbers with numbers, or strings with strings.",
        )
    if left.form != "column" or right.form != "column" or left.column.type == "BOOL":
        return Narrowed(present, node)
    first, second = left.column, right.column
    floats = FLOATS & {first.type, second.type}
    if not floats:
        return Narrowed(conjunction((present, CompareColumns(first, operator, second))))
    integers = INTEGERS & {first.type, second.type}
    if any(not integers <= _NARROW[kind] for kind in floats):
        return Narrowed(present, node)
    # NaN equals NaN and is above all numbers, unlike in Milvus: what is not the opposite may be it.
    opposite: tuple[Operator, ...] = ("<", ">") if operator == "=" else (NEGATED[operator],)
    possible = () if operator == "!=" else (Not(CompareColumns(first, sign, second)) for sign in opposite)
    return Narrowed(conjunction((present, *possible)), node)


def present_base(value: ConditionOperand) -> Condition:
    """The column of an operand is not NULL."""
    return not_null_json(value) if value.form == "json" else not_null(value.base)


def is_null(value: ConditionOperand, negated: bool, node: exp.Expr) -> Narrowed:
    """``value IS [NOT] NULL``."""
    column, empty = value.column, Compare(value.column, "=", 0)
    if value.form == "json":
        return Narrowed(not_null_json(value) if negated else ALWAYS, node)
    if value.base.is_vector:
        if not value.base.nullable:
            return Narrowed(ALWAYS if negated else NEVER)
        if not value.base.type_params.null_flag:
            return Narrowed(ALWAYS, node)
        return Narrowed(vector_is_null(value.base, negated=negated))
    if value.form == "length":
        return Narrowed(Compare(column, ">", 0) if negated else disjunction((IsNull(column), empty)))
    return Narrowed(IsNull(column, negated))
