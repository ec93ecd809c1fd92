"""avg() and sum() of vectors: DuckDB gathers them, and Python adds them as pgvector does."""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from nestvec.sql.parse.source import SourceText
from nestvec.sql.parse.vectors.kinds import DENSE, vector_dims, vector_kind
from nestvec.sql.relational.rewrites.nodes import call
from nestvec.sql.relational.rewrites.vectors.values import as_kind, as_list, computed_kind, with_kind

_MAX_WINDOW_DIM: Final = 4_096
"""Dimensions of vectors over a window, each of which is a window of DuckDB."""


def rewrite_aggregate(source: SourceText, node: exp.Avg | exp.Sum) -> exp.Expr:
    """``avg(v)`` with the FILTER or OVER around it, which is replaced. Raises SqlTypeMismatch."""
    argument = _argument(node)
    kind = computed_kind(vector_kind(argument))
    word = "avg" if isinstance(node, exp.Avg) else "sum"
    if kind not in DENSE:
        raise source.type_mismatch(
            f"function {word}({kind}) does not exist", kind, node, "Cast the vectors: ::vector."
        )
    argument.replace(as_kind(source, as_list(argument), kind).copy())
    outermost: exp.Expr = node
    while isinstance(outermost.parent, (exp.Filter, exp.Window)) and outermost.arg_key == "this":
        outermost = outermost.parent
    dims = vector_dims(_argument(node).unnest().type)
    if isinstance(outermost, exp.Window) and dims is not None and dims <= _MAX_WINDOW_DIM:
        result = _over_window(node, outermost, dims)
    else:
        gathered = _with_aggregate(
            node, outermost, exp.Anonymous(this="list", expressions=[node.this.copy()])
        )
        if isinstance(node.this, exp.Distinct):
            # pgvector meets them in their order.
            gathered = call("list_sort", gathered)
        name = "pg_vector_mean" if word == "avg" else "pg_vector_total"
        result = call(name, gathered, exp.Literal.string(kind))
    if dims is not None and isinstance(outermost, exp.Window) and kind != "vector":
        result = call("pg_vector_as", result, exp.Literal.string(kind))
    with_kind(result, kind, dims)
    if outermost is node:
        return result
    outermost.replace(result)
    return node


def _argument(node: exp.Expr) -> exp.Expr:
    """What is added, behind DISTINCT and before ORDER BY."""
    argument: exp.Expr = node.this
    while isinstance(argument, (exp.Distinct, exp.Order)):
        argument = argument.expressions[0] if isinstance(argument, exp.Distinct) else argument.this
    return argument


def _with_aggregate(node: exp.Expr, outermost: exp.Expr, aggregate: exp.Expr) -> exp.Expr:
    """The FILTER and OVER of a node around another aggregate."""
    if outermost is node:
        return aggregate
    copied = outermost.copy()
    innermost = copied
    while isinstance(innermost.this, (exp.Filter, exp.Window)):
        innermost = innermost.this
    innermost.set("this", aggregate)
    return copied


def _over_window(node: exp.Expr, outermost: exp.Expr, dims: int) -> exp.Expr:
    """One window for each dimension: a list for each row would have all rows of the window."""
    parts = []
    for at in range(1, dims + 1):
        number = exp.cast(call("list_extract", _argument(node), exp.Literal.number(at)), "double")
        number.type = exp.DataType(this=exp.DType.DOUBLE)
        aggregate = type(node)(this=number)
        aggregate.type = exp.DataType(this=exp.DType.DOUBLE)
        part = exp.cast(_with_aggregate(node, outermost, aggregate), "float")
        part.type = exp.DataType(this=exp.DType.FLOAT)
        parts.append(part)
    return call("pg_vector_or_null", exp.Array(expressions=parts))
