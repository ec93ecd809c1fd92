"""Values as they are printed in a table: the shortest text that reads back as the same value."""

from __future__ import annotations

import math
import struct
import unicodedata
from decimal import Decimal
from typing import Final

_FLOAT32: Final = struct.Struct("f")
_FLOAT32_DIGITS: Final = 9
"""Significant digits that distinguish any two 32-bit floats."""
_FLOAT32_EXPONENTS: Final = 1e6
"""From here on PostgreSQL writes exponents."""


def shortest(value: float) -> str:
    """The shortest text that reads back as this double, as PostgreSQL prints it: 2.2, 1, 1.23e-05."""
    if not math.isfinite(value):
        return _not_finite(value)
    return repr(value).removesuffix(".0")


def shortest_float32(value: float) -> str:
    """The shortest text that reads back as this 32-bit float: 2.2 for 2.200000047683716."""
    if not math.isfinite(value):
        return _not_finite(value)
    stored = _as_float32(value)
    texts = (f"{value:.{digits}g}" for digits in range(1, _FLOAT32_DIGITS + 1))
    text = next((text for text in texts if _as_float32(float(text)) == stored), repr(value))
    return f"{Decimal(text):f}" if "e" in text and 1 <= abs(value) < _FLOAT32_EXPONENTS else text


def escape_control_characters(text: str) -> str:
    """The text with its control characters, other than line breaks and tabs, escaped as ``\\x1b``."""
    if text.isprintable():
        return text
    return "".join(_escaped(character) for character in text.expandtabs(4))


def _escaped(character: str) -> str:
    if character == "\n" or unicodedata.category(character) not in ("Cc", "Cs"):
        return character
    return f"\\x{ord(character):02x}" if ord(character) < 0x100 else f"\\u{ord(character):04x}"


def _as_float32(value: float) -> float:
    try:
        number: float = _FLOAT32.unpack(_FLOAT32.pack(value))[0]
    except OverflowError:
        return math.inf if value > 0 else -math.inf
    return number


def _not_finite(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
