"""Comparisons of more than two numbers: rows, the rows of a subquery, and CASE with a value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlglot import exp

from nestvec.sql.parse.source import select_lists, without_parens
from nestvec.sql.relational.rewrites.nodes import anonymous_name

_ORDERED: Final = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)


def compared_pairs(node: exp.Expr) -> Sequence[Sequence[exp.Expr]]:
    """The numbers that a comparison compares with each other, by column; none for one of two numbers.

    Also none for a subquery whose rows are in an order that its select list must have.
    """
    if isinstance(node, exp.Case):
        value = node.this
        return [[value, *(branch.this for branch in node.args["ifs"])]] if isinstance(value, exp.Expr) else []
    if isinstance(node, exp.In):
        query = node.args.get("query")
        return _with_rows(node.this, query) if isinstance(query, exp.Expr) else []
    if not isinstance(node, _ORDERED):
        return []
    left, right = without_parens(node.this), without_parens(node.expression)
    if (query := _quantified(right)) is not None:
        return _with_rows(left, query)
    if isinstance(left, exp.Tuple) and isinstance(right, exp.Tuple):
        return list(zip(left.expressions, right.expressions, strict=False))
    return []


def _quantified(node: exp.Expr) -> exp.Expr | None:
    """The query of ANY (SELECT …) and ALL (SELECT …)."""
    if isinstance(node, (exp.Any, exp.All)):
        query = node.this
    elif anonymous_name(node) == "ALL" and node.expressions:
        query = node.expressions[0]
    else:
        return None
    return query if isinstance(query, exp.Query) else None


def _with_rows(value: exp.Expr, query: exp.Expr) -> Sequence[Sequence[exp.Expr]]:
    query = query.unnest()
    if not isinstance(query, exp.Query):
        return []
    is_sorted = query.args.get("order") is not None
    if is_sorted and (isinstance(query, exp.SetOperation) or query.args.get("distinct") is not None):
        return []
    row = without_parens(value)
    values = row.expressions if isinstance(row, exp.Tuple) else [value]
    lists = [select.expressions for select in select_lists(query)]
    if not lists or any(len(items) != len(values) for items in lists):
        return []
    columns = zip(*lists, strict=True)
    return [[each, *(item.unalias() for item in items)] for each, items in zip(values, columns, strict=True)]
