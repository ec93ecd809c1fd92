"""Aggregates of NUMERIC as texts: avg(), stddev(), variance(), and sum(), max(), min() of computed numbers.

DuckDB has doubles for averages and deviations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlglot import exp

from nestvec.sql.relational.functions.quotients import layout
from nestvec.sql.relational.rewrites.nodes import call, kind
from nestvec.sql.relational.rewrites.numbers.exactness import (
    NEIGHBOURS,
    SPREADS,
    aggregate_of,
    argument_of,
    is_inexact,
    takes_apart,
)
from nestvec.sql.relational.rewrites.numbers.fixed_values import ROUGH_DIGITS, Fixed, fixed_value

_NAMES: Final[dict[type[exp.Expr], str]] = {
    exp.Stddev: "stddev_samp",
    exp.StddevSamp: "stddev_samp",
    exp.StddevPop: "stddev_pop",
    exp.Variance: "var_samp",
    exp.VariancePop: "var_pop",
}
_SMALL: Final = (exp.DType.TINYINT, exp.DType.SMALLINT, exp.DType.INT)
"""Integers whose squares have a sum in 128 bits."""
_BIGINT: Final = 19
_HALF: Final = 15
"""Digits of a part of an integer: 10**8 products of two such parts have a sum in 128 bits."""
_SUMMED: Final = 28
"""Digits of integers of which 10**10 have a sum in 128 bits."""
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
        if (text := _fixed_average(value, aggregate, fixed_value(argument))) is not None:
            return text
        total = _with(value, exp.Sum(this=aggregate.this.copy()))
        for part in (total, aggregate_of(total)):
            part.type = exp.DataType(this=_SUM_TYPES.get(kind(argument), exp.DType.DECIMAL))
        count = _with(value, exp.Count(this=aggregate.this.copy()))
        return call("pg_average", digits_of(total), count)
    if isinstance(aggregate, SPREADS):
        return _spread_text(value, aggregate, argument, digits_of)
    if isinstance(aggregate, exp.WithinGroup):
        copied = value.copy()
        keyed_order(aggregate_of(copied), digits_of)
        return call("pg_digits_of", copied)
    fixed = fixed_value(argument)
    if fixed is not None and isinstance(aggregate, (exp.Sum, exp.Max, exp.Min)):
        return _fixed_aggregate(value, aggregate, fixed)
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


def keyed_order(aggregate: exp.Expr, digits_of: Digits) -> None:
    """Have an aggregate choose among keys that have the digits of the number beside them."""
    for ordered in aggregate.expression.expressions:
        text = digits_of(ordered.this)
        ordered.set("this", call("pg_keyed", call("pg_numeric_key", text), text.copy()))


def _fixed_aggregate(value: exp.Expr, aggregate: exp.Expr, numbers: Fixed) -> exp.Expr:
    """A sum, or the largest or smallest number, of integers."""
    units, places = numbers.units, exp.Literal.number(numbers.places)
    if not isinstance(aggregate, exp.Sum):
        extreme = _with(value, call("max" if isinstance(aggregate, exp.Max) else "min", units))
        name = "arg_max" if isinstance(aggregate, exp.Max) else "arg_min"
        scale = _with(value, call(name, numbers.scale_node, units))
        return call("pg_fixed_text", extreme, places, scale)
    scale = _with(value, call("max", numbers.scale_node))
    digits = numbers.before + numbers.places
    if digits <= _SUMMED:
        return call("pg_fixed_text", _with(value, _sum(aggregate, units)), places, scale)
    # In two parts, so that sums of many rows have room.
    unit = exp.Literal.string(str(10 ** (digits - ROUGH_DIGITS)))
    parts = [
        _with(value, _sum(aggregate, call(name, units, unit))) for name in ("pg_upper_part", "pg_lower_part")
    ]
    return call("pg_sum_of_parts", *parts, unit, places, scale)


def _fixed_average(value: exp.Expr, aggregate: exp.Expr, numbers: Fixed | None) -> exp.Expr | None:
    """An average of integers with the same places each; None for other numbers."""
    if numbers is None or numbers.scale is not None or numbers.before + numbers.places > _SUMMED:
        return None
    total = exp.cast(_with(value, _sum(aggregate, numbers.units)), "decimal(38, 0)")
    count = exp.cast(_with(value, exp.Count(this=aggregate.this.copy())), "decimal(38, 0)")
    return call("pg_quotient_text", total, count, exp.Literal.number(layout(numbers.places, 0, 0)))


def _sum(aggregate: exp.Expr, units: exp.Expr) -> exp.Expr:
    is_distinct = isinstance(aggregate.this, exp.Distinct)
    return call("sum", exp.Distinct(expressions=[units]) if is_distinct else units)


def _with(value: exp.Expr, other: exp.Expr) -> exp.Expr:
    """Another aggregate of the same rows."""
    if not isinstance(value, (exp.Filter, exp.Window)):
        return other
    copied = value.copy()
    aggregate_of(copied).replace(other)
    return copied


def _spread_text(value: exp.Expr, aggregate: exp.Expr, argument: exp.Expr, digits_of: Digits) -> exp.Expr:
    word = exp.Literal.string(_NAMES[type(aggregate)])
    if isinstance(value, exp.Window) and (numbers := spread_numbers(argument)) is not None:
        return _spread_of_units(value, aggregate, numbers, word)
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


def spread_numbers(argument: exp.Expr) -> Fixed | None:
    """The integers whose squares are summed over a window; None for numbers with more digits."""
    if kind(argument) == exp.DType.BIGINT:
        return Fixed(argument, 0, _BIGINT)
    fixed = fixed_value(argument)
    return fixed if fixed is not None and fixed.before + fixed.places <= 2 * _HALF else None


def _spread_of_units(value: exp.Expr, aggregate: exp.Expr, numbers: Fixed, word: exp.Expr) -> exp.Expr:
    """A variance or deviation by sums of integers and of their squares, each in two parts of few digits."""
    digits = max(numbers.before + numbers.places - _HALF, 0)
    unit = exp.Literal.string(str(10**digits))
    upper, lower = (
        call(name, call("pg_wide", numbers.units), unit) for name in ("pg_upper_part", "pg_lower_part")
    )
    products = [(upper, upper), (upper, lower), (lower, lower)]
    summed = [upper, lower, *(call("pg_product", a.copy(), b.copy()) for a, b in products)]
    sums = exp.Array(expressions=[_with(value, call("sum", part.copy())) for part in summed])
    sums.type = exp.DataType.build("array<int128>")
    count = _with(value, exp.Count(this=aggregate.this.copy()))
    scale = _with(value, call("max", numbers.scale_node))
    places = exp.Literal.number(100 * digits + numbers.places)
    return _or_null(call("pg_spread_of_parts_text", sums, count, places, scale, word))


def _or_null(text: exp.Expr) -> exp.Expr:
    """A function of Python's gives no NULL."""
    return call("nullif", text, exp.Literal.string(""))
