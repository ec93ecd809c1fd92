"""Sums, averages, variances and deviations of exact numbers, with the digits that PostgreSQL computes."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import MAX_EMAX, MAX_PREC, ROUND_HALF_UP, Context, Decimal
from typing import Final

from nestvec.sql.relational.functions.in_python import Function

_SIGNIFICANT: Final = 16
"""Digits of a quotient, at least."""
_GROUP: Final = 4
"""Decimal digits of a digit of a NUMERIC."""
_MAX_SCALE: Final = 1_000

_EXACT: Final = Context(prec=MAX_PREC, Emax=MAX_EMAX, rounding=ROUND_HALF_UP)


def average(total: str, count: int) -> str:
    """The average of numbers with this sum."""
    return f"{_quotient(Decimal(total), Decimal(count)):f}"


def sum_of_parts(upper: int, lower: int, unit: str, places: int, scale: int) -> str:
    """The sum of numbers whose integers, a power of ten of each, were divided by ``unit``."""
    total = upper * int(unit) + lower
    return f"{Decimal(total).scaleb(-places, _EXACT).quantize(Decimal(1).scaleb(-scale), context=_EXACT):f}"


def spread_of_sums(total: int, squares: int, count: int, kind: str) -> str:
    """The variance or deviation of integers by their sum, the sum of their squares, and how many they are.

    Empty for NULL.
    """
    return _spread(Decimal(total), Decimal(squares), count, kind)


def spread(numbers: Sequence[str | None], kind: str) -> str:
    """The variance or deviation of numbers; ``kind`` is the aggregate's name.

    Empty for NULL.
    """
    values = [Decimal(number) for number in numbers if number is not None]
    total = squares = Decimal(0)
    for value in values:
        total = _EXACT.add(total, value)
        squares = _EXACT.add(squares, _EXACT.multiply(value, value))
    return _spread(total, squares, len(values), kind)


def _spread(total: Decimal, squares: Decimal, count: int, kind: str) -> str:
    of_all = kind.endswith("_pop")
    if count < (1 if of_all else 2):
        return ""
    scaled = _EXACT.subtract(_EXACT.multiply(squares, Decimal(count)), _EXACT.multiply(total, total))
    if scaled <= 0:
        return "0"
    divisor = Decimal(count * (count if of_all else count - 1))
    variance = _quotient(scaled, divisor)
    if kind.startswith("var"):
        return f"{variance:f}"
    places = _scale_of(variance)
    precise = Context(prec=max(variance.adjusted(), 0) + places + 10, rounding=ROUND_HALF_UP)
    return f"{precise.sqrt(variance).quantize(Decimal(1).scaleb(-places), context=_EXACT):f}"


def _scale_of(number: Decimal) -> int:
    return max(0, -int(number.as_tuple().exponent))


def _quotient(number: Decimal, divisor: Decimal) -> Decimal:
    """A quotient with as many digits as PostgreSQL's, whose digits are groups of four."""
    (weight, first), (other_weight, other_first) = _leading_group(number), _leading_group(divisor)
    weight -= other_weight + (first <= other_first)
    min_places = _SIGNIFICANT - weight * _GROUP
    places = min(max(min_places, _scale_of(number), _scale_of(divisor), 0), _MAX_SCALE)
    scale = _scale_of(number)
    digits = abs(int(number.scaleb(places + 1 + scale, _EXACT)))
    # A digit more than is shown decides the rounding.
    rounded = (digits // (int(divisor) * 10**scale) + 5) // 10
    sign = 1 if number < 0 and rounded else 0
    return Decimal((sign, tuple(map(int, str(rounded))), -places))


def _leading_group(number: Decimal) -> tuple[int, int]:
    """The weight of the first group of four digits, and that group."""
    if not number:
        return 0, 0
    weight = number.adjusted() // _GROUP
    return weight, int(abs(number).scaleb(-weight * _GROUP, _EXACT))


AVERAGES: Final[tuple[Function, ...]] = (
    ("pg_average", average, ["VARCHAR", "BIGINT"], "VARCHAR"),
    ("pg_sum_of_parts", sum_of_parts, ["HUGEINT", "HUGEINT", "VARCHAR", "INTEGER", "INTEGER"], "VARCHAR"),
    ("pg_spread_text", spread, ["VARCHAR[]", "VARCHAR"], "VARCHAR"),
    ("pg_spread_of_sums_text", spread_of_sums, ["HUGEINT", "HUGEINT", "BIGINT", "VARCHAR"], "VARCHAR"),
)
