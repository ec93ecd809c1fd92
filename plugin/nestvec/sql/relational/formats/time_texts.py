"""``to_char()`` of dates, times and intervals."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from nestvec.sql.relational.formats.time_patterns import DAYS, MONTHS, PatternPart, ordinal, time_pattern

_EPOCH: Final = datetime(1970, 1, 1)
_ROMAN_MONTHS: Final = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII")
_JULIAN_OF_YEAR_ONE: Final = 1_721_426
_NAMES: Final = ("MONTH", "MON", "DAY", "DY")
_HALVES: Final = ("A.M.", "P.M.", "AM", "PM")
_ERAS: Final = ("A.D.", "B.C.", "AD", "BC")
_FRACTIONS: Final = {"MS": 3, "US": 6, **{f"FF{digits}": digits for digits in range(1, 7)}}


def format_moment(micros: int, pattern: str, zoned: bool) -> str | None:
    """A timestamp, in microseconds since 1970, by a pattern; ``zoned`` if it has the zone UTC."""
    if not pattern:
        return None
    try:
        moment = _EPOCH + timedelta(microseconds=micros)
    except OverflowError:
        raise ValueError("to_char() of a year before 1 or after 9999 is not supported") from None
    return "".join(_moment_part(part, moment, zoned) for part in time_pattern(pattern))


def _moment_part(part: PatternPart, moment: datetime, zoned: bool) -> str:
    field = part.field
    if not field or field == "FX":
        return "" if field else part.text
    if field in _HALVES or field in _ERAS:
        letter = ("P" if moment.hour >= 12 else "A") if field in _HALVES else "A"
        return _cased(letter + field[1:].replace("C", "D"), part.text)
    if field in _NAMES:
        return _name(part, moment)
    if field in ("TZ", "OF", "TZH", "TZM"):
        zone = "UTC" if zoned else ""
        return {"TZ": _cased(zone, part.text), "OF": "+0" if part.fill else "+00", "TZH": "+00"}.get(
            field, "00"
        )
    if field == "RM":
        numeral = _cased(_ROMAN_MONTHS[moment.month - 1], part.text)
        return numeral if part.fill else numeral.ljust(4)
    return ordinal(_digits(part, moment), part.ordinal)


def _cased(text: str, field: str) -> str:
    return text.lower() if field[0].islower() else text


def _name(part: PatternPart, moment: datetime) -> str:
    is_month = part.field.startswith("MON")
    name = MONTHS[moment.month - 1] if is_month else DAYS[moment.weekday()]
    if part.field in ("MON", "DY"):
        name = name[:3]
    elif not part.prefix:
        name = name.ljust(9)
    if part.text[1].isupper():
        return name.upper()
    return name.lower() if part.text[0].islower() else name


def _digits(part: PatternPart, moment: datetime) -> str:
    number, width = _number(part.field, moment)
    if part.field == "Y,YYY":
        return f"{number // 1000},{number % 1000:03d}"
    # Fractions of a second and the last digit of a year keep theirs.
    return str(number) if part.fill and part.field not in _FRACTIONS else f"{number:0{width}d}"


def _number(field: str, moment: datetime) -> tuple[int, int]:
    """The number of a field and its width."""
    if field in _FRACTIONS:
        return moment.microsecond // 10 ** (6 - _FRACTIONS[field]), _FRACTIONS[field]
    day_of_year = moment.timetuple().tm_yday
    iso = moment.isocalendar()
    numbers = {
        "HH": ((moment.hour + 11) % 12 + 1, 2),
        "HH12": ((moment.hour + 11) % 12 + 1, 2),
        "HH24": (moment.hour, 2),
        "MI": (moment.minute, 2),
        "SS": (moment.second, 2),
        "SSSS": (moment.hour * 3600 + moment.minute * 60 + moment.second, 1),
        "SSSSS": (moment.hour * 3600 + moment.minute * 60 + moment.second, 1),
        "CC": ((moment.year + 99) // 100, 2),
        "Y,YYY": (moment.year, 4),
        "YYYY": (moment.year, 4),
        "YYY": (moment.year % 1000, 3),
        "YY": (moment.year % 100, 2),
        "Y": (moment.year % 10, 1),
        "IYYY": (iso.year, 4),
        "IYY": (iso.year % 1000, 3),
        "IY": (iso.year % 100, 2),
        "I": (iso.year % 10, 1),
        "Q": ((moment.month + 2) // 3, 1),
        "MM": (moment.month, 2),
        "DDD": (day_of_year, 3),
        "IDDD": ((iso.week - 1) * 7 + iso.weekday, 3),
        "DD": (moment.day, 2),
        "D": (iso.weekday % 7 + 1, 1),
        "ID": (iso.weekday, 1),
        "WW": ((day_of_year + 6) // 7, 2),
        "IW": (iso.week, 2),
        "W": ((moment.day + 6) // 7, 1),
        "J": (moment.toordinal() + _JULIAN_OF_YEAR_ONE - 1, 1),
    }
    return numbers[field]


def format_interval(months: int, days: int, micros: int, pattern: str) -> str | None:
    """An interval by a pattern, of which the parts are numbers. Raises ValueError for other fields."""
    if not pattern:
        return None
    seconds, fraction = divmod(abs(micros), 1_000_000)
    sign = -1 if micros < 0 else 1
    if fraction and sign < 0 and any(part.field in _FRACTIONS for part in time_pattern(pattern)):
        raise ValueError("to_char() of a fraction of a second below zero is not supported")
    hours = sign * (seconds // 3600)
    year = abs(months) // 12 * (-1 if months < 0 else 1)
    numbers = {
        "HH24": (hours, 2),
        "MI": (sign * (seconds // 60 % 60), 2),
        "SS": (sign * (seconds % 60), 2),
        "DD": (days, 2),
        "MM": (months - 12 * year, 2),
        "YYYY": (year, 4),
        **{field: (fraction // 10 ** (6 - count), count) for field, count in _FRACTIONS.items()},
    }
    texts: list[str] = []
    for part in time_pattern(pattern):
        if not part.field:
            texts.append(part.text)
            continue
        if part.field not in numbers:
            raise ValueError(f"{part.text} in to_char() of an interval or a time is not supported")
        number, width = numbers[part.field]
        width += number < 0 and part.field != "DD"
        plain = part.fill and part.field not in _FRACTIONS
        texts.append(ordinal(str(number) if plain else f"{number:0{width}d}", part.ordinal))
    return "".join(texts)
