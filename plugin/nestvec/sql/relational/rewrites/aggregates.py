"""Aggregates: sums of integers, regressions."""

from __future__ import annotations

from sqlglot import exp

from nestvec.sql.relational.rewrites.nodes import INTEGERS, call, kind, outside


def rewrite_sum(node: exp.Sum) -> exp.Expr:
    if kind(node.this) in INTEGERS and kind(node.this) != exp.DType.BIGINT:
        return outside(node, lambda wrapped: exp.cast(wrapped, "bigint"))
    if kind(node.this) == exp.DType.BIGINT:
        return outside(node, lambda wrapped: exp.cast(wrapped, "decimal(38, 0)"))
    if kind(node.this) == exp.DType.FLOAT:
        return outside(node, lambda wrapped: exp.cast(wrapped, "real"))
    return node


def regression(node: exp.Expr) -> exp.Expr:
    """Of points without a spread DuckDB gives NaN, PostgreSQL NULL."""
    return outside(node, lambda wrapped: call("pg_no_nan", wrapped))


def within_group(node: exp.WithinGroup) -> exp.Expr:
    """percentile_cont() of a NUMERIC is a double; DuckDB rounds it to the digits of the column."""
    if isinstance(node.this, exp.PercentileCont):
        for key in node.expression.find_all(exp.Ordered):
            if kind(key.this) == exp.DType.DECIMAL:
                key.set("this", exp.cast(key.this.copy(), "double"))
    return node
