"""Exponentials, logarithms, powers and roots of NUMERICs, each with the digits of PostgreSQL's own series.

PostgreSQL rounds between the steps of its Taylor series, so that the last digits of some results are not
those of the exact number. Names that end in ``_var`` and ``_int`` are those of its numeric.c.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from nestvec.sql.relational.functions.quotient_scale import GROUP, MAX_SCALE, SIGNIFICANT

MAX_WEIGHT: Final = 1_250
"""Digits of base 10,000 before the point: PostgreSQL has 32,768, which take seconds."""

_MAX_EXPONENT: Final = 6_000
_FUZZ: Final = 2_000 * 3.01
_MAX_ESTIMATE: Final = 2_000.0
_LOG10_E: Final = 0.434294481903252
_LOG10_2: Final = 0.301029995663981
_LN_10: Final = 2.302585092994046
_GUARD: Final = 8
_INT32: Final = range(-(1 << 31), 1 << 31)


class Number(NamedTuple):
    """``units`` divided by 10**scale."""

    units: int
    scale: int


_ONE: Final = Number(1, 0)
_TEN: Final = Number(10, 0)


def weight_of(number: Number) -> int:
    """The power of 10,000 of the first digit."""
    return (len(str(abs(number.units))) - 1 - number.scale) // GROUP if number.units else 0


def _divided(dividend: int, divisor: int) -> int:
    """A quotient, rounded half away from zero."""
    size = (2 * abs(dividend) + abs(divisor)) // (2 * abs(divisor))
    return -size if (dividend < 0) != (divisor < 0) else size


def _rounded(number: Number, scale: int) -> Number:
    """With other places; a negative scale rounds before the point."""
    more = scale - number.scale
    units = number.units * 10**more if more >= 0 else _divided(number.units, 10**-more)
    return Number(units, scale) if scale >= 0 else Number(units * 10**-scale, 0)


def _sum(a: Number, b: Number) -> Number:
    scale = max(a.scale, b.scale)
    return Number(a.units * 10 ** (scale - a.scale) + b.units * 10 ** (scale - b.scale), scale)


def _product(a: Number, b: Number, scale: int) -> Number:
    return _rounded(Number(a.units * b.units, a.scale + b.scale), scale)


def _quotient(a: Number, b: Number, scale: int) -> Number:
    power = scale - a.scale + b.scale
    dividend, divisor = (a.units * 10**power, b.units) if power >= 0 else (a.units, b.units * 10**-power)
    return Number(_divided(dividend, divisor), scale)


def _less(a: Number, b: Number) -> bool:
    return bool(a.units * 10**b.scale < b.units * 10**a.scale)


_LOW: Final = Number(9, 1)
_HIGH: Final = Number(11, 1)


def _scale(significant: int, *numbers: Number) -> int:
    return min(max(significant, 0, *(number.scale for number in numbers)), MAX_SCALE)


def _groups(number: Number, most: int) -> tuple[float, int]:
    """The first digits of base 10,000 as one number, and the power of ten by which it is multiplied."""
    power = GROUP * weight_of(number)
    # Digits behind the last one that is not zero do not count.
    shown, digits = number.units, 0.0
    while shown % 10 == 0:
        shown //= 10
    last = len(str(number.units)) - len(str(shown)) - number.scale
    for group in range(most):
        digits = digits * 10**GROUP + _digits_at(number, power) % 10**GROUP
        if group + 1 == most or power <= last:
            break
        power -= GROUP
    return digits, power


def _digits_at(number: Number, power: int) -> int:
    """The digits above a power of ten."""
    shift = power + number.scale
    return int(number.units // 10**shift if shift >= 0 else number.units * 10**-shift)


def square_root(number: Number) -> Number:
    """sqrt(x). Raises ValueError for one below zero."""
    if number.units < 0:
        raise ValueError("cannot take square root of a negative number")
    weight = (weight_of(number) + 1) * GROUP // 2 - 1
    return sqrt_var(number, _scale(SIGNIFICANT - weight, number))


def sqrt_var(number: Number, scale: int) -> Number:
    # One digit more than is shown decides the rounding.
    places = max(scale, 0) + 1
    shift = 2 * places - number.scale
    units = number.units * 10**shift if shift >= 0 else number.units // 10**-shift
    return _rounded(Number(math.isqrt(units), places), scale)


def exponential(number: Number) -> Number:
    """exp(x). Raises ValueError for one that is too large."""
    estimate = number.units / 10**number.scale * _LOG10_E
    estimate = min(max(estimate, -_MAX_ESTIMATE), _MAX_ESTIMATE)
    return exp_var(number, _scale(SIGNIFICANT - int(estimate), number))


def exp_var(number: Number, scale: int) -> Number:
    value = number.units / 10**number.scale
    if abs(value) >= _MAX_EXPONENT:
        if value > 0:
            raise ValueError("value out of range: overflow")
        return Number(0, scale)
    weight, halvings, x = int(value * _LOG10_E), 0, number
    while abs(value) > 0.01:
        halvings += 1
        value /= 2
    if halvings:
        x = _quotient(number, Number(1 << halvings, 0), number.scale + halvings)
    digits = max(1 + weight + scale + int(halvings * _LOG10_2), 0) + _GUARD
    places = digits - 1
    result, divisor = _sum(_ONE, x), 2
    term = _quotient(_product(x, x, places), Number(2, 0), places)
    while term.units:
        result = _sum(result, term)
        divisor += 1
        term = _quotient(_product(term, x, places), Number(divisor, 0), places)
    for _ in range(halvings):
        result = _product(result, result, max(digits - weight_of(result) * 2 * GROUP, 0))
    return _rounded(result, scale)


def ln_weight(number: Number) -> int:
    """An estimate of the decimal weight of a natural logarithm."""
    if number.units <= 0:
        return 0
    if not _less(number, _LOW) and not _less(_HIGH, number):
        distance = _sum(number, Number(-1, 0))
        if not distance.units:
            return 0
        first, power = _groups(Number(abs(distance.units), distance.scale), 1)
        return power + int(math.log10(first))
    digits, power = _groups(number, 2)
    return int(math.log10(abs(math.log(digits) + power * _LN_10)))


def natural_logarithm(number: Number) -> Number:
    """ln(x). Raises ValueError for one that is not above zero."""
    return ln_var(number, _scale(SIGNIFICANT - ln_weight(number), number))


def ln_var(number: Number, scale: int) -> Number:
    if number.units <= 0:
        raise ValueError(f"cannot take logarithm of {'a negative number' if number.units else 'zero'}")
    x, roots = number, 0
    while not _less(_LOW, x):
        x = sqrt_var(x, scale - weight_of(x) * GROUP // 2 + _GUARD)
        roots += 1
    while not _less(x, _HIGH):
        x = sqrt_var(x, scale - weight_of(x) * GROUP // 2 + _GUARD)
        roots += 1
    places = scale + int((roots + 1) * _LOG10_2) + _GUARD
    result = _quotient(_sum(x, Number(-1, 0)), _sum(x, _ONE), places)
    power, square, divisor = result, _product(result, result, places), 1
    while True:
        divisor += 2
        power = _product(power, square, places)
        term = _quotient(power, Number(divisor, 0), places)
        if not term.units:
            break
        result = _sum(result, term)
        if weight_of(term) < weight_of(result) - places * 2 // GROUP:
            break
    return _product(result, Number(2 << roots, 0), scale)


def logarithm(base: Number, number: Number) -> Number:
    """log(b, x). Raises ValueError for a number that is not above zero, and the base 1."""
    base_weight, number_weight = ln_weight(base), ln_weight(number)
    weight = number_weight - base_weight
    scale = _scale(SIGNIFICANT - weight, base, number)
    divisor = ln_var(base, max(scale + weight - base_weight + _GUARD, 0))
    dividend = ln_var(number, max(scale + weight - number_weight + _GUARD, 0))
    if not divisor.units:
        raise ValueError("division by zero")
    return _quotient(dividend, divisor, scale)


def decimal_logarithm(number: Number) -> Number:
    """log(x). Raises ValueError for a number that is not above zero."""
    return logarithm(_TEN, number)


def power(base: Number, exponent: Number) -> Number:
    """power(b, x). Raises ValueError for what PostgreSQL refuses, and for too large results."""
    if not base.units and exponent.units < 0:
        raise ValueError("zero raised to a negative power is undefined")
    integral, fraction = divmod(exponent.units, 10**exponent.scale)
    if not fraction and integral in _INT32:
        return power_var_int(base, integral, exponent.scale)
    if base.units < 0 and fraction:
        raise ValueError("a negative number has no fractional power")
    if not base.units:
        return Number(0, SIGNIFICANT)
    size = Number(abs(base.units), base.scale)
    weight = ln_weight(size)
    places = max(8 - weight, 0)
    product = _product(ln_var(size, places), exponent, places)
    value = product.units / 10**product.scale
    if abs(value) > _FUZZ:
        if value > 0:
            raise ValueError("value out of range: overflow")
        return Number(0, MAX_SCALE)
    value *= _LOG10_E
    scale = _scale(SIGNIFICANT - int(value), base, exponent)
    places = max(max(scale + int(value), 0) - weight + _GUARD, 0)
    result = exp_var(_product(ln_var(size, places), exponent, places), scale)
    return Number(-result.units, scale) if base.units < 0 and integral % 2 else result


def power_var_int(base: Number, exponent: int, exponent_scale: int) -> Number:
    estimate = 0.0
    if base.units:
        digits, shift = _groups(Number(abs(base.units), base.scale), 4)
        estimate = exponent * (math.log10(digits) + shift)
    if estimate > (MAX_WEIGHT + 1) * GROUP:
        raise ValueError("value out of range: overflow")
    if estimate + 1 < -MAX_SCALE:
        return Number(0, MAX_SCALE)
    scale = _scale(SIGNIFICANT - int(estimate), base, Number(0, exponent_scale))
    if exponent in (0, 1):
        return _rounded(base if exponent else _ONE, scale)
    if exponent == -1:
        return _quotient(_ONE, base, scale)
    if exponent == 2:
        return _product(base, base, scale)
    if not base.units:
        return Number(0, scale)
    digits_shown = 1 + scale + int(estimate) + int(math.log(abs(exponent))) + _GUARD
    result = _multiplied(base, abs(exponent), digits_shown)
    if exponent > 0:
        return _rounded(result, scale)
    return _quotient(_ONE, result, scale)


def _multiplied(base: Number, exponent: int, digits: int) -> Number:
    """A power by squaring, with about as many significant digits in each step."""
    square, result = base, base if exponent & 1 else _ONE
    exponent >>= 1
    while exponent:
        places = min(digits - 2 * weight_of(square) * GROUP, 2 * square.scale)
        square = _product(square, square, max(places, 0))
        if exponent & 1:
            places = min(
                digits - (weight_of(square) + weight_of(result)) * GROUP, square.scale + result.scale
            )
            result = _product(square, result, max(places, 0))
        exponent >>= 1
        if max(weight_of(square), weight_of(result)) > 4 * MAX_WEIGHT:
            raise ValueError("value out of range: overflow")
    return result
