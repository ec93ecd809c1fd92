"""Arithmetic with a constant NULL: PostgreSQL computes no other operand of it, and has no error of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlglot import exp

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
        if any(map(is_null, operands)) and node.parent is not None and not decides_rows(node):
            null = exp.cast(exp.null(), node.type)
            null.type = node.type
            node.replace(null)
            changed = True
    return changed


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
