"""The parts of a pattern for dates and times, as PostgreSQL's formatting.c reads them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

# Not those of the calendar module, which are in the language of the program's locale.
MONTHS: Final = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December",
)  # fmt: skip
DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

_UPPER: Final = (
    "A.D.", "A.M.", "AD", "AM", "B.C.", "BC", "CC", "DAY", "DDD", "DD", "DY", "Day", "Dy", "D", "FF1", "FF2",
    "FF3", "FF4", "FF5", "FF6", "FX", "HH24", "HH12", "HH", "IDDD", "ID", "IW", "IYYY", "IYY", "IY", "I", "J",
    "MI", "MM", "MONTH", "MON", "MS", "Month", "Mon", "OF", "P.M.", "PM", "Q", "RM", "SSSSS", "SSSS", "SS",
    "TZH", "TZM", "TZ", "US", "WW", "W", "Y,YYY", "YYYY", "YYY", "YY", "Y",
)  # fmt: skip
FIELDS: Final = (*_UPPER, *(field.lower() for field in _UPPER if field not in ("Day", "Dy", "Month", "Mon")))
"""In PostgreSQL's order, of which the first that matches is taken."""

_PIECE: Final = re.compile(
    rf"(?P<prefix>FM|fm|TM|tm)?(?:(?P<field>{'|'.join(map(re.escape, FIELDS))})(?P<suffix>TH|th|SP)?"
    r'|"(?P<quoted>(?:\\.|[^"\\])*)(?:"|$)|\\(?=")(?P<escaped>")|(?P<char>.))?',
    re.DOTALL,
)
_NOT_DIGITS: Final = frozenset(
    ("A.D.", "A.M.", "AD", "AM", "B.C.", "BC", "DAY", "DY", "FX", "MONTH", "MON", "OF", "P.M.", "PM", "RM",
     "TZ", "TZH")
)  # fmt: skip


@dataclass(frozen=True)
class PatternPart:
    """A field of a pattern, or a text in it."""

    text: str
    """The field as it is spelled, or the text."""
    field: str = ""
    """The field in capitals; empty for a text."""
    prefix: str = ""
    """FM, for no zeros and blanks, or TM, for names without blanks; empty for none."""
    ordinal: str = ""
    """TH or th, if it follows."""

    @property
    def fill(self) -> bool:
        """Whether FM is before it."""
        return self.prefix == "FM"

    @property
    def has_digits(self) -> bool:
        """Whether it starts with a digit, as far as PostgreSQL looks."""
        return self.field not in _NOT_DIGITS if self.field else self.text[:1].isdigit()


@lru_cache(maxsize=256)
def time_pattern(pattern: str) -> tuple[PatternPart, ...]:
    """The parts of a pattern, from left to right."""
    parts: list[PatternPart] = []
    for match in _PIECE.finditer(pattern):
        field = match["field"]
        if field:
            suffix = match["suffix"] or ""
            prefix = (match["prefix"] or "").upper()
            parts.append(PatternPart(field, field.upper(), prefix, suffix if suffix != "SP" else ""))
            continue
        text = match["escaped"] or match["char"] or ""
        if match["quoted"] is not None:
            text = re.sub(r"\\(.)", r"\1", match["quoted"], flags=re.DOTALL)
        parts.extend(PatternPart(char) for char in text)
    return tuple(parts)


def ordinal(digits: str, style: str) -> str:
    """``1st``, ``2ND``, …: the digits with their ending; ``style`` is TH, th, or empty for none."""
    if not style:
        return digits
    teens = len(digits) > 1 and digits[-2] == "1"
    ending = "TH" if teens else {"1": "ST", "2": "ND", "3": "RD"}.get(digits[-1:], "TH")
    return digits + (ending if style == "TH" else ending.lower())
