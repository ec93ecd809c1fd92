"""Numbers of JSON with PostgreSQL's digits: those of NUMERIC."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_UP, Context, Decimal
from typing import Any, Final

_MAX_DIGITS: Final = 131_072
"""Digits before the point of a NUMERIC."""
_MAX_PLACES: Final = 16_383
"""Digits after the point of a NUMERIC."""
_MIN_SIGNIFICANT: Final = 16
"""Significant digits of a quotient, at least."""
_MAX_SCALE: Final = 1_000
"""Digits after the point of a quotient, at most."""
_GROUP: Final = 4
"""Decimal digits that NUMERIC has in one."""
_EXACT: Final = Context(prec=2 * (_MAX_DIGITS + _MAX_PLACES), traps=[])


class NumberError(ValueError):
    """A number that NUMERIC cannot have, or a division by zero."""


def read_number(text: str) -> Decimal:
    """The number of a text, with a point and digits but without an exponent. Raises NumberError."""
    number = _checked(Decimal(text))
    return Decimal(f"{number:f}") if number.as_tuple().exponent > 0 else number  # type: ignore[operator]


def number_text(number: Decimal) -> str:
    """A number as PostgreSQL writes it, which has no negative zero."""
    return f"{number if number else abs(number):f}"


def negative(number: Decimal) -> Decimal:
    """The number with the other sign."""
    return _EXACT.minus(number)


def whole_number(number: Decimal, name: str) -> Decimal:
    """``abs``, ``floor`` or ``ceiling`` of a number."""
    if name == "abs":
        return _EXACT.abs(number)
    return number.to_integral_value(ROUND_FLOOR if name == "floor" else ROUND_CEILING, _EXACT)


def compute(operator: str, left: Decimal, right: Decimal) -> Decimal:
    """The sum, difference, product, quotient or remainder. Raises NumberError."""
    if operator in "/%" and not right:
        raise NumberError("division by zero")
    if operator == "/":
        return _checked(_quotient(left, right))
    operations: dict[str, Any] = {
        "+": _EXACT.add, "-": _EXACT.subtract, "*": _EXACT.multiply, "%": _EXACT.remainder,
    }  # fmt: skip
    return _checked(operations[operator](left, right))


def _checked(number: Decimal) -> Decimal:
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or number.adjusted() >= _MAX_DIGITS or -exponent > _MAX_PLACES:
        raise NumberError("value overflows numeric format")
    return number


def _quotient(left: Decimal, right: Decimal) -> Decimal:
    """A quotient with as many digits as PostgreSQL gives it: at least 16, by groups of four."""
    weights, leading = zip(*map(_leading_group, (left, right)), strict=True)
    weight = weights[0] - weights[1] - (leading[0] <= leading[1])
    scales = [max(-int(number.as_tuple().exponent), 0) for number in (left, right)]
    scale = min(max(_MIN_SIGNIFICANT - weight * _GROUP, *scales, 0), _MAX_SCALE)
    digits = max(left.adjusted() - right.adjusted() + 1, 0) + scale + 2
    # Cut first, so that the last digit is rounded once.
    context = Context(prec=max(digits, 1), rounding=ROUND_DOWN, traps=[])
    rounding = Context(prec=max(digits, 1) + 1, rounding=ROUND_HALF_UP, traps=[])
    return context.divide(left, right).quantize(Decimal(1).scaleb(-scale), context=rounding)


def _leading_group(number: Decimal) -> tuple[int, int]:
    """The weight of the first group of four digits that is not zero, and the group."""
    if not number:
        return 0, 0
    weight = number.adjusted() // _GROUP
    return weight, int(abs(number).scaleb(-weight * _GROUP, _EXACT))
