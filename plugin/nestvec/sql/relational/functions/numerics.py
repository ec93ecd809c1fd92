"""Arithmetic of NUMERIC in texts, with as many digits behind the point as PostgreSQL gives each result.

The rules are those of PostgreSQL's numeric.c: a quotient, a root and a logarithm have at least 16 significant
digits. DuckDB has one number of places for a column, and doubles for these.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from decimal import ROUND_DOWN, ROUND_HALF_UP, Context, Decimal, DecimalException
from functools import lru_cache
from typing import Final

from nestvec.sql.relational.functions import series
from nestvec.sql.relational.functions.quotient_scale import divide, scale_of
from nestvec.sql.relational.functions.series import Number
from nestvec.sql.relational.functions.short_numerics import short_key, short_result
from nestvec.sqltypes.decimals import from_sorted_text, to_sorted_text

_MAX_PLACES: Final = 1_000
_MAX_SERIES: Final = 1_000_000
_MAX_DIGITS: Final = 5_000
"""Digits before the point: PostgreSQL has 131,072, which take seconds."""
_EXACT: Final = Context(prec=2 * (_MAX_DIGITS + _MAX_PLACES) + 100, Emax=999_999, Emin=-999_999)


def _rounded(value: Decimal, places: int, rounding: str = ROUND_HALF_UP) -> Decimal:
    if value.adjusted() > _MAX_DIGITS:
        raise ValueError("value out of range: overflow")
    return value.quantize(Decimal(1).scaleb(-places), rounding, _EXACT)


def _quotient(a: Decimal, b: Decimal) -> Decimal:
    if not b:
        raise ValueError("division by zero")
    return divide(a, b)


def _whole_quotient(a: Decimal, b: Decimal) -> Decimal:
    if not b:
        raise ValueError("division by zero")
    return _EXACT.divide_int(a, b)


def _remainder(a: Decimal, b: Decimal) -> Decimal:
    if not b:
        raise ValueError("division by zero")
    return _rounded(_EXACT.remainder(a, b), max(scale_of(a), scale_of(b)))


def _by_series(compute: Callable[..., Number]) -> Callable[..., Decimal]:
    """A function of Decimals by one of numbers of PostgreSQL's."""

    def computed(*numbers: Decimal) -> Decimal:
        result = compute(*(Number(int(_EXACT.scaleb(a, scale_of(a))), scale_of(a)) for a in numbers))
        return _EXACT.scaleb(Decimal(result.units), -result.scale)

    return computed


def _to_places(a: Decimal, places: Decimal) -> Decimal:
    return _at_places(a, int(places), ROUND_HALF_UP)


def _cut_to_places(a: Decimal, places: Decimal) -> Decimal:
    return _at_places(a, int(places), ROUND_DOWN)


def _at_places(a: Decimal, places: int, rounding: str) -> Decimal:
    places = max(min(places, _MAX_PLACES), -_MAX_DIGITS)
    return _rounded(_rounded(a, places, rounding), max(places, 0))


def _sized(a: Decimal, size: Decimal) -> Decimal:
    """A cast to NUMERIC(p, s): ``size`` is 1,000 times p, and s."""
    digits, places = divmod(int(size), _MAX_PLACES)
    rounded = _rounded(a, places)
    if rounded and rounded.adjusted() >= digits - places:
        raise ValueError("numeric field overflow: value out of range")
    return rounded


def _same_or(a: Decimal, b: Decimal) -> Decimal | None:
    """nullif(a, b)."""
    return None if a == b else a


def _common_units(a: Decimal, b: Decimal) -> tuple[int, int, int]:
    """Two numbers as integers of the same places, without signs, and those places."""
    places = max(scale_of(a), scale_of(b))
    first, second = (abs(int(_EXACT.scaleb(number, places))) for number in (a, b))
    return first, second, places


