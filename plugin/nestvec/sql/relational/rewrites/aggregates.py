"""Aggregates: sums of integers, of vectors, regressions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlglot import exp

from nestvec.sql.relational.rewrites.nodes import INTEGERS, call, is_vector, kind, outside

_MAX_DIM_OF_SUM: Final = 4_096


def rewrite_sum(node: exp.Sum) -> exp.Expr:
    if is_vector(node.this):
        return _vector_aggregate(node, exp.Sum)
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


def rewrite_avg(node: exp.Avg) -> exp.Expr:
    return _vector_aggregate(node, exp.Avg) if is_vector(node.this) else node


def within_group(node: exp.WithinGroup) -> exp.Expr:
    """percentile_cont() of a NUMERIC is a double; DuckDB rounds it to the digits of the column."""
    if isinstance(node.this, exp.PercentileCont):
        for key in node.expression.find_all(exp.Ordered):
            if kind(key.this) == exp.DType.DECIMAL:
                key.set("this", exp.cast(key.this.copy(), "double"))
    return node


def _vector_aggregate(node: exp.Expr, aggregate: Callable[..., exp.Expr]) -> exp.Expr:
    """The aggregate of each element: DuckDB has none of lists."""
    type_ = node.this.type
    sizes = [int(value.name) for value in type_.args.get("values") or () if value.name.isdecimal()]
    dim = sizes[0] if sizes else 0
    if not 0 < dim <= _MAX_DIM_OF_SUM:
        return node
    parts = [
        aggregate(this=exp.Bracket(this=node.this.copy(), expressions=[exp.Literal.number(at)], offset=1))
        for at in range(1, dim + 1)
    ]
    values = exp.cast(exp.Array(expressions=parts), "float[]")
    counted = exp.Count(this=node.this.copy())
    case = exp.Case(ifs=[exp.If(this=exp.GT(this=counted, expression=exp.Literal.number(0)), true=values)])
    case.type = type_
    return case
