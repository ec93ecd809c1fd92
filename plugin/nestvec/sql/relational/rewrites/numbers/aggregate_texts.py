"""Aggregates of NUMERIC as texts: avg(), stddev(), variance(), and sum(), max(), min() of computed numbers.

DuckDB has doubles for averages and deviations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlglot import exp

from nestvec.sql.relational.rewrites.nodes import call, kind
from nestvec.sql.relational.rewrites.numbers.exactness import (
    NEIGHBOURS,
    SPREADS,
    aggregate_of,
    argument_of,
    is_inexact,
    takes_apart,
)

_NAMES: Final[dict[type[exp.Expr], str]] = {
    exp.Stddev: "stddev_samp",
    exp.StddevSamp: "stddev_samp",
    exp.StddevPop: "stddev_pop",
    exp.Variance: "var_samp",
    exp.VariancePop: "var_pop",
}
_SMALL: Final = (exp.DType.TINYINT, exp.DType.SMALLINT, exp.DType.INT)
"""Integers whose squares have a sum in 128 bits."""
_SUM_TYPES: Final = dict.fromkeys(_SMALL, exp.DType.BIGINT)

Digits = Callable[[exp.Expr], exp.Expr]
"""What makes a text of a number."""


def aggregate_text(value: exp.Expr, digits_of: Digits) -> exp.Expr | None:
    """The text of an aggregate, with its FILTER and OVER; None for one that DuckDB computes."""
    aggregate = aggregate_of(value)
    argument = argument_of(aggregate)
    if argument is None or not takes_apart(value):
        return None
    if isinstance(aggregate, exp.Avg):
        total = _with(value, exp.Sum(this=aggregate.this.copy()))
        for part in (total, aggregate_of(total)):
            part.type = exp.DataType(this=_SUM_TYPES.get(kind(argument), exp.DType.DECIMAL))
        count = _with(value, exp.Count(this=aggregate.this.copy()))
        return call("pg_average", digits_of(total), count)
    if isinstance(aggregate, SPREADS):
        return _spread_text(value, aggregate, argument, digits_of)
    text = digits_of(argument)
    if isinstance(aggregate, exp.Sum):
        if isinstance(aggregate.this, exp.Distinct):
            text = exp.Distinct(expressions=[call("pg_trimmed", text)])
        texts = _with(value, call("list", text))
        return call("pg_unless_empty", call("pg_numeric_sum", texts))
    if isinstance(aggregate, NEIGHBOURS):
        other = aggregate.copy()
        other.set("this", text)
        return _with(value, other)
    name = "arg_max" if isinstance(aggregate, exp.Max) else "arg_min"
    return _with(value, call(name, text, call("pg_numeric_key", text)))


def _with(value: exp.Expr, other: exp.Expr) -> exp.Expr:
    """Another aggregate of the same rows."""
    if not isinstance(value, (exp.Filter, exp.Window)):
        return other
    copied = value.copy()
    aggregate_of(copied).replace(other)
    return copied


def _spread_text(value: exp.Expr, aggregate: exp.Expr, argument: exp.Expr, digits_of: Digits) -> exp.Expr:
    word = exp.Literal.string(_NAMES[type(aggregate)])
    is_distinct = isinstance(aggregate.this, exp.Distinct)
    if is_distinct or kind(argument) not in _SMALL:
        text = digits_of(argument)
        if is_distinct and is_inexact(argument):
            text = call("pg_trimmed", text)
        texts = call("list", exp.Distinct(expressions=[text]) if is_distinct else text)
        return _or_null(call("pg_spread_text", _with(value, texts), word))
    wide = exp.cast(argument.copy(), "bigint")
    squared = exp.Mul(this=wide.copy(), expression=wide.copy())
    sums = [exp.cast(_with(value, exp.Sum(this=each)), "int128") for each in (wide.copy(), squared)]
    count = _with(value, exp.Count(this=aggregate.this.copy()))
    return _or_null(call("pg_spread_of_sums_text", *sums, count, word))


def _or_null(text: exp.Expr) -> exp.Expr:
    """A function of Python's gives no NULL."""
    return call("nullif", text, exp.Literal.string(""))
