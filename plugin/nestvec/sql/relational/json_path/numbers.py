"""Numbers of JSON with PostgreSQL's digits: those of NUMERIC."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import Any, Final

from nestvec.sql.relational.functions.quotient_scale import divide

_MAX_DIGITS: Final = 131_072
"""Digits before the point of a NUMERIC."""
_MAX_PLACES: Final = 16_383
"""Digits after the point of a NUMERIC."""
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
        return _checked(divide(left, right))
    operations: dict[str, Any] = {
        "+": _EXACT.add, "-": _EXACT.subtract, "*": _EXACT.multiply, "%": _EXACT.remainder,
    }  # fmt: skip
    return _checked(operations[operator](left, right))


def _checked(number: Decimal) -> Decimal:
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or number.adjusted() >= _MAX_DIGITS or -exponent > _MAX_PLACES:
        raise NumberError("value overflows numeric format")
    return number
