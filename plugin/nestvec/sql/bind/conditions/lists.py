"""Conditions on lists of values: IN, = ANY(list), and other comparisons with ANY and ALL."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from sqlglot import exp

from nestvec.sql.bind.conditions.compare import compare_constant, to_single
from nestvec.sql.bind.conditions.constants import (
    NULL,
    TypedConstant,
    parameter_constant,
    read_constant,
    read_double,
)
from nestvec.sql.bind.conditions.nodes import (
    ALWAYS,
    NEGATED,
    NEVER,
    Compare,
    Condition,
    InList,
    Narrowed,
    Operator,
    all_of,
    any_of,
)
from nestvec.sql.bind.conditions.operands import ConditionOperand
from nestvec.sql.bind.params import PARAMETER_NODES, to_python
from nestvec.sql.bind.scope import FLOATS, Scope
from nestvec.sql.parse.construct_names import construct_name
from nestvec.sql.parse.source import without_parens

_PLAIN_ARRAY = re.compile(r'\{([^{}"\\]*)\}')
_QUANTIFIERS = ("ALL", "SOME")

Item = tuple[TypedConstant, exp.Expr]
"""A constant of a list, and where it stands."""


def quantified(node: exp.Expr) -> tuple[bool, exp.Expr] | None:
    """ANY(list) as (False, list), ALL(list) as (True, list); None for any other node."""
    if isinstance(node, (exp.Any, exp.All)):
        return isinstance(node, exp.All), without_parens(node.this)
    if isinstance(node, exp.Anonymous) and len(node.expressions) == 1:
        word = str(node.this).upper()
        if word in _QUANTIFIERS:
            return word == "ALL", without_parens(node.expressions[0])
    return None


def bind_any_list(
    scope: Scope, value: ConditionOperand, operator: Operator, node: exp.Expr, *, every: bool, negated: bool
) -> Narrowed:
    """``value operator ANY(list)``, or ALL; ``node`` is the list."""
    items = list_items(scope, node)
    if items is None:
        return Narrowed(NEVER)
    if negated:
        operator, every = NEGATED[operator], not every
    return compare_list(scope, value, operator, items, every)


def compare_list(
    scope: Scope, value: ConditionOperand, operator: Operator, items: Sequence[Item], every: bool
) -> Narrowed:
    """The comparison with each constant: true of all, or of any."""
    if every and any(constant.value is None for constant, _ in items):
        return Narrowed(NEVER)
    distinct = {(type(constant.value), constant.value): (constant, at) for constant, at in items}
    parts = [compare_constant(scope, value, operator, constant, at) for constant, at in distinct.values()]
    if not parts:
        return Narrowed(ALWAYS if every else NEVER)
    if operator == ("!=" if every else "="):
        parts = _merge(value, parts, negated=every)
    return all_of(parts) if every else any_of(parts)


def _merge(value: ConditionOperand, parts: list[Narrowed], *, negated: bool) -> list[Narrowed]:
    """The same parts, with the comparisons of a whole column for equality as one list."""
    if value.form != "column" or value.column.type == "BOOL" or len(parts) < 2:
        return parts
    operator = "!=" if negated else "="
    values = [
        part.condition.value
        for part in parts
        if isinstance(part.condition, Compare) and part.condition.operator == operator and part.rest is None
    ]
    others = [part for part in parts if not _is_equality(part, operator)]
    if len(values) < 2:
        return parts
    if value.column.type in FLOATS and 0.0 in values:
        # Milvus Lite looks a list up by its bits.
        values += [0.0, -0.0]
    distinct = {(type(item), repr(item)): item for item in values}
    merged: Condition = InList(value.column, tuple(distinct.values()), negated)
    return [Narrowed(merged), *others]


def _is_equality(part: Narrowed, operator: str) -> bool:
    condition = part.condition
    return isinstance(condition, Compare) and condition.operator == operator and part.rest is None


def bind_in_list(scope: Scope, value: ConditionOperand, items: Sequence[Item], negated: bool) -> Narrowed:
    """``value [NOT] IN (constants)``."""
    operator: Operator = "!=" if negated else "="
    if value.column.type == "FLOAT" and len(items) > 1 and all(item.kind != "double" for item, _ in items):
        items = [_as_single(scope, item) for item in items]
    return compare_list(scope, value, operator, items, negated)


def _as_single(scope: Scope, item: Item) -> Item:
    """Of several numbers in IN, PostgreSQL makes an array of the column's type: REAL."""
    constant, node = item
    if constant.kind != "number":
        return item
    return replace(constant, value=to_single(read_double(scope, constant.value, node))), node


