"""NUMERIC in binary: digits in base 10,000."""

from __future__ import annotations

import struct
from decimal import Decimal
from typing import Final

from nestvec.pgwire.errors import PgError

_POSITIVE, _NEGATIVE = 0x0000, 0x4000
_SPECIAL: Final = {0xC000: Decimal("NaN"), 0xD000: Decimal("Infinity"), 0xF000: Decimal("-Infinity")}
_MAX_SCALE: Final = 16_383


def encode_numeric(value: Decimal) -> bytes:
    """A number in binary."""
    if not value.is_finite():
        sign = 0xC000 if value.is_nan() else 0xD000 if value > 0 else 0xF000
        return struct.pack("!hhHh", 0, 0, sign, 0)
    sign, decimals, exponent = value.as_tuple()
    scale = max(0, -int(exponent))
    digits = "".join(map(str, decimals)) + "0" * max(0, int(exponent))
    digits = digits.rjust(scale + 1, "0")
    integral, fraction = digits[: len(digits) - scale], digits[len(digits) - scale :]
    integral = integral.rjust(-(-len(integral) // 4) * 4, "0")
    fraction = fraction.ljust(-(-len(fraction) // 4) * 4, "0")
    groups = [int(text[at : at + 4]) for text in (integral, fraction) for at in range(0, len(text), 4)]
    weight = len(integral) // 4 - 1
    while groups and groups[0] == 0:
        groups, weight = groups[1:], weight - 1
    while groups and groups[-1] == 0:
        groups = groups[:-1]
    if not groups:
        weight = 0
    return struct.pack(
        f"!hhHh{len(groups)}h",
        len(groups),
        weight,
        _NEGATIVE if sign and groups else _POSITIVE,
        scale,
        *groups,
    )


def decode_numeric(data: bytes) -> Decimal:
    """A number from binary. Raises PgError."""
    try:
        count, weight, sign, scale = struct.unpack_from("!HhHH", data)
        groups = struct.unpack(f"!{count}h", data[8:])
    except struct.error as error:
        raise PgError("22P03", "a number ends too early") from error
    if sign in _SPECIAL:
        return _SPECIAL[sign]
    if (
        sign not in (_POSITIVE, _NEGATIVE)
        or scale > _MAX_SCALE
        or not all(0 <= group < 10_000 for group in groups)
    ):
        raise PgError("22P03", "a number is malformed")
    digits = tuple(int(digit) for group in groups for digit in f"{group:04d}")
    exponent = 4 * (weight - len(groups) + 1)
    number = Decimal((1 if sign else 0, digits or (0,), exponent if groups else 0))
    # The scale says which zeros at the end are shown; it may not cut digits.
    shift = int(number.as_tuple().exponent) + scale
    digits, exponent = number.as_tuple().digits, int(number.as_tuple().exponent)
    while shift < 0 and digits and digits[-1] == 0:
        digits, exponent, shift = digits[:-1], exponent + 1, shift + 1
    if shift > 0:
        digits, exponent = (*digits, *[0] * shift), exponent - shift
    return Decimal((1 if sign else 0, digits or (0,), exponent))
