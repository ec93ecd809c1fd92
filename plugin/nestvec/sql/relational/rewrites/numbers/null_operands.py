"""Arithmetic with a constant NULL: PostgreSQL computes no other operand of it, and has no error of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlglot import exp

from nestvec.sql.relational.rewrites.nodes import kind
from nestvec.sql.relational.rewrites.numbers.numeric_types import ARITHMETIC

_STRICT: Final = (*ARITHMETIC, exp.IntDiv, exp.Pow)


def fold_nulls(nodes: Sequence[exp.Expr]) -> bool:
    """Write NULL, of the same type, for such arithmetic. Whether there was any; the tree is changed."""
    changed = False
    for node in reversed(nodes):
        if not isinstance(node, _STRICT) or node.type is None or kind(node) is None:
            continue
        operands = (node.this, node.args["expression"])
        if any(map(is_null, operands)) and node.parent is not None:
            null = exp.cast(exp.null(), node.type)
            null.type = node.type
            node.replace(null)
            changed = True
    return changed


def is_null(node: exp.Expr) -> bool:
    """Whether a node is NULL, or a cast of it."""
    node = node.unnest()
    return isinstance(node, exp.Null) or (isinstance(node, exp.Cast) and is_null(node.this))
