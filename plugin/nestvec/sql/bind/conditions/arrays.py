"""Conditions on array columns: value = ANY(array), @>, <@, &&, and = of a whole array."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from nestvec.milvus.catalog import Column
from nestvec.sql.bind.conditions.compare import equal_value
from nestvec.sql.bind.conditions.constants import TypedConstant
from nestvec.sql.bind.conditions.lists import Item, list_items
from nestvec.sql.bind.conditions.nodes import (
    NEVER,
    Compare,
    Condition,
    Contains,
    Narrowed,
    conjunction,
    negate,
    not_null,
)
from nestvec.sql.bind.conditions.operands import array, element, is_operand
from nestvec.sql.bind.scope import Scope, Value
from nestvec.sql.parse.source import without_parens


def bind_has_all(scope: Scope, node: exp.Expr, negated: bool) -> Narrowed:
    """``array @> list``."""
    return _has(scope, node.this, node.args["expression"], negated, every=True)


def bind_contained(scope: Scope, node: exp.Expr, negated: bool) -> Narrowed:
    """``list <@ array``."""
    return _has(scope, node.args["expression"], node.this, negated, every=True)


def bind_overlaps(scope: Scope, node: exp.Expr, negated: bool) -> Narrowed:
    """``array && list``, either way round."""
    left, right = node.this, node.args["expression"]
    if not isinstance(without_parens(left), exp.Column):
        left, right = right, left
    return _has(scope, left, right, negated, every=False)


def bind_element_of(
    scope: Scope, constant: TypedConstant, node: exp.Expr, column: Column, negated: bool
) -> Narrowed:
    """``constant = ANY(array)``; negated, ``constant <> ALL(array)``."""
    if constant.value is None:
        # Nothing is in an empty array, not even NULL.
        return Narrowed(Compare(_length(column), "=", 0) if negated else NEVER)
    return _contains(scope, column, [(constant, node)], negated, every=True)


def bind_equal_array(scope: Scope, column: Column, node: exp.Expr, at: exp.Expr) -> Narrowed:
    """``array = list``: as long, and with all of its elements, in any order."""
    items = list_items(scope, node)
    if items is None:
        return Narrowed(NEVER)
    contained = _contains(scope, column, items, negated=False, every=True)
    return Narrowed(conjunction((Compare(_length(column), "=", len(items)), contained.condition)), at)


def _length(column: Column) -> Column:
    return Column(f"array_length({column.name})", "INT64", nullable=column.nullable)


def _has(scope: Scope, left: exp.Expr, right: exp.Expr, negated: bool, *, every: bool) -> Narrowed:
    column = array(scope, left)
    if is_operand(right):
        raise scope.source.not_supported("an operator on two arrays", right, "Write ARRAY[1, 2].")
    items = list_items(scope, right)
    if items is None:
        return Narrowed(NEVER)
    return _contains(scope, column, items, negated, every=every)


def _contains(scope: Scope, column: Column, items: Sequence[Item], negated: bool, *, every: bool) -> Narrowed:
    """Whether an array contains all of the constants, or any; no element equals NULL."""
    part = element(column)
    values: dict[Value, None] = {}
    missing = False
    for constant, node in items:
        value = None if constant.value is None else equal_value(scope, part, constant, node)
        if value is None:
            missing = True
        else:
            values[value] = None
    return Narrowed(_condition(column, tuple(values), negated, every=every, impossible=missing and every))


def _condition(
    column: Column, values: tuple[Value, ...], negated: bool, *, every: bool, impossible: bool
) -> Condition:
    if impossible or not values:
        # Every array contains all of an empty list, and overlaps with none.
        holds = every and not impossible
        return not_null(column) if holds != negated else NEVER
    condition = Contains(column, values, every)
    return negate(condition) if negated else condition
