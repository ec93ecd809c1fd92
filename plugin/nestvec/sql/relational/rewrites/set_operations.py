"""Types of the columns of UNION, INTERSECT and EXCEPT."""

from __future__ import annotations

from sqlglot import exp

from nestvec.sql.parse.source import select_lists
from nestvec.sql.relational.rewrites.nodes import TEXT_TYPES, kind


def type_constants(node: exp.SetOperation) -> exp.SetOperation:
    """Give a string constant the type that its column has in the other queries: DuckDB makes all texts."""
    for items in zip(*(select.expressions for select in select_lists(node)), strict=False):
        others = [item for item in items if not _is_string(item) and kind(item) not in (None, exp.DType.NULL)]
        if not others or kind(others[0]) in TEXT_TYPES:
            continue
        for item in items:
            constant = item.unalias()
            if _is_string(constant):
                constant.replace(exp.cast(constant.copy(), others[0].type))
    return node


def _is_string(node: exp.Expr) -> bool:
    node = node.unalias()
    return isinstance(node, exp.Literal) and node.is_string
