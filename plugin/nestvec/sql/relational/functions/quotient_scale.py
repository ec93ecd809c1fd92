"""The digits behind the point of a quotient of NUMERICs: PostgreSQL's ``select_div_scale``."""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_HALF_UP, Context, Decimal
from functools import lru_cache
from typing import Final

SIGNIFICANT: Final = 16
"""Digits of a quotient, a root or a logarithm, at least."""
GROUP: Final = 4
"""PostgreSQL's digits are of base 10,000."""
MAX_SCALE: Final = 1_000
"""Digits behind the point, at most."""

FirstGroup = tuple[int, int]
"""The weight of the first digit of base 10,000 that is not zero, and that digit."""


def quotient_scale(dividend: FirstGroup, divisor: FirstGroup, *places: int) -> int:
    """The digits behind the point, of numbers with these places."""
    weight = dividend[0] - divisor[0] - (dividend[1] <= divisor[1])
    return min(max(SIGNIFICANT - GROUP * weight, 0, *places), MAX_SCALE)


def first_group(units: int, places: int) -> FirstGroup:
    """Of a number above zero that is ``units`` divided by 10**places; also of zero."""
    if not units:
        return 0, 0
    weight = (len(str(units)) - 1 - places) // GROUP
    power = places + GROUP * weight
    return weight, units // 10**power if power >= 0 else units * 10**-power


def divide(dividend: Decimal, divisor: Decimal) -> Decimal:
    """The quotient of finite numbers, rounded half away from zero. The divisor is not zero."""
    places = [scale_of(number) for number in (dividend, divisor)]
    scale = quotient_scale(_first_group(dividend), _first_group(divisor), *places)
    digits = max(dividend.adjusted() - divisor.adjusted() + 1, 0) + scale + 2
    # Cut first, so that the last digit is rounded once.
    quotient = _context(digits, ROUND_DOWN).divide(dividend, divisor)
    rounded = quotient.quantize(Decimal(1).scaleb(-scale), context=_context(digits + 1, ROUND_HALF_UP))
    return rounded if rounded else rounded.copy_abs()


def scale_of(number: Decimal) -> int:
    """The digits behind the point of a number; 0 of NaN and of infinity."""
    exponent = number.as_tuple().exponent
    return max(-exponent, 0) if isinstance(exponent, int) else 0


def _first_group(number: Decimal) -> FirstGroup:
    if not number:
        return 0, 0
    weight = number.adjusted() // GROUP
    return weight, int(number.copy_abs().scaleb(-weight * GROUP, _context(GROUP + 1, ROUND_DOWN)))


@lru_cache(maxsize=256)
def _context(digits: int, rounding: str) -> Context:
    return Context(prec=digits, rounding=rounding, Emax=999_999, Emin=-999_999)
