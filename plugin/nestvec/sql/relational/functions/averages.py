"""Sums, averages, variances and deviations of exact numbers, with the digits that PostgreSQL computes."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import MAX_EMAX, MAX_PREC, ROUND_HALF_UP, Context, Decimal
from typing import Final

from nestvec.sql.relational.functions.in_python import Function
from nestvec.sql.relational.functions.quotient_scale import divide, scale_of

_EXACT: Final = Context(prec=MAX_PREC, Emax=MAX_EMAX, rounding=ROUND_HALF_UP)


def average(total: str, count: int) -> str:
    """The average of numbers with this sum."""
    return f"{divide(Decimal(total), Decimal(count)):f}"


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


def spread_of_parts(
    parts: Sequence[int | None], count: int, packed_places: int, scale: int | None, kind: str
) -> str:
    """The variance or deviation of integers, of which each has an upper and a lower part.

    ``parts`` are the sums of both and of their products. Of 10**``digits``, as many as the upper part
    lacks, and 10**``places``, by which the numbers are multiplied, ``packed_places`` has 100 of the one.
    """
    if not count or scale is None:
        return ""
    upper, lower, uppers, mixed, lowers = (int(part or 0) for part in parts)
    digits, places = divmod(packed_places, 100)
    unit = 10**digits
    total, squares = upper * unit + lower, uppers * unit**2 + 2 * mixed * unit + lowers
    numbers = ((total, places, scale), (squares, 2 * places, 2 * scale))
    shown = [
        Decimal(units).scaleb(-most, _EXACT).quantize(Decimal(1).scaleb(-shown), context=_EXACT)
        for units, most, shown in numbers
    ]
    return _spread(shown[0], shown[1], count, kind)


def _spread(total: Decimal, squares: Decimal, count: int, kind: str) -> str:
    of_all = kind.endswith("_pop")
    if count < (1 if of_all else 2):
        return ""
    scaled = _EXACT.subtract(_EXACT.multiply(squares, Decimal(count)), _EXACT.multiply(total, total))
    if scaled <= 0:
        return "0"
    divisor = Decimal(count * (count if of_all else count - 1))
    variance = divide(scaled, divisor)
    if kind.startswith("var"):
        return f"{variance:f}"
    places = scale_of(variance)
    precise = Context(prec=max(variance.adjusted(), 0) + places + 10, rounding=ROUND_HALF_UP)
    return f"{precise.sqrt(variance).quantize(Decimal(1).scaleb(-places), context=_EXACT):f}"


AVERAGES: Final[tuple[Function, ...]] = (
    ("pg_average", average, ["VARCHAR", "BIGINT"], "VARCHAR"),
    ("pg_sum_of_parts", sum_of_parts, ["HUGEINT", "HUGEINT", "VARCHAR", "INTEGER", "INTEGER"], "VARCHAR"),
    ("pg_spread_text", spread, ["VARCHAR[]", "VARCHAR"], "VARCHAR"),
    (
        "pg_spread_of_parts_text",
        spread_of_parts,
        ["HUGEINT[]", "BIGINT", "INTEGER", "INTEGER", "VARCHAR"],
        "VARCHAR",
    ),
    ("pg_spread_of_sums_text", spread_of_sums, ["HUGEINT", "HUGEINT", "BIGINT", "VARCHAR"], "VARCHAR"),
)
