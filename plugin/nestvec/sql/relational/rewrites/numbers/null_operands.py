"""Arithmetic with a constant NULL: PostgreSQL computes no other operand of it, and has no error of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlglot import exp

from nestvec.sql.parse.source import without_parens
from nestvec.sql.relational.rewrites.nodes import anonymous_name, kind
from nestvec.sql.relational.rewrites.numbers.numeric_types import ARITHMETIC

_STRICT: Final = (*ARITHMETIC, exp.IntDiv, exp.Pow)
_AGGREGATES: Final = ("EVERY", "JSONB_AGG")
"""Aggregates that sqlglot does not know."""


def fold_nulls(nodes: Sequence[exp.Expr]) -> bool:
    """Write NULL, of the same type, for such arithmetic. Whether there was any; the tree is changed."""
    changed = False
    for node in reversed(nodes):
        if not isinstance(node, _STRICT) or node.type is None or kind(node) is None:
            continue
        operands = (node.this, node.args["expression"])
        failing = next(filter(None, map(_by_zero, operands)), None)
        if failing is not None and any(map(is_null, operands)):
            # PostgreSQL computes constants first: the error, whatever is added to it.
            node.replace(exp.cast(failing.copy(), node.type))
            changed = True
        elif any(map(is_null, operands)) and node.parent is not None and not decides_rows(node):
            null = exp.cast(exp.null(), node.type)
            null.type = node.type
            node.replace(null)
            changed = True
    return changed


def _by_zero(value: exp.Expr) -> exp.Expr | None:
    """A division of a constant by zero in a value without columns; None if there is none."""
    if value.find(exp.Column, exp.Query, exp.AggFunc) is not None:
        return None
    for node in value.find_all(exp.Div, exp.IntDiv, exp.Mod):
        divisor = without_parens(node.args["expression"])
        is_zero = (
            isinstance(divisor, exp.Literal) and not divisor.is_string and divisor.name.strip("0.") == ""
        )
        if is_zero and not is_null(node.this):
            return node
    return None


def decides_rows(value: exp.Expr) -> bool:
    """Whether a query without a value may have another number of rows: ``count(*) + NULL`` makes it one."""
    return any(
        isinstance(part, exp.AggFunc) or anonymous_name(part) in _AGGREGATES
        for part in value.walk(prune=lambda part: isinstance(part, exp.Query))
    )


def is_null(node: exp.Expr) -> bool:
    """Whether a node is NULL, or a cast of it."""
    node = node.unnest()
    return isinstance(node, exp.Null) or (isinstance(node, exp.Cast) and is_null(node.this))