def _greatest_divisor(a: Decimal, b: Decimal) -> Decimal:
    first, second, places = _common_units(a, b)
    return _EXACT.scaleb(Decimal(math.gcd(first, second)), -places)


def _least_multiple(a: Decimal, b: Decimal) -> Decimal:
    first, second, places = _common_units(a, b)
    return _EXACT.scaleb(Decimal(math.lcm(first, second)), -places)


def _without_zeros(a: Decimal) -> Decimal:
    shortest = a.normalize(_EXACT)
    return _rounded(shortest, scale_of(shortest))


_BINARY: Final[dict[str, Callable[[Decimal, Decimal], Decimal | None]]] = {
    "+": _EXACT.add,
    "-": _EXACT.subtract,
    "*": _EXACT.multiply,
    "/": _quotient,
    "%": _remainder,
    "div": _whole_quotient,
    "power": _by_series(series.power),
    "log": _by_series(series.logarithm),
    "round": _to_places,
    "trunc": _cut_to_places,
    "cast": _sized,
    "nullif": _same_or,
    "gcd": _greatest_divisor,
    "lcm": _least_multiple,
}
_UNARY: Final[dict[str, Callable[[Decimal], Decimal]]] = {
    "value": Decimal,
    "trim_scale": _without_zeros,
    "neg": _EXACT.minus,
    "abs": _EXACT.abs,
    "floor": lambda a: a.to_integral_value("ROUND_FLOOR", _EXACT),
    "ceil": lambda a: a.to_integral_value("ROUND_CEILING", _EXACT),
    "sign": lambda a: Decimal((a > 0) - (a < 0)),
    "sqrt": _by_series(series.square_root),
    "exp": _by_series(series.exponential),
    "ln": _by_series(series.natural_logarithm),
    "log10": _by_series(series.decimal_logarithm),
    "double": lambda a: Decimal(f"{float(a):.15g}"),
    "real": lambda a: Decimal(f"{float(a):.6g}"),
}


_SHORT: Final = 30
"""Characters of numbers whose results are kept, since the numbers of a column are often the same."""
_CACHED: Final = 8_192
_SLOW: Final = {"/", "div", "power", "log", "round", "trunc", "sqrt", "exp", "ln", "log10"}


def numeric_text(operation: str, left: str, right: str) -> str:
    """The result of an operation on numbers, as PostgreSQL writes it; empty for NULL.

    ``right`` is empty for an operation on one. Raises ValueError for what PostgreSQL refuses.
    """
    if operation in _SLOW and len(left) <= _SHORT and len(right) <= _SHORT:
        return _short_text(operation, left, right)
    return _text(operation, left, right)


@lru_cache(maxsize=_CACHED)
def _short_text(operation: str, left: str, right: str) -> str:
    return short_result(operation, left, right) or _text(operation, left, right)


def _text(operation: str, left: str, right: str) -> str:
    a = _number(left)
    if operation in _UNARY:
        return _plain_digits(_UNARY[operation](a)) if a.is_finite() else _not_finite(operation, a)
    if operation == "nullif" and not right:
        return _plain_digits(a)
    b = _number(right)
    if a.is_finite() and b.is_finite():
        result = _BINARY[operation](a, b)
        return "" if result is None else _plain_digits(result)
    return _not_finite(operation, a, b)


def extreme_numeric(operation: str, texts: Sequence[str | None]) -> str:
    """The ``greatest`` or ``least`` of numbers, as it is written; empty for NULL. NaN is above all others."""
    numbers = [_number(text) for text in texts if text is not None]
    if not numbers:
        return ""
    choose = max if operation == "greatest" else min
    return _plain_digits(
        choose(numbers, key=lambda number: (number.is_nan(), 0 if number.is_nan() else number))
    )


def numeric_sum(texts: Sequence[str | None]) -> str:
    """The sum of numbers, as it is written; empty for NULL."""
    numbers = [_number(text) for text in texts if text is not None]
    if not numbers:
        return ""
    total = numbers[0]
    for number in numbers[1:]:
        is_finite = total.is_finite() and number.is_finite()
        total = _EXACT.add(total, number) if is_finite else _QUIET.add(total, number)
    return _plain_digits(total)


