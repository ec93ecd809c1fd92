"""Values in an order: generate_series() of times, and DISTINCT in aggregates."""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from nestvec.sql.relational.rewrites.calls.times import interval_of, moment_of
from nestvec.sql.relational.rewrites.datetime_texts import DATETIME_TYPES
from nestvec.sql.relational.rewrites.functions import series
from nestvec.sql.relational.rewrites.nodes import JSON_TYPES, anonymous_name, kind

_LISTING: Final = (exp.ArrayAgg, exp.GroupConcat, exp.JSONArrayAgg)


def series_of_times(node: exp.Expr) -> exp.Expr:
    """``generate_series(day, day, interval)`` is of timestamps with a zone, as days are there."""
    bounds = (node.args["start"], node.args["end"])
    types = [kind(bound) for bound in bounds if kind(bound) in DATETIME_TYPES]
    if not types:
        return series(node)
    zoned = exp.DType.DATE in types or exp.DType.TIMESTAMPTZ in types
    type_ = exp.DType.TIMESTAMPTZ if zoned else exp.DType.TIMESTAMP
    for name, bound in zip(("start", "end"), bounds, strict=True):
        node.set(name, moment_of(bound, type_).copy())
    step = node.args.get("step")
    if step is not None:
        node.set("step", interval_of(step).copy())
    return node


def ordered_values(node: exp.Distinct) -> exp.Expr:
    """``array_agg(DISTINCT x)``: PostgreSQL sorts the values to find equal ones, DuckDB keeps any order."""
    values = node.expressions
    lists = isinstance(node.parent, _LISTING) or anonymous_name(node.parent or node) == "JSONB_AGG"
    if not lists or len(values) != 1 or kind(values[0]) in JSON_TYPES:
        return node
    key = exp.Ordered(this=values[0].copy(), desc=False, nulls_first=False)
    return exp.Order(this=node.copy(), expressions=[key])
