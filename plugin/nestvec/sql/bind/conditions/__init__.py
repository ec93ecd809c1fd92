"""WHERE as a Milvus filter, with every NOT pushed down to the comparisons."""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from nestvec.sql.bind.conditions import arrays, compare, texts
from nestvec.sql.bind.conditions.nodes import And, Compare, Condition, Or
from nestvec.sql.bind.conditions.operands import CONDITION_FORM, is_operand, operand
from nestvec.sql.bind.conditions.split import split_terms
from nestvec.sql.bind.scope import Scope
from nestvec.sql.parse.construct_names import construct_name
from nestvec.sql.parse.source import chain_operands

__all__ = ["MAX_TERMS", "Condition", "bind_condition", "split_condition"]

MAX_TERMS = 10_000
"""Constants in one WHERE."""


def bind_condition(scope: Scope, node: exp.Expr) -> Condition:
    """Bind a WHERE. Raises SqlUnknownName, SqlTypeMismatch, SqlNotSupported, SqlSyntaxError."""
    constants = sum(isinstance(child, (exp.Literal, exp.Boolean)) for child in node.walk())
    if constants > MAX_TERMS:
        raise scope.source.type_mismatch(
            f"WHERE has more than {MAX_TERMS:,} constants", constants, node, "Run several statements."
        )
    return _bind(scope, node, False)


def split_condition(scope: Scope, node: exp.Expr) -> tuple[Condition | None, exp.Expr | None]:
    """Split a WHERE into a condition for Milvus, which the WHERE implies, and what remains to be checked.

    Either is None where there is nothing of it; the second is a copy. Raises SqlUnknownName, SqlTypeMismatch,
    SqlSyntaxError.
    """
    return split_terms(scope, node, bind_condition)


def _bind(scope: Scope, node: exp.Expr, negated: bool) -> Condition:
    while isinstance(node, (exp.Not, exp.Paren)):
        negated ^= isinstance(node, exp.Not)
        node = node.this
    if isinstance(node, (exp.And, exp.Or)):
        parts = tuple(_bind(scope, part, negated) for part in chain_operands(node))
        return And(parts) if isinstance(node, exp.And) != negated else Or(parts)
    if is_operand(node):
        column = operand(scope, node)
        if column.type != "BOOL":
            raise scope.source.type_mismatch(
                f"column {column.name} is {column.type}, not a boolean", column.name, node, CONDITION_FORM
            )
        return Compare(column, "=", not negated)
    binder = _BINDERS.get(type(node))
    if binder is None:
        raise scope.source.not_supported(f"{construct_name(node)} in WHERE", node, CONDITION_FORM)
    return binder(scope, node, negated)


_BINDERS: dict[type[exp.Expr], Callable[[Scope, exp.Expr, bool], Condition]] = {
    **dict.fromkeys(compare.OPERATORS, compare.bind_compare),
    exp.In: compare.bind_in,
    exp.Between: compare.bind_between,
    exp.Is: compare.bind_is,
    exp.Like: texts.bind_like,
    exp.MatchAgainst: texts.bind_match,
    exp.ArrayContainsAll: arrays.bind_has_all,
    exp.ArrayContainedBy: arrays.bind_contained,
    exp.ArrayOverlaps: arrays.bind_overlaps,
}
