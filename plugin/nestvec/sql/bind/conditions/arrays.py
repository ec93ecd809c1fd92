"""Conditions on arrays, and on lists of values: ANY, ALL, @>, <@, &&."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlglot import exp

from nestvec.milvus.catalog import Column
from nestvec.sql.bind.conditions.json_compare import compare_any
from nestvec.sql.bind.conditions.nodes import (
    And,
    Compare,
    Condition,
    Contains,
    InList,
    IsNull,
    Or,
    always,
    negate,
    never,
)
from nestvec.sql.bind.conditions.operands import array, element, is_operand, operand
from nestvec.sql.bind.params import PARAMETER_NODES
from nestvec.sql.bind.scope import Scope, Value
from nestvec.sql.parse.construct_names import construct_name
from nestvec.sql.parse.source import without_parens


def bind_any(scope: Scope, node: exp.Expr, negated: bool) -> Condition:
    """``x = ANY(list)``, ``x <> ALL(list)`` and ``value = ANY(array_column)``."""
    left, quantified = node.this, node.args["expression"]
    inner = _quantified(quantified)
    if inner is None or isinstance(node, exp.EQ) != isinstance(quantified, exp.Any):
        raise scope.source.not_supported(
            "this comparison with ANY or ALL", quantified, "Supported: x = ANY(list) and x <> ALL(list)."
        )
    negated ^= isinstance(node, exp.NEQ)
    if is_operand(inner):
        column = array(scope, inner)
        return _contains(column, (scope.value(left, element(column)),), negated, every=True)
    column = operand(scope, left)
    return in_list(column, list_values(scope, inner, column), negated)


def quantifies(node: exp.Expr) -> bool:
    """Whether a node is ANY(…) or ALL(…)."""
    return _quantified(node) is not None


def _quantified(node: exp.Expr) -> exp.Expr | None:
    if isinstance(node, (exp.Any, exp.All)):
        return without_parens(node.this)
    if isinstance(node, exp.Anonymous) and str(node.this).upper() == "ALL" and len(node.expressions) == 1:
        return without_parens(node.expressions[0])
    return None


def in_list(column: Column, constants: Sequence[Value], negated: bool) -> Condition:
    """``column [NOT] IN (constants)``, which may be empty."""
    distinct = tuple(dict.fromkeys(constants))
    if not distinct:
        return always(column) if negated else never(column)
    if column.type == "BOOL":
        parts = tuple(Compare(column, "=", value is not negated) for value in distinct)
        return And(parts) if negated else Or(parts)
    if not column.name.isidentifier():
        return compare_any(column, distinct, negated)
    return InList(column, distinct, negated)


def list_values(scope: Scope, node: exp.Expr, column: Column) -> list[Value]:
    """A list of constants as values of a column's type: ARRAY[…], or a parameter that is a list."""
    node = without_parens(node)
    if isinstance(node, exp.Cast):
        node = without_parens(node.this)
    if isinstance(node, exp.Array):
        return [scope.value(item, column) for item in node.expressions]
    if isinstance(node, PARAMETER_NODES):
        items = scope.params.value(scope.source, node)
        if isinstance(items, (list, tuple, set, frozenset)):
            return [scope.list_value(item, column, node) for item in items]
        raise scope.source.type_mismatch("the parameter is not a list", items, node, "Pass a list of values.")
    raise scope.source.not_supported(
        f"a list from {construct_name(node)}", node, "Write ARRAY[1, 2], or a parameter that is a list."
    )


def bind_has_all(scope: Scope, node: exp.Expr, negated: bool) -> Condition:
    """``array @> list``."""
    return _has(scope, node.this, node.args["expression"], negated, every=True)


def bind_contained(scope: Scope, node: exp.Expr, negated: bool) -> Condition:
    """``list <@ array``."""
    return _has(scope, node.args["expression"], node.this, negated, every=True)


def bind_overlaps(scope: Scope, node: exp.Expr, negated: bool) -> Condition:
    """``array && list``, either way round."""
    left, right = node.this, node.args["expression"]
    if not isinstance(without_parens(left), exp.Column):
        left, right = right, left
    return _has(scope, left, right, negated, every=False)


def _has(scope: Scope, left: Any, right: Any, negated: bool, *, every: bool) -> Condition:
    column = array(scope, left)
    return _contains(column, list_values(scope, right, element(column)), negated, every=every)


def _contains(column: Column, constants: Sequence[Value], negated: bool, *, every: bool) -> Condition:
    distinct = tuple(dict.fromkeys(constants))
    if not distinct:
        # Every array contains all of an empty list, and overlaps with none.
        return IsNull(column, negated=True) if every != negated else never(column)
    condition = Contains(column, distinct, every)
    return negate(condition) if negated else condition
