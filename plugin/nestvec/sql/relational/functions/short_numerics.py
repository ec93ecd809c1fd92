"""Arithmetic of short NUMERICs with integers, which takes a fraction of the time of Decimals."""

from __future__ import annotations

from typing import Final

from nestvec.sql.relational.functions.quotient_scale import first_group, quotient_scale

_MAX_PLACES_DIGITS: Final = 2
_KEY_BIAS: Final = 50_000
"""That of ``to_sorted_text``."""


def short_result(operation: str, left: str, right: str) -> str:
    """The result of an operation on numbers without exponents; empty for another one."""
    if operation == "/":
        return _quotient(left, right)
    return _at_places(left, right, operation) if operation in ("round", "trunc") else ""


def short_key(text: str) -> str:
    """The key of a number above zero, without an exponent; empty for another one."""
    integer_part, _, fraction = text.partition(".")
    digits = integer_part + fraction
    if not (digits.isdecimal() and digits.isascii()):
        return ""
    significant = digits.lstrip("0")
    exponent = len(integer_part) - 1 - (len(digits) - len(significant))
    significant = significant.rstrip("0")
    return f"2{exponent + _KEY_BIAS:05d}{significant}" if significant else ""


def digits_text(number: int, places: int) -> str:
    """An integer that is divided by 10**places."""
    text = str(abs(number)).zfill(places + 1)
    sign = "-" if number < 0 else ""
    return f"{sign}{text[:-places]}.{text[-places:]}" if places else sign + text


def _at_places(text: str, places: str, operation: str) -> str:
    """A number with other places, rounded half away from zero or cut off."""
    is_negative = text.startswith("-")
    integer_part, _, fraction = (text[1:] if is_negative else text).partition(".")
    digits = integer_part + fraction
    if not digits.isdecimal() or not places.isdecimal() or len(places) > _MAX_PLACES_DIGITS:
        return ""
    number, new_places = int(digits), int(places)
    more = new_places - len(fraction)
    if more >= 0:
        number *= 10**more
    elif operation == "round":
        number = (2 * number + 10**-more) // (2 * 10**-more)
    else:
        number //= 10**-more
    return digits_text(-number if is_negative else number, new_places)


def _quotient(left: str, right: str) -> str:
    """The quotient of two numbers above zero; empty for others."""
    integer_a, _, fraction_a = left.partition(".")
    integer_b, _, fraction_b = right.partition(".")
    digits_a, digits_b = integer_a + fraction_a, integer_b + fraction_b
    if not (digits_a.isdecimal() and digits_b.isdecimal()):
        return ""
    a, b = int(digits_a), int(digits_b)
    if not a or not b:
        return ""
    places_a, places_b = len(fraction_a), len(fraction_b)
    scale = quotient_scale(first_group(a, places_a), first_group(b, places_b), places_a, places_b)
    return digits_text((2 * a * 10 ** (scale + places_b - places_a) + b) // (2 * b), scale)
