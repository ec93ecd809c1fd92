"""Comparisons with constants, and of two columns: =, <>, <, <=, >, >=, IN, BETWEEN, IS."""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from nestvec.sql.bind.conditions.arrays import bind_any, member, quantifies
from nestvec.sql.bind.conditions.json_compare import inside
from nestvec.sql.bind.conditions.nodes import (
    Compare,
    Condition,
    Either,
    Every,
    IsNull,
    Operator,
    Pair,
)
from nestvec.sql.bind.conditions.operands import inside_json, is_operand, operand
from nestvec.sql.bind.scope import FLOATS, INTEGERS, STRINGS, Scope
from nestvec.sql.parse.construct_names import words
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
        return _pair(scope, left, right, operator)
    column = operand(scope, left)
    value = scope.value(right, column)
    if column.type == "BOOL":
        if operator not in ("=", "!="):
            raise scope.source.not_supported("an order of BOOL values", node, "Compare it with = or <>.")
        return Compare(column, "=", (value is True) != (operator == "!="))
    return inside(column, operator, value) if inside_json(column) else Compare(column, operator, value)


def _pair(scope: Scope, left: exp.Expr, right: exp.Expr, operator: Operator) -> Condition:
    one, other = operand(scope, left), operand(scope, right)
    alike = any(one.type in types and other.type in types for types in _ALIKE)
    if not alike or inside_json(one) or inside_json(other):
        raise scope.source.type_mismatch(
            "these two cannot be compared", f"{one.type} and {other.type}", right, "Compare numbers or texts."
        )
    known = tuple(IsNull(column, negated=True) for column in (one, other) if column.nullable)
    pair = Pair(one, operator, other)
    return Every((*known, pair)) if known else pair


def bind_in(scope: Scope, node: exp.Expr, negated: bool) -> Condition:
    """``[NOT] IN (constants)``."""
    if stray_parts(node, ("this", "expressions")):
        raise scope.source.not_supported(
            "IN with anything but a list", node, "Write IN (1, 2, 3), or = ANY(:list)."
        )
    if not node.expressions:
        raise scope.source.syntax_error("the list of IN is empty", node, "Write at least one constant.")
    column = operand(scope, node.this)
    return member(column, [scope.value(one, column) for one in node.expressions], negated)


def bind_between(scope: Scope, node: exp.Expr, negated: bool) -> Condition:
    """``[NOT] BETWEEN low AND high``."""
    if stray_parts(node, ("this", "low", "high")):
        raise scope.source.not_supported("BETWEEN SYMMETRIC", node, "Write the lower bound first.")
    column = operand(scope, node.this)
    low, high = (scope.value(node.args[bound], column) for bound in ("low", "high"))
    if column.type == "BOOL":
        raise scope.source.not_supported("an order of BOOL values", node, "Compare it with = or <>.")
    if negated:
        return Either((Compare(column, "<", low), Compare(column, ">", high)))
    return Every((Compare(column, ">=", low), Compare(column, "<=", high)))


def bind_is(scope: Scope, node: exp.Expr, negated: bool) -> Condition:
    """``IS [NOT] NULL``, ``IS [NOT] TRUE`` and ``IS [NOT] FALSE``."""
    right = node.args["expression"]
    negated ^= bool(node.args.get("negate"))
    column = operand(scope, node.this)
    if isinstance(right, exp.Null):
        return IsNull(column, negated)
    if not isinstance(right, exp.Boolean) or column.type != "BOOL":
        raise scope.source.not_supported(words(node), node, "There is IS NULL; of booleans, IS TRUE too.")
    if negated:
        return Either((IsNull(column), Compare(column, "=", not right.this)))
    return Compare(column, "=", bool(right.this))
