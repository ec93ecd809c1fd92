"""``to_date()`` and ``to_timestamp()`` of a text and a pattern, as PostgreSQL's formatting.c reads them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final

from nestvec.sql.relational.formats.time_patterns import DAYS, MONTHS, PatternPart, time_pattern

_EPOCH: Final = datetime(1970, 1, 1)
_DAY: Final = 86_400_000_000
_SEPARATOR: Final = re.compile(r"[\x21-\x2f\x3a-\x40\x5b-\x60\x7b-\x7e]")
_BLANKS: Final = " \t\n\v\f\r"
_INTEGER: Final = re.compile(r"[ \t\n\v\f\r]*([+-]?[0-9]+)")
_MAX_INT: Final = (1 << 31) - 1
_MAX_DIGITS: Final = 20
_WIDTHS: Final = {
    "YYYY": 4, "YYY": 3, "YY": 2, "Y": 1, "MM": 2, "DD": 2, "DDD": 3, "HH": 2, "HH12": 2, "HH24": 2, "MI": 2,
    "SS": 2, "MS": 3, "US": 6, "FF1": 1, "FF2": 2, "FF3": 3, "FF4": 4, "FF5": 5, "FF6": 6, "Q": 1,
    "SSSS": 4, "SSSSS": 5,
}  # fmt: skip
_FRACTIONS: Final = {"MS": 3, "US": 6, **{f"FF{digits}": digits for digits in range(1, 7)}}
_YEARS: Final = {"YYY": 1000, "YY": 100, "Y": 10}
_SAME: Final = {"HH": "HH12", "SSSSS": "SSSS", "YYY": "YYYY", "YY": "YYYY", "Y": "YYYY", "MON": "MM",
                "MONTH": "MM", "DY": "DAY", "AM": "PM", "A.M.": "PM", "P.M.": "PM",
                **{f"FF{digits}": "US" for digits in range(1, 7)}}  # fmt: skip
_LISTS: Final[dict[str, tuple[str, ...]]] = {
    "MONTH": MONTHS,
    "MON": tuple(name[:3] for name in MONTHS),
    "DAY": DAYS,
    "DY": tuple(name[:3] for name in DAYS),
    "AM": ("AM", "PM"),
    "PM": ("AM", "PM"),
    "A.M.": ("A.M.", "P.M."),
    "P.M.": ("A.M.", "P.M."),
}


def read_moment(text: str, pattern: str) -> int:
    """The microseconds since 1970 of a text by a pattern. Raises ValueError for what it does not match."""
    fields = _Reader(text, time_pattern(pattern)).fields()
    return _micros(fields, text)


def read_day(text: str, pattern: str) -> int:
    """The days since 1970."""
    return read_moment(text, pattern) // _DAY


class _Reader:
    """Reads the fields of a pattern from a text."""

    def __init__(self, text: str, parts: tuple[PatternPart, ...]) -> None:
        self.text, self.parts, self.at, self.skipped = text, parts, 0, 0
        self.found: dict[str, int] = {}

    def fields(self) -> dict[str, int]:
        for number, part in enumerate(self.parts):
            if part.field == "FX" or (part.field and part.field not in _WIDTHS and part.field not in _LISTS):
                raise ValueError(f"{part.text} in to_date() and to_timestamp() is not supported")
            if self.at >= len(self.text):
                break
            if part.field or number == 0:
                self._skip_blanks()
            if not part.field:
                self._pass_text(part.text)
                continue
            if part.field in _LISTS:
                self._name(part)
            else:
                self._number(number)
            if part.ordinal and self.at < len(self.text):
                self.at += 2
            self.skipped = 0
            self._skip_blanks()
        return self.found

    def _skip_blanks(self) -> None:
        while self.text[self.at : self.at + 1] and self.text[self.at] in _BLANKS:
            self.at += 1
            self.skipped += 1

    def _pass_text(self, char: str) -> None:
        """A separator stands for one of the text or none, another character for any."""
        if char in _BLANKS or _SEPARATOR.match(char):
            self.skipped -= 1
            following = self.text[self.at : self.at + 1]
            if following and (following in _BLANKS or _SEPARATOR.match(following)):
                self.at += 1
                self.skipped += 1
        elif self.skipped > 0:
            self.skipped -= 1
        else:
            self.at += 1

    def _name(self, part: PatternPart) -> None:
        rest = self.text[self.at :].lower()
        for value, name in enumerate(_LISTS[part.field]):
            if rest.startswith(name.lower()):
                self.at += len(name)
                self._set(part, value + 1 if part.field in ("MONTH", "MON") else value)
                return
        shown = re.split(r"[ \t\n\v\f\r]", self.text[self.at :], maxsplit=1)[0]
        raise ValueError(f'invalid value "{shown[:40]}" for "{part.text}"')

    def _number(self, number: int) -> None:
        part = self.parts[number]
        width, start = _WIDTHS[part.field], self.at
        following = self.parts[number + 1 : number + 2]
        open_ended = part.fill or part.ordinal or not following or not following[0].has_digits
        match = _INTEGER.match(self.text, start)
        if not open_ended:
            while self.text[self.at : self.at + 1] and self.text[self.at] in _BLANKS:
                self.at += 1
            piece = self.text[self.at : self.at + width]
            match = _INTEGER.match(piece)
            if len(piece) < width:
                raise ValueError(f'source string too short for "{part.text}" formatting field')
            if match is not None and match.end() < width:
                raise ValueError(f'invalid value "{piece}" for "{part.text}"')
        if match is None:
            shown = self.text[start : start + width]
            raise ValueError(f'invalid value "{shown}" for "{part.text}"')
        self.at = match.end() if open_ended else self.at + match.end()
        value, length = _bounded(match[1]), self.at - start
        if abs(value) > _MAX_INT:
            raise ValueError(f'value for "{part.text}" in source string is out of range')
        if part.field in _FRACTIONS:
            places = 3 if part.field == "MS" else 6
            digits = min(length, _FRACTIONS[part.field])
            self._set(part, value * 10 ** (places - digits))
        elif part.field in _YEARS and length < 4:
            self._set(part, _full_year(value))
        else:
            self._set(part, value)

    def _set(self, part: PatternPart, value: int) -> None:
        name = _SAME.get(part.field, part.field)
        if name == "Q":
            return
        if name in self.found:
            raise ValueError(f"{part.text} beside another field of the same meaning is not supported")
        self.found[name] = value


def _bounded(text: str) -> int:
    """A number, of which only the first digits are read: beyond them it is out of range."""
    digits = text.lstrip("+-").lstrip("0")[:_MAX_DIGITS]
    return int(f"{text[0] if text[0] in '+-' else ''}{digits or 0}")


def _full_year(year: int) -> int:
    """A year of fewer than four digits: the nearest to 2020."""
    for limit, century in ((70, 2000), (100, 1900), (520, 2000), (1000, 1000)):
        if year < limit:
            return year + century
    return year


def _micros(fields: dict[str, int], text: str) -> int:
    shown = text[:40]
    if not fields.get("YYYY"):
        raise ValueError(f"a date without a year, or of the year 0, is not supported: '{shown}'")
    out_of_range = ValueError(f'date/time field value out of range: "{shown}"')
    seconds = fields.get("SSSS", 0)
    if seconds and (fields.get("MI") or fields.get("SS") or fields.get("HH12") or fields.get("HH24")):
        raise ValueError("SSSS beside hours, minutes or seconds is not supported")
    if fields.get("HH12") and fields.get("HH24"):
        raise ValueError("HH12 beside HH24 is not supported")
    hour, minute, second = fields.get("HH24", 0), fields.get("MI", 0), fields.get("SS", 0)
    if seconds:
        hour, minute, second = seconds // 3600, seconds // 60 % 60, seconds % 60
    if "HH12" in fields or "PM" in fields:
        hour = fields.get("HH12", hour)
        if not 1 <= hour <= 12:
            raise ValueError(f'hour "{hour}" is invalid for the 12-hour clock')
        hour = hour % 12 + (12 if fields.get("PM") else 0)
    try:
        day = datetime(fields["YYYY"], fields.get("MM") or 1, fields.get("DD") or 1)
    except ValueError:
        raise out_of_range from None
    if "DDD" in fields and ("MM" in fields or "DD" in fields):
        raise ValueError("DDD beside a month or a day is not supported")
    if fields.get("DDD"):
        last = (datetime(day.year, 12, 31) - datetime(day.year, 1, 1)).days + 1
        if not 1 <= fields["DDD"] <= last:
            raise out_of_range
        day = datetime(day.year, 1, 1) + timedelta(days=fields["DDD"] - 1)
    if not (0 <= hour < 24 and 0 <= minute < 60 and 0 <= second < 60):
        raise out_of_range
    fraction = fields.get("MS", 0) * 1000 + fields.get("US", 0)
    if not 0 <= fraction < 1_000_000:
        raise out_of_range
    clock = timedelta(hours=hour, minutes=minute, seconds=second, microseconds=fraction)
    return (day + clock - _EPOCH) // timedelta(microseconds=1)
