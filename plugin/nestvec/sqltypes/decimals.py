"""NUMERIC as integers of fixed point, or as texts that sort as the numbers do."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from typing import Final

from nestvec.sqltypes.kinds import MAX_DIGITS, SqlType
from nestvec_schemas.errors import RowRejected

_CONTEXT: Final = Context(prec=2 * MAX_DIGITS, Emax=99_999, Emin=-99_999)
_DIGITS = r"\d+(?:_\d+)*"
_NUMBER = re.compile(
    rf"\s*[+-]?(?:{_DIGITS}(?:\.(?:{_DIGITS})?)?|\.{_DIGITS})(?:[eE][+-]?\d{{1,4}})?\s*", re.ASCII
)
_BIAS: Final = 50_000
_MAX_EXPONENT: Final = MAX_DIGITS
_NEGATIVE, _ZERO, _POSITIVE = "0", "1", "2"
_AFTER_DIGITS = "~"
_SORTED = re.compile(r"1|2\d{6,}|0\d{6,}~", re.ASCII)
_COMPLEMENT: Final = str.maketrans("0123456789", "9876543210")


def to_decimal(value: object) -> Decimal:
    """A number of any Python type, or its text. Raises RowRejected for NaN and infinity, too."""
    number: Decimal | None = None
    if isinstance(value, float):
        # PostgreSQL takes the 15 digits of a double that are certain.
        value = f"{value:.15g}"
    if isinstance(value, Decimal):
        number = value
    elif isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= 4 * MAX_DIGITS:
        number = Decimal(value)
    elif isinstance(value, str) and len(value) <= 2 * MAX_DIGITS and _NUMBER.fullmatch(value):
        number = Decimal(value.strip())
    if number is None or not number.is_finite():
        shown = value[:60] if isinstance(value, str) else str(value)[:60]
        raise RowRejected("this is not a finite number", value=shown, next_step="Write a number.")
    if abs(number.adjusted()) > _MAX_EXPONENT or len(number.as_tuple().digits) > MAX_DIGITS:
        raise RowRejected(
            f"the number has more than {MAX_DIGITS:,} digits", value=str(number)[:60], next_step="Round it."
        )
    return number


def to_scale(number: Decimal, kind: SqlType, *, exact: bool) -> Decimal:
    """A number with the digits after the point that its type has, rounded half away from zero.

    Raises RowRejected if it does not fit or, with ``exact``, would be rounded.
    """
    scale = kind.scale
    if scale is None:
        return number
    try:
        rounded = number.quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP, _CONTEXT)
    except InvalidOperation:
        rounded = None
    if rounded is None or (not exact and abs(rounded) >= Decimal(10) ** (kind.sizes[0] - scale)):
        raise RowRejected(
            f"numeric field overflow: {kind} holds absolute values below 10^{kind.sizes[0] - scale}",
            value=str(number)[:60],
            next_step="Write a smaller number, or define the column with more digits.",
        )
    if exact and rounded != number:
        raise RowRejected(
            f"the number has more digits after the point than {kind}",
            value=str(number)[:60],
            next_step="Round it.",
        )
    return rounded


def to_fixed_point(number: Decimal, kind: SqlType) -> int:
    """The number as an integer, scaled by its digits after the point."""
    scaled = int(number.scaleb(kind.scale or 0, _CONTEXT))
    if abs(scaled) >= 1 << 63:
        raise RowRejected(
            f"the number is beyond {kind}", value=str(number)[:60], next_step="Write a smaller number."
        )
    return scaled


def from_fixed_point(value: int, kind: SqlType) -> Decimal:
    return Decimal(value).scaleb(-(kind.scale or 0))


def to_sorted_text(number: Decimal) -> str:
    """A text that sorts by its bytes as the numbers do, and is the same for equal numbers.

    It has the sign, the exponent of the first digit, and the digits without zeros at the end.
    """
    sign, digits, _ = number.as_tuple()
    text = "".join(map(str, digits)).lstrip("0")
    if not text:
        return _ZERO
    exponent = f"{number.adjusted() + _BIAS:05d}"
    text = exponent + text.rstrip("0")
    return _NEGATIVE + text.translate(_COMPLEMENT) + _AFTER_DIGITS if sign else _POSITIVE + text


def from_sorted_text(text: str) -> Decimal:
    """The number of a text of ``to_sorted_text``. Raises ValueError for any other."""
    if not _SORTED.fullmatch(text):
        raise ValueError(text)
    if text[:1] == _ZERO:
        return Decimal(0)
    negative = text[:1] == _NEGATIVE
    body = text[1:].rstrip(_AFTER_DIGITS).translate(_COMPLEMENT) if negative else text[1:]
    exponent, digits = int(body[:5]) - _BIAS, body[5:]
    number = Decimal((int(negative), tuple(map(int, digits)), exponent - len(digits) + 1))
    # 1E+2 is written 100.
    return number.quantize(Decimal(1), context=_CONTEXT) if exponent >= len(digits) else number


def with_scale(number: Decimal, kind: SqlType) -> Decimal:
    """A number read, with as many digits after the point as its type has."""
    scale = kind.scale
    return number if scale is None else number.quantize(Decimal(1).scaleb(-scale), context=_CONTEXT)
