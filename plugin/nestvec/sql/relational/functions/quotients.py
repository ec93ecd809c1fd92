"""Quotients of NUMERICs for many rows at once, with the digits of PostgreSQL's ``select_div_scale``.

A function for each row would take some twenty times as long.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from nestvec.sql.relational.functions.in_python import Function
from nestvec.sql.relational.functions.quotient_scale import (
    GROUP,
    MAX_SCALE,
    SIGNIFICANT,
    first_group,
    quotient_scale,
)
from nestvec.sql.relational.functions.short_numerics import digits_text

LIMB: Final = 18
"""Decimal digits of a part of a quotient."""
_RESULT: Final = "STRUCT(high BIGINT, integral BIGINT, head BIGINT, tail BIGINT, scale INTEGER)"
"""A quotient: ``high`` times 10**18 and ``integral``, the first digits of its fraction, those behind them,
and how many digits of the fraction are shown."""

Integers = npt.NDArray[np.int64]

_FIELDS: Final = ("high", "integral", "head", "tail", "scale")
_BASE: Final = 10**LIMB
_POWERS: Final = np.array([10**power for power in range(LIMB + 1)], dtype=np.int64)


def layout(dividend_places: int, divisor_places: int, digits: int) -> int:
    """One number for what is the same for all rows: ``digits`` are those behind the whole quotient."""
    return (dividend_places * 100 + divisor_places) * 100 + digits


def quotient_parts(dividends: Any, divisors: Any, layout_column: Any) -> pa.StructArray:
    """The parts of quotients of integers, each with as many digits behind the point as its layout says.

    They are computed in 64 bits, and as integers of Python where one of them has more than 18 digits. Raises
    ValueError for a divisor of zero.
    """
    if not len(layout_column):
        return _parts([np.zeros(0, dtype=np.int64)] * len(_FIELDS))
    packed_places, digits = divmod(int(layout_column[0].as_py()), 100)
    places = divmod(packed_places, 100)
    a, b = _integers(dividends), _integers(divisors)
    if a is None or b is None:
        return _long_quotients(dividends.to_pylist(), divisors.to_pylist(), places, digits)
    if not b.all():
        raise ValueError("division by zero")
    size_a, size_b = np.abs(a), np.abs(b)
    step = LIMB - len(str(int(size_b.max())))
    if step < 1 or size_a.max() >= _BASE:
        return _long_quotients(a.tolist(), b.tolist(), places, digits)
    scale = _scales(size_a, size_b, places)
    return _short_quotients((size_a, size_b), np.sign(a) * np.sign(b), scale, places, digits, step)


def quotient_texts(dividends: Any, divisors: Any, layout_column: Any) -> pa.StringArray:
    """Quotients of integers as texts. Raises ValueError for a divisor of zero."""
    if not len(layout_column):
        return pa.array([], pa.string())
    places = divmod(int(layout_column[0].as_py()) // 100, 100)
    pairs = zip(_list(dividends), _list(divisors), strict=True)
    return pa.array([_quotient_text(a, b, places) for a, b in pairs], pa.string())


def _quotient_text(a: int, b: int, places: tuple[int, int]) -> str:
    if not b:
        raise ValueError("division by zero")
    size_a, size_b = abs(a), abs(b)
    scale = quotient_scale(first_group(size_a, places[0]), first_group(size_b, places[1]), *places)
    units = (2 * size_a * 10 ** (scale + places[1] - places[0]) + size_b) // (2 * size_b)
    return digits_text(-units if (a < 0) != (b < 0) else units, scale)


def _list(values: Any) -> list[int]:
    numbers = _integers(values)
    return numbers.tolist() if numbers is not None else [int(number) for number in values.to_pylist()]


def _integers(values: Any) -> Integers | None:
    """64 bits of integers or of decimals without a fraction; None where they have more."""
    array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if not pa.types.is_decimal(array.type):
        return np.asarray(array, dtype=np.int64)
    words = np.frombuffer(array.buffers()[1], dtype=np.int64)
    lower, upper = words.reshape(-1, 2)[array.offset : array.offset + len(array)].T
    return np.asarray(lower) if np.array_equal(upper, lower >> 63) else None


def _scales(a: Integers, b: Integers, places: tuple[int, int]) -> Integers:
    """The digits behind the point of each quotient."""
    (weight_a, first_a), (weight_b, first_b) = _leading(a, places[0]), _leading(b, places[1])
    weights = weight_a - weight_b - (first_a <= first_b)
    scales: Integers = np.clip(SIGNIFICANT - GROUP * weights, max(places), MAX_SCALE)
    return scales


def _leading(numbers: Integers, places: int) -> tuple[Integers, Integers]:
    """The weight of the first digit of base 10,000 of each number, and that digit."""
    lowest = -(-places // GROUP)
    powers = [places + GROUP * weight for weight in range(-lowest, (LIMB - places) // GROUP + 1)]
    at = np.searchsorted(_POWERS[powers[1:]], numbers, side="right")
    times = _POWERS[[max(-power, 0) for power in powers]]
    divided = _POWERS[[max(power, 0) for power in powers]]
    weights = np.where(numbers == 0, 0, at - lowest)
    return weights, numbers * times[at] // divided[at]


def _short_quotients(
    numbers: tuple[Integers, Integers],
    signs: Integers,
    scale: Integers,
    places: tuple[int, int],
    digits: int,
    step: int,
) -> pa.StructArray:
    a, b = numbers
    integral = a // b
    rest = a - integral * b
    exact = scale + places[1] - places[0]
    limbs = []
    for start, end in ((0, min(digits, LIMB)), (LIMB, digits)):
        limb = np.zeros_like(a)
        for at in range(start, max(end, start), step):
            width = min(step, end - at)
            power = _POWERS[np.clip(exact - at, 0, width)]
            next_digits, rest = np.divmod(rest * power, b)
            limb += next_digits * (_POWERS[width] // power) * _POWERS[end - at - width]
        # The last digit of each is rounded, half away from zero.
        is_last = (exact <= end) if start == 0 else (exact > start)
        limb += np.where(is_last & (rest >= b - rest), _POWERS[np.clip(end - exact, 0, LIMB)], 0)
        limbs.append(limb * signs)
    return _parts([np.zeros_like(a), integral * signs, *limbs, scale])


def _long_quotients(
    dividends: Sequence[Any], divisors: Sequence[Any], places: tuple[int, int], digits: int
) -> pa.StructArray:
    rows = [_long_quotient(int(a), int(b), places, digits) for a, b in zip(dividends, divisors, strict=True)]
    return _parts([np.array(column, dtype=np.int64) for column in zip(*rows, strict=True)])


def _long_quotient(a: int, b: int, places: tuple[int, int], digits: int) -> tuple[int, int, int, int, int]:
    if not b:
        raise ValueError("division by zero")
    size_a, size_b = abs(a), abs(b)
    scale = quotient_scale(first_group(size_a, places[0]), first_group(size_b, places[1]), *places)
    exact = scale + places[1] - places[0]
    quotient = (2 * size_a * 10**exact + size_b) // (2 * size_b) * 10 ** (digits - exact)
    integral, fraction = divmod(quotient, 10**digits)
    head, tail = divmod(fraction, 10 ** max(digits - LIMB, 0))
    high, integral = divmod(integral, _BASE)
    sign = -1 if (a < 0) != (b < 0) else 1
    return sign * high, sign * integral, sign * head, sign * tail, scale


def _parts(columns: Sequence[Integers]) -> pa.StructArray:
    *numbers, scale = columns
    arrays = [*(pa.array(column) for column in numbers), pa.array(scale.astype(np.int32))]
    return pa.StructArray.from_arrays(arrays, list(_FIELDS))


QUOTIENTS: Final[tuple[Function, ...]] = (
    ("pg_quotient_parts", quotient_parts, ["BIGINT", "BIGINT", "BIGINT"], _RESULT),
    ("pg_quotient_text", quotient_texts, ["DECIMAL(38, 0)", "DECIMAL(38, 0)", "BIGINT"], "VARCHAR"),
    ("pg_long_quotient_parts", quotient_parts, ["DECIMAL(38, 0)", "DECIMAL(38, 0)", "BIGINT"], _RESULT),
)
"""Functions over columns of Arrow."""
