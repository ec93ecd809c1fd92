"""Comparisons with constants, and of two columns: =, <>, <, <=, >, >=, IN, BETWEEN, IS."""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from nestvec.sql.bind.conditions.arrays import bind_any, in_list, quantifies
from nestvec.sql.bind.conditions.json_compare import compare_json
from nestvec.sql.bind.conditions.nodes import (
    And,
    Compare,
    CompareColumns,
    Condition,
    IsNull,
    Operator,
    Or,
)
from nestvec.sql.bind.conditions.operands import inside_json, is_operand, operand
from nestvec.sql.bind.scope import FLOATS, INTEGERS, STRINGS, Scope
from nestvec.sql.parse.construct_names import construct_name
from nestvec.sql.parse.source import stray_parts

OPERATORS: Final[dict[type[exp.Expr], Operator]] = {
    exp.EQ: "=",
    exp.NEQ: "!=",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
}
_NEGATED: Final[dict[Operator, Operator]] = {
    "=": "!=", "!=": "=", "<": ">=", "<=": ">", ">": "<=", ">=": "<",
}  # fmt: skip
_MIRRORED: Final[dict[Operator, Operator]] = {
    "=": "=", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<=",
}  # fmt: skip
_ALIKE = (INTEGERS | FLOATS, STRINGS)


def bind_compare(scope: Scope, node: exp.Expr, negated: bool) -> Condition:
    """A comparison by one operator."""
    left, right, operator = node.this, node.args["expression"], OPERATORS[type(node)]
    if quantifies(right):
        return bind_any(scope, node, negated)
    if not is_operand(left):
        left, right, operator = right, left, _MIRRORED[operator]
    if not is_operand(left):
        left = node.this
    operator = _NEGATED[operator] if negated else operator
    if is_operand(left) and is_operand(right):
        return _compare_columns(scope, left, right, operator)
    column = operand(scope, left)
    value = scope.value(right, column)
    if column.type == "BOOL":
        if operator not in ("=", "!="):
            raise scope.source.not_supported("ordering of BOOL values", node, "Compare them with = or <>.")
        return Compare(column, "=", (value is True) != (operator == "!="))
    return compare_json(column, operator, value) if inside_json(column) else Compare(column, operator, value)


def _compare_columns(scope: Scope, left: exp.Expr, right: exp.Expr, operator: Operator) -> Condition:
    first, second = operand(scope, left), operand(scope, right)
    alike = any(first.type in types and second.type in types for types in _ALIKE)
    if not alike or inside_json(first) or inside_json(second):
        raise scope.source.type_mismatch(
            "these types cannot be compared",
            f"{first.type} and {second.type}",
            right,
            "Compare numbers with numbers, or strings with strings.",
        )
    not_null = tuple(IsNull(column, negated=True) for column in (first, second) if column.nullable)
    pair = CompareColumns(first, operator, second)
    return And((*not_null, pair)) if not_null else pair


def bind_in(scope: Scope, node: exp.Expr, negated: bool) -> Condition:
    """``[NOT] IN (constants)``."""
    if stray_parts(node, ("this", "expressions")):
        raise scope.source.not_supported(
            "IN with anything but a list", node, "Write IN (1, 2, 3), or = ANY(:list)."
        )
    if not node.expressions:
        raise scope.source.syntax_error("the list of IN is empty", node, "Write at least one constant.")
    column = operand(scope, node.this)
    return in_list(column, [scope.value(item, column) for item in node.expressions], negated)


def bind_between(scope: Scope, node: exp.Expr, negated: bool) -> Condition:
    """``[NOT] BETWEEN low AND high``."""
    if stray_parts(node, ("this", "low", "high")):
        raise scope.source.not_supported("BETWEEN SYMMETRIC", node, "Write the lower bound first.")
    column = operand(scope, node.this)
    low, high = (scope.value(node.args[bound], column) for bound in ("low", "high"))
    if column.type == "BOOL":
        raise scope.source.not_supported("ordering of BOOL values", node, "Compare them with = or <>.")
    if negated:
        return Or((Compare(column, "<", low), Compare(column, ">", high)))
    return And((Compare(column, ">=", low), Compare(column, "<=", high)))


def bind_is(scope: Scope, node: exp.Expr, negated: bool) -> Condition:
    """``IS [NOT] NULL``, ``IS [NOT] TRUE`` and ``IS [NOT] FALSE``."""
    right = node.args["expression"]
    negated ^= bool(node.args.get("negate"))
    column = operand(scope, node.this)
    if isinstance(right, exp.Null):
        return IsNull(column, negated)
    if not isinstance(right, exp.Boolean) or column.type != "BOOL":
        raise scope.source.not_supported(
            construct_name(node), node, "Supported: IS NULL and, on booleans, IS TRUE and IS FALSE."
        )
    if negated:
        return Or((IsNull(column), Compare(column, "=", not right.this)))
    return Compare(column, "=", bool(right.this))
