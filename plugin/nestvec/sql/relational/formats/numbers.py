"""``to_char()`` of numbers, as PostgreSQL's formatting.c writes them."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal
from functools import lru_cache
from typing import Final

from nestvec.sql.relational.formats.time_patterns import ordinal

_KEYS: Final = (
    ",", ".", "0", "9", "B", "D", "EEEE", "E", "FM", "G", "L", "MI", "PL", "PR", "RN", "SG", "SP", "S",
    "TH", "V", "b", "d", "eeee", "e", "fm", "g", "l", "mi", "pl", "pr", "rn", "sg", "sp", "s", "th", "v",
)  # fmt: skip
_PIECE: Final = re.compile(
    rf'(?P<key>{"|".join(map(re.escape, _KEYS))})|"(?P<quoted>(?:\\.|[^"\\])*)(?:"|$)'
    r'|\\(?=")(?P<escaped>")|(?P<char>.)',
    re.DOTALL,
)
_UNSUPPORTED: Final = ("B", "E", "EEEE", "L", "SP", "V")
_EXACT: Final = Context(prec=1200, rounding=ROUND_HALF_UP)
_BINARY: Final = Context(prec=1200, rounding=ROUND_HALF_EVEN)
_NOT_FINITE: Final = {"nan": "NaN", "inf": "Infinity", "infinity": "Infinity"}
_MAX_FRACTION: Final = 1_000
_REAL_DIGITS: Final = 6
_ROMAN: Final = (
    (1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"), (40, "XL"),
    (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I"),
)  # fmt: skip


@dataclass
class _Layout:
    """What the parts of a pattern say together."""

    before: int = 0
    after: int = 0
    zero_start: int = 0
    zero_end: int = 0
    sign_digits: int = 0
    """Digits before an S that stands before the point."""
    sign: str = ""
    """Where S is: "pre", "post", or empty for none."""
    flags: frozenset[str] = frozenset()

    def has(self, flag: str) -> bool:
        return flag in self.flags

    def add(self, *flags: str) -> None:
        self.flags |= frozenset(flags)


Parts = tuple[tuple[str, str], ...]
"""Keys in capitals with how they are spelled; the key is empty for a text."""


@lru_cache(maxsize=256)
def number_pattern(pattern: str) -> Parts:
    """The parts of a pattern. Raises ValueError for one that is not supported, or not valid."""
    parts: list[tuple[str, str]] = []
    for match in _PIECE.finditer(pattern):
        key = (match["key"] or "").upper()
        if key in _UNSUPPORTED:
            raise ValueError(f"{key} in a pattern of a number is not supported")
        text = match[0] if key else match["escaped"] or match["char"] or ""
        if match["quoted"] is not None:
            text = re.sub(r"\\(.)", r"\1", match["quoted"], flags=re.DOTALL)
        parts.append((key, text))
    if _describe(tuple(parts)).after > _MAX_FRACTION:
        raise ValueError(f"a pattern of a number has at most {_MAX_FRACTION:,} digits after the point")
    return tuple(parts)


def _describe(parts: Parts) -> _Layout:
    layout = _Layout()
    for key, _ in parts:
        _describe_key(layout, key)
    return layout


def _describe_key(layout: _Layout, key: str) -> None:
    if key in ("9", "0"):
        if layout.has("bracket"):
            raise ValueError("PR must be the last part of a pattern of a number")
        if key == "0" and not layout.has("zero") and not layout.has("point"):
            layout.add("zero")
            layout.zero_start = layout.before
        if layout.has("point"):
            layout.after += 1
        else:
            layout.before += 1
        if key == "0":
            layout.zero_end = layout.before + layout.after
    elif key in ("D", "."):
        if layout.has("point"):
            raise ValueError("a pattern of a number has one decimal point")
        layout.add("point")
    elif key == "S":
        if layout.flags & {"sign", "plus", "minus", "bracket"}:
            raise ValueError("S is not used with another sign in a pattern of a number")
        layout.sign = "post" if layout.has("point") else "pre"
        layout.sign_digits = layout.before
        layout.add("sign")
    elif key in ("MI", "PL", "SG", "PR"):
        if layout.has("sign") or (key == "PR" and layout.flags & {"plus", "minus"}):
            raise ValueError(f"{key} is not used with another sign in a pattern of a number")
        layout.add(*{"MI": ("minus",), "PL": ("plus",), "SG": ("plus", "minus"), "PR": ("bracket",)}[key])
    elif key in ("FM", "RN"):
        layout.add("fill" if key == "FM" else "roman")


def format_number(text: str, pattern: str, digits: int) -> str:
    """A number by a pattern; ``digits`` is how many a double or a REAL has, 0 for an exact number."""
    parts = number_pattern(pattern)
    layout = _describe(parts)
    number = _NOT_FINITE.get(text.lstrip("-").lower(), "")
    if number and not layout.has("roman"):
        layout.after = 0 if len(number) >= digits else layout.after
        return _filled("-" if text.startswith("-") else "+", number, layout, parts)
    value = _exact(text, digits)
    if layout.has("roman"):
        return _roman(value, parts, layout)
    if digits:
        before = len(f"{abs(value):.0f}")
        layout.after = 0 if before >= digits else min(layout.after, digits - before)
    context = _BINARY if digits else _EXACT
    rounded = context.quantize(value, Decimal(1).scaleb(-layout.after))
    plain = format(rounded if digits or rounded else abs(rounded), "f")
    sign, number = ("-", plain[1:]) if plain.startswith("-") else ("+", plain)
    return _filled(sign, number, layout, parts)


def _filled(sign: str, number: str, layout: _Layout, parts: Parts) -> str:
    width = len(number.partition(".")[0])
    spaces = max(layout.before - width, 0)
    if width > layout.before:
        number = "#" * layout.before + "." + "#" * layout.after
    return _Writer(layout, number, sign, spaces).text(parts)


def _exact(text: str, digits: int) -> Decimal:
    """The value of a number: of a double and a REAL that of its bits."""
    if not digits:
        return Decimal(text)
    number = float(text)
    return Decimal(struct.unpack("f", struct.pack("f", number))[0] if digits == _REAL_DIGITS else number)


def _roman(value: Decimal, parts: Parts, layout: _Layout) -> str:
    if not value.is_finite():
        return "".join("#" * 15 if key == "RN" else text for key, text in parts if key in ("RN", ""))
    number = int(_EXACT.quantize(value, Decimal(1)))
    is_roman = 0 < number < 4000
    numeral, rest = "", number if is_roman else 0
    for step, letters in _ROMAN:
        numeral, rest = numeral + letters * (rest // step), rest % step if rest > 0 else rest
    if not is_roman:
        numeral = "#" * 15
    if not layout.has("fill"):
        numeral = numeral.rjust(15)
    return "".join(
        (numeral.lower() if text.islower() else numeral) if key == "RN" else text
        for key, text in parts
        if key in ("RN", "")
    )


class _Writer:
    """Writes one number, digit by digit."""

    def __init__(self, layout: _Layout, number: str, sign: str, spaces: int) -> None:
        self.layout, self.number, self.sign, self.spaces = layout, number, sign, spaces
        self.fill = layout.has("fill")
        self.at = self.column = 0
        self.in_number = False
        self.written: list[str] = []
        self.brackets = layout.has("bracket")
        if layout.has("plus") or layout.has("minus"):
            self.signed = layout.has("minus")
        else:
            self.brackets = self.brackets and not (sign == "+" and self.fill)
            self.signed = sign == "+" and self.fill and not layout.sign
            if layout.sign == "pre" and layout.before == layout.sign_digits:
                layout.sign = "post"
        self.last = self._last_digit() if self.fill and layout.has("point") else None
        self.count = layout.after + layout.before - 1 + (not self.signed and spaces == 0)

    def _last_digit(self) -> int | None:
        """Where the digits end that FM leaves; None if there is no point."""
        point = self.number.find(".")
        if point < 0:
            return None
        last = max(point, len(self.number.rstrip("0")) - 1)
        if self.layout.zero_end > self.spaces:
            last = max(last, min(len(self.number) - 1, self.layout.zero_end - self.spaces))
        return last

    def text(self, parts: Parts) -> str:
        for key, spelled in parts:
            if key in ("9", "0", ".", "D"):
                self._digit(key)
            elif key in (",", "G"):
                self.written.append("," if self.in_number else "" if self.fill else " ")
            elif key == "TH":
                self.written.append(self._ending(spelled))
            elif key in ("MI", "PL"):
                shown = self.sign == ("-" if key == "MI" else "+")
                self.written.append(self.sign if shown else "" if self.fill else " ")
            elif key == "SG":
                self.written.append(self.sign)
            elif not key:
                self.written.append(spelled)
        # PostgreSQL's text ends where a pattern has more digits than its number.
        return "".join(self.written).partition("\0")[0]

    def _ending(self, style: str) -> str:
        if self.layout.has("point") or self.sign == "-" or self.number.startswith("#"):
            return ""
        if not self.number[-1:].isdigit():
            raise ValueError("TH in a pattern of a number follows digits")
        return ordinal(self.number, style)[len(self.number) :]

    def _char(self) -> str:
        return self.number[self.at] if self.at < len(self.number) else ""

    def _ends_at_point(self) -> bool:
        return self.last is not None and self.number[self.last] == "."

    def _is_leading_zero(self) -> bool:
        zero = self.at == 0 and self.number[0] == "0"
        return zero and not self.layout.has("zero") and self.layout.after != 0

    def _digit(self, key: str) -> None:
        layout, zero = self.layout, self.layout.has("zero")
        self.in_number = False
        starts = self.column >= self.spaces or (zero and layout.zero_start == self.column)
        if not self.signed and starts and (not self._is_leading_zero() or self._ends_at_point()):
            self._write_sign()
        if self.column < self.spaces and (layout.zero_start > self.column or not zero):
            self.written.append("" if self.fill else " ")
        elif zero and self.column < self.spaces and layout.zero_start <= self.column:
            self.written.append("0")
            self.in_number = True
        else:
            self._write_char(key)
        end = self.count + (1 if self.spaces else 0) + (1 if layout.has("point") else 0)
        if self.last is not None and self.last == self.at:
            end = self.column
        if self.column + 1 == end:
            if self.signed and self.brackets:
                self.written.append(" " if self.sign == "+" else ">")
            elif layout.sign == "post":
                self.written.append(self.sign)
        self.column += 1

    def _write_sign(self) -> None:
        if self.layout.sign:
            if self.layout.sign == "pre":
                self.written.append(self.sign)
                self.signed = True
            return
        if self.brackets:
            self.written.append(" " if self.sign == "+" else "<")
        elif self.sign == "-" or not self.fill:
            self.written.append("-" if self.sign == "-" else " ")
        self.signed = True

    def _write_char(self, key: str) -> None:
        char = self._char()
        if char == ".":
            if not self._ends_at_point() or self.fill:
                self.written.append(".")
        elif self.last is not None and self.at > self.last and key != "0":
            pass
        elif self._is_leading_zero():
            if not self.fill:
                self.written.append(" ")
            elif self._ends_at_point():
                self.written.append("0")
        else:
            self.written.append(char or "\0")
            self.in_number = True
        if char:
            self.at += 1