def list_items(scope: Scope, node: exp.Expr) -> list[Item] | None:
    """The constants of ARRAY[…], '{…}' or a parameter that is a list; None for NULL.

    Raises SqlTypeMismatch, and SqlNotSupported for a list of anything but constants.
    """
    node = without_parens(node)
    if isinstance(node, exp.Cast):
        node = without_parens(node.this)
    if isinstance(node, exp.Array):
        return [(_constant(scope, item), item) for item in node.expressions]
    if isinstance(node, exp.Null):
        return None
    if isinstance(node, PARAMETER_NODES):
        return _parameter_items(scope, node)
    if isinstance(node, exp.Literal) and node.is_string:
        return _text_items(scope, str(node.this), node)
    raise scope.source.not_supported(
        f"a list from {construct_name(node)}", node, "Write ARRAY[1, 2], or a parameter that is a list."
    )


def _constant(scope: Scope, node: exp.Expr) -> TypedConstant:
    constant = read_constant(scope, node)
    if constant is None:
        raise scope.source.not_supported(construct_name(node), node, "Write a constant here.")
    return constant


def _parameter_items(scope: Scope, node: exp.Expr) -> list[Item] | None:
    items = scope.params.value(scope.source, node)
    if items is None:
        return None
    if isinstance(items, str):
        return _text_items(scope, items, node)
    if not isinstance(items, (list, tuple, set, frozenset)):
        raise scope.source.type_mismatch("the parameter is not a list", items, node, "Pass a list of values.")
    constants = [(parameter_constant(scope, to_python(item), node), item) for item in items]
    for constant, item in constants:
        if constant is None:
            raise scope.source.not_supported(f"a list of {type(item).__name__}", node, "Pass plain values.")
    return [(constant, node) for constant, _ in constants if constant is not None]


def _text_items(scope: Scope, text: str, node: exp.Expr) -> list[Item]:
    """The items of '{a,b}'."""
    plain = _PLAIN_ARRAY.fullmatch(text.strip())
    if plain is None:
        raise scope.source.not_supported("this list as text", node, "Write ARRAY['a', 'b'].")
    words = [word.strip() for word in plain[1].split(",")] if plain[1].strip() else []
    if "" in words:
        raise scope.source.type_mismatch("the list is malformed", text[:40], node, "Write '{a,b}'.")
    return [(NULL if word.upper() == "NULL" else TypedConstant(word, "unknown"), node) for word in words]


def between(
    scope: Scope, value: ConditionOperand, low: Item, high: Item, *, negated: bool, symmetric: bool
) -> Narrowed:
    """``value [NOT] BETWEEN [SYMMETRIC] low AND high``."""
    interval = _within(scope, value, low, high, negated)
    if not symmetric:
        return interval
    mirrored = _within(scope, value, high, low, negated)
    return all_of((interval, mirrored)) if negated else any_of((interval, mirrored))


def _within(scope: Scope, value: ConditionOperand, low: Item, high: Item, negated: bool) -> Narrowed:
    if negated:
        return any_of((compare_constant(scope, value, "<", *low), compare_constant(scope, value, ">", *high)))
    return all_of((compare_constant(scope, value, ">=", *low), compare_constant(scope, value, "<=", *high)))
