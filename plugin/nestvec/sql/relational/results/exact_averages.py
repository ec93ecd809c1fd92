"""avg(), stddev(), variance() and their like of exact numbers in a select list, with PostgreSQL's digits.

DuckDB has doubles for them; inside of expressions they stay doubles.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlglot import exp

from nestvec.sql.relational.rewrites.nodes import call, kind, order_by_value

_SPREADS: Final[dict[type[exp.Expr], str]] = {
    exp.Stddev: "stddev_samp",
    exp.StddevSamp: "stddev_samp",
    exp.StddevPop: "stddev_pop",
    exp.Variance: "var_samp",
    exp.VariancePop: "var_pop",
}
_SMALL: Final = (exp.DType.TINYINT, exp.DType.SMALLINT, exp.DType.INT)
"""Integers whose squares have a sum in 128 bits."""
_EXACT: Final = (*_SMALL, exp.DType.BIGINT, exp.DType.DECIMAL)


def use_exact_averages(tree: exp.Expr) -> exp.Expr:
    """Write such items of the outermost, typed SELECT as calls that give texts of numbers.

    Returns the tree.
    """
    if not isinstance(tree, exp.Select) or tree.args.get("distinct") is not None:
        return tree
    for at, item in enumerate(tree.expressions, 1):
        exact = _exact(item.unalias())
        if exact is not None and order_by_value(tree, item, at):
            exact.type = item.unalias().type
            item.unalias().replace(exact)
    return tree


def _exact(value: exp.Expr) -> exp.Expr | None:
    """The same value exactly; None for another one."""
    aggregate = value
    while isinstance(aggregate, (exp.Filter, exp.Window)):
        aggregate = aggregate.this
    argument = aggregate.this if isinstance(aggregate, (exp.Avg, *_SPREADS)) else None
    if isinstance(argument, exp.Distinct):
        argument = argument.expressions[0]
    if argument is None or kind(argument) not in _EXACT:
        return None

    def aggregate_of(other: Callable[[exp.Expr], exp.Expr]) -> exp.Expr:
        """Another aggregate of the same rows."""
        if value is aggregate:
            return other(aggregate.this.copy())
        copied = value.copy()
        inner = copied
        while isinstance(inner, (exp.Filter, exp.Window)):
            inner = inner.this
        inner.replace(other(inner.this.copy()))
        return copied

    if isinstance(aggregate, exp.Avg):
        total, count = (
            aggregate_of(lambda node: exp.Sum(this=node)),
            aggregate_of(lambda node: exp.Count(this=node)),
        )
        return call("pg_average", exp.cast(total, "text"), count)
    word = exp.Literal.string(_SPREADS[type(aggregate)])
    if isinstance(aggregate.this, exp.Distinct) or kind(argument) not in _SMALL:
        if isinstance(value, exp.Window):
            return None
        texts = aggregate_of(lambda node: exp.ArrayAgg(this=_each_as_text(node)))
        return _or_null(call("pg_spread_text", texts, word))
    wide = exp.cast(argument.copy(), "bigint")
    squared = exp.Mul(this=wide.copy(), expression=wide.copy())
    sums = (
        aggregate_of(lambda node: exp.Sum(this=wide.copy())),
        aggregate_of(lambda node: exp.Sum(this=squared.copy())),
    )
    count = aggregate_of(lambda node: exp.Count(this=node))
    return _or_null(call("pg_spread_of_sums_text", *sums, count, word))


def _or_null(text: exp.Expr) -> exp.Expr:
    """A function of Python's gives no NULL."""
    return call("nullif", text, exp.Literal.string(""))


def _each_as_text(node: exp.Expr) -> exp.Expr:
    if isinstance(node, exp.Distinct):
        return exp.Distinct(expressions=[exp.cast(node.expressions[0].copy(), "text")])
    return exp.cast(node.copy(), "text")