def numeric_series(start: str, end: str, step: str) -> list[str]:
    """Numbers from ``start`` to ``end``. Raises ValueError for a step of zero, and for too many."""
    number, last, each = map(_number, (start, end, step))
    if not (number.is_finite() and last.is_finite() and each.is_finite()):
        raise ValueError("a series of numerics that are NaN or infinite is out of range")
    if not each:
        raise ValueError("step size cannot equal zero")
    if (last - number) / each > _MAX_SERIES:
        raise ValueError(f"more than {_MAX_SERIES:,} values in generate_series()")
    texts = []
    while number <= last if each > 0 else number >= last:
        texts.append(_plain_digits(number))
        number = _EXACT.add(number, each)
    return texts


def distinct_numerics(texts: Sequence[str | None], descending: bool, nulls_first: bool) -> list[str | None]:
    """Numbers in their order, each once."""
    by_key = {numeric_key(text): text for text in reversed(texts) if text is not None}
    numbers = [by_key[key] for key in sorted(by_key, reverse=descending)]
    nulls = [None] if None in texts else []
    return [*nulls, *numbers] if nulls_first else [*numbers, *nulls]


def numeric_key(text: str) -> str:
    """A text that sorts as the number, and is the same for equal numbers."""
    if key := short_key(text):
        return key
    number = _number(text)
    return to_sorted_text(number) if number.is_finite() else _KEYS[str(number)]


def numeric_of_key(key: str) -> str:
    """The digits of a number by its key, without zeros at the end of its fraction."""
    return _NOT_FINITE.get(key) or f"{from_sorted_text(key):f}"


_KEYS: Final = {"-Infinity": "", "Infinity": "~", "NaN": "~~"}
"""Below and above the texts of all other numbers; NaN is above infinity."""
_NOT_FINITE: Final = {key: number for number, key in _KEYS.items()}
_QUIET: Final = Context(traps=[])


def _number(text: str) -> Decimal:
    try:
        number = Decimal(text.strip())
    except DecimalException:
        raise ValueError(f"invalid input syntax for type numeric: '{text[:40]}'") from None
    if number.is_finite() and number.adjusted() > _MAX_DIGITS:
        raise ValueError("value out of range: overflow")
    return number


def _plain_digits(number: Decimal) -> str:
    if not number.is_finite():
        return _WORDS[str(number)]
    if scale_of(number) > _MAX_PLACES * 3 or number.adjusted() > _MAX_DIGITS:
        raise ValueError("value out of range: overflow")
    return format(number if number else abs(number), "f")


_WORDS: Final = {"NaN": "NaN", "Infinity": "Infinity", "-Infinity": "-Infinity"}


def _not_finite(operation: str, a: Decimal, b: Decimal | None = None) -> str:
    """The result where an operand is NaN or infinite."""
    if operation == "nullif":
        same = a == b or (a.is_nan() and b is not None and b.is_nan())
        return "" if same else _plain_digits(a)
    if a.is_nan() or (b is not None and b.is_nan()):
        return "NaN"
    if operation in ("gcd", "lcm"):
        return "NaN"
    if operation in ("value", "trim_scale", "floor", "ceil", "double", "real") or (
        operation in ("round", "trunc")
    ):
        return _plain_digits(a)
    if operation in ("neg", "abs", "sign"):
        return _plain_digits(_UNARY[operation](a) if operation != "sign" else Decimal(1 if a > 0 else -1))
    if operation in ("+", "-", "*") and b is not None:
        computed = {"+": _QUIET.add, "-": _QUIET.subtract, "*": _QUIET.multiply}
        return _plain_digits(computed[operation](a, b))
    raise ValueError(f"{operation} of an infinite NUMERIC is not supported")
