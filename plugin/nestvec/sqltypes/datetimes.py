"""Dates and times as integers: days since 1970-01-01, or microseconds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from nestvec_schemas.errors import RowRejected

_EPOCH: Final = datetime(1970, 1, 1)
_EPOCH_DAY: Final = date(1970, 1, 1)
_MICROSECOND: Final = timedelta(microseconds=1)
_MICROS_IN_2000: Final = 946_684_800_000_000
"""PostgreSQL counts from 2000-01-01: a half is rounded away from it."""

_UNITS: Final = (1_000_000, 100_000, 10_000, 1_000, 100, 10, 1)
"""Microseconds of the last digit of seconds, by the number of digits."""

_DAY: Final = timedelta(days=1)

_CLOCK = (
    r"(?P<hour>\d{1,2}):(?P<minute>\d{1,2})(?::(?P<second>\d{1,2})(?:\.(?P<fraction>\d{0,20}))?)?"
    r"(?:\s*(?P<half>[AP]M)(?![a-z]))?"
)
_OFFSET = r"(?P<sign>[+-])(?P<off>\d{1,2})(?::?(?P<offmin>\d{2})(?::?(?P<offsec>\d{2}))?)?"
_HOURS_OF_ZONES: Final = {
    "z": 0, "utc": 0, "ut": 0, "gmt": 0, "wet": 0, "cet": 1, "met": 1, "bst": 1, "west": 1, "eet": 2,
    "cest": 2, "mest": 2, "msk": 3, "eest": 3, "jst": 9, "kst": 9, "aest": 10, "aedt": 11, "nzst": 12,
    "nzdt": 13, "edt": -4, "est": -5, "cdt": -5, "cst": -6, "mdt": -6, "mst": -7, "pdt": -7, "pst": -8,
}  # fmt: skip
"""Abbreviations that PostgreSQL knows, by the hours that they are before UTC."""
_ZONE = rf"\s*(?:(?P<zone>(?:{'|'.join(_HOURS_OF_ZONES)})(?![a-z]))|{_OFFSET}|(?P<name>[A-Za-z_]+/[\w/+-]+))?"
_TIMESTAMP = re.compile(
    r"\s*(?P<year>\d{3,6}(?=[-/. ])|\d{4})(?P<dash>[-/. ]?)(?P<month>\d{1,2}(?=[-/. ])|\d{2})(?P=dash)"
    rf"(?P<day>\d{{1,2}})(?:(?:T|\s+){_CLOCK})?{_ZONE}(?:\s+(?P<era>AD|BC))?\s*",
    re.ASCII | re.IGNORECASE,
)
_DATED_TIME = re.compile(r"\s*\d{4}-\d{1,2}-\d{1,2} +\d{1,2}:", re.ASCII)
_TIME = re.compile(rf"\s*{_CLOCK}{_ZONE}\s*", re.ASCII | re.IGNORECASE)
_BASIC_CLOCK = re.compile(
    r"(^\s*|\dT|\d\s+)(\d{2})(\d{2})(\d{2}(?:\.\d*)?)?(?=\s*(?:$|[A-Za-z]|[+-]\d{2}(?:$|:|\d{2}$)))", re.ASCII
)
"""A time of day without colons, ``0405`` or ``040506.5``."""
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    r"(?P<name>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
)
_MONTH += r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
_OTHER_DAYS: Final = tuple(
    re.compile(rf"\s*{pattern}(?=\s|$)", re.ASCII | re.IGNORECASE)
    for pattern in (
        rf"{_MONTH}\.?\s+(?P<day>\d{{1,2}})(?:,\s*|\s+)(?P<year>\d{{4}})",
        rf"(?P<day>\d{{1,2}})[-\s]{_MONTH}[-\s](?P<year>\d{{4}})",
        r"(?P<month>\d{1,2})/(?P<day>\d{1,2})/(?P<year>\d{4})",
    )
)
"""Days that do not begin with the year; of two numbers the first is the month, PostgreSQL's default."""

_CLOCK_WORDS: Final = ("now", "today", "tomorrow", "yesterday", "allballs")
_WRITE: Final[Mapping[str, str]] = {
    "date": "Write it as '2024-01-31'.",
    "time": "Write it as '13:45:00'.",
    "timestamp": "Write it as '2024-01-31 13:45:00'.",
    "timestamptz": "Write it as '2024-01-31 13:45:00+01'.",
}


def date_to_days(value: object, *, exact: bool) -> int:
    """Days since 1970-01-01. A time of day is dropped, or, with ``exact``, must be midnight."""
    if isinstance(value, str):
        moment = _parse(value, "date")[0]
    elif isinstance(value, datetime):
        moment = _naive_utc(value)
    elif isinstance(value, date):
        return (value - _EPOCH_DAY).days
    else:
        raise _rejected("date", value)
    if exact and moment.time() != time():
        raise RowRejected("a date has no time of day", value=str(value)[:60], next_step="Cast it to date.")
    return (moment.date() - _EPOCH_DAY).days


def days_to_date(days: int) -> date:
    return _EPOCH_DAY + _DAY * days


def timestamp_to_micros(value: object) -> int:
    """Microseconds since 1970 without a time zone; a zone in a text is ignored, as PostgreSQL does."""
    if isinstance(value, str):
        return _micros(_parse(value, "timestamp")[0])
    return _micros(_moment(value, "timestamp"))


def timestamptz_to_micros(value: object) -> int:
    """Microseconds since 1970 in UTC; what has no time zone is in UTC."""
    if isinstance(value, str):
        moment, offset = _parse(value, "timestamptz")
        return _micros(moment) - offset // _MICROSECOND
    return _micros(_moment(value, "timestamptz"))


def micros_to_timestamp(micros: int) -> datetime:
    return _EPOCH + _MICROSECOND * micros


def micros_to_timestamptz(micros: int) -> datetime:
    return (_EPOCH + _MICROSECOND * micros).replace(tzinfo=UTC)


def time_to_micros(value: object) -> int:
    """Microseconds since midnight."""
    if isinstance(value, time):
        return ((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000 + value.microsecond
    if not isinstance(value, str):
        raise _rejected("time", value)
    match = _TIME.fullmatch(value) or _TIME.fullmatch(_with_colons(value))
    if match is None:
        if not _DATED_TIME.match(value):
            raise _rejected("time", value)
        moment, _ = _parse(value, "time")
        return _micros(moment) - _micros(datetime.combine(moment, time()))
    micros = _clock(match, value) // _MICROSECOND
    if micros >= 86_400_000_000 or match["name"]:
        raise _rejected("time", value)
    _offset(match, _EPOCH, value)
    return micros


def round_micros(micros: int, digits: int) -> int:
    """Microseconds since 1970, with fewer digits of seconds, rounded as PostgreSQL does."""
    unit, since_2000 = _UNITS[digits], micros - _MICROS_IN_2000
    rounded = (abs(since_2000) + unit // 2) // unit * unit
    return (rounded if since_2000 >= 0 else -rounded) + _MICROS_IN_2000


def round_time(micros: int, digits: int) -> int:
    """Microseconds since midnight, with fewer digits of seconds."""
    unit = _UNITS[digits]
    return (micros + unit // 2) // unit * unit


def micros_to_time(micros: int) -> time:
    if not 0 <= micros < _DAY // _MICROSECOND:
        raise ValueError(micros)
    return (_EPOCH + _MICROSECOND * micros).time()


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def _moment(value: object, kind: str) -> datetime:
    if isinstance(value, datetime):
        return _naive_utc(value)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    raise _rejected(kind, value)


def _naive_utc(value: datetime) -> datetime:
    # A subclass (pandas's Timestamp) may hold nanoseconds.
    plain = datetime(
        value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond
    )
    offset = value.utcoffset()
    try:
        return plain if offset is None else plain - offset
    except OverflowError as error:
        raise _rejected("timestamp", value) from error


def _parse(text: str, kind: str) -> tuple[datetime, timedelta]:
    """The moment as written, and the offset of its zone from UTC."""
    iso = _year_first(text)
    match = _TIMESTAMP.fullmatch(iso) or _TIMESTAMP.fullmatch(iso := _with_colons(iso))
    if text.strip().lower() == "epoch":
        return _EPOCH, timedelta()
    if match is None:
        raise _rejected(kind, text)
    if match["hour"] is None and match["sign"] == "-" and iso[match.start("sign") - 1] != " ":
        raise _rejected(kind, text)
    if (match["era"] or "").upper() == "BC":
        raise RowRejected(
            f"a {kind} before the year 1 is not supported", value=text[:60], next_step=_WRITE[kind]
        )
    try:
        moment = datetime(int(match["year"]), int(match["month"]), int(match["day"]))
        if match["hour"] is not None:
            clock = _clock(match, text)
            # 24:00 and a second that rounds up are of the next day, which a date is not.
            moment += min(clock, _DAY - _MICROSECOND) if kind == "date" else clock
            if kind == "time" and clock >= _DAY:
                raise _rejected(kind, text)
        return moment, _offset(match, moment, text)
    except (ValueError, OverflowError) as error:
        raise RowRejected(
            "date/time field value out of range", value=text[:60], next_step=_WRITE[kind]
        ) from error


def _year_first(text: str) -> str:
    """``Jan 5 2024 12:00`` and ``01/05/2024`` as ``2024-01-05``; other texts as they are."""
    for pattern in _OTHER_DAYS:
        match = pattern.match(text)
        if match is not None:
            groups = match.groupdict()
            name = groups.get("name")
            month = groups["month"] if name is None else _MONTHS.index(name[:3].lower()) + 1
            return f"{groups['year']}-{int(month):02}-{int(groups['day']):02}{text[match.end() :]}"
    return text


def _with_colons(text: str) -> str:
    """A text whose time of day has colons."""
    return _BASIC_CLOCK.sub(
        lambda match: f"{match[1]}{match[2]}:{match[3]}" + (f":{match[4]}" if match[4] else ""), text, count=1
    )


def _clock(match: re.Match[str], text: str) -> timedelta:
    hour, minute, second = int(match["hour"]), int(match["minute"]), int(match["second"] or 0)
    if match["half"]:
        if hour > 12:
            raise RowRejected(
                "date/time field value out of range", value=text[:60], next_step="Correct the time of day."
            )
        hour = hour % 12 + 12 * (match["half"].upper() == "PM")
    # PostgreSQL rounds to microseconds, as a double.
    micros = round(float(f"0.{match['fraction'] or 0}") * 1e6)
    clock = timedelta(hours=hour, minutes=minute, seconds=second, microseconds=micros)
    if hour > 24 or minute > 59 or second > 60 or (hour == 24 and clock != _DAY):
        raise RowRejected(
            "date/time field value out of range", value=text[:60], next_step="Correct the time of day."
        )
    return clock


def _offset(match: re.Match[str], moment: datetime, text: str) -> timedelta:
    if match["sign"]:
        size = timedelta(
            hours=int(match["off"]), minutes=int(match["offmin"] or 0), seconds=int(match["offsec"] or 0)
        )
        if size >= timedelta(hours=16) or int(match["offmin"] or 0) > 59 or int(match["offsec"] or 0) > 59:
            raise RowRejected(
                "time zone displacement out of range", value=text[:60], next_step="Correct the zone."
            )
        return -size if match["sign"] == "-" else size
    if match["name"]:
        try:
            zone = ZoneInfo(match["name"])
            # Of a time that occurs twice or not at all, PostgreSQL takes the standard time's offset.
            offsets = [zone.utcoffset(moment.replace(fold=fold)) for fold in (0, 1)]
            return min(offset or timedelta() for offset in offsets)
        except (KeyError, OSError) as error:
            raise RowRejected(
                "there is no such time zone", value=match["name"][:60], next_step="Write an offset: +01."
            ) from error
    return timedelta(hours=_HOURS_OF_ZONES[(match["zone"] or "z").lower()])


def _rejected(kind: str, value: object) -> RowRejected:
    shown = value[:60] if isinstance(value, str) else type(value).__name__
    word = shown.strip().lower()
    if isinstance(value, str) and word in _CLOCK_WORDS:
        return RowRejected(
            f"the word '{word}' for a {kind} is not supported",
            value=shown,
            next_step="Write now(), current_date, current_date + 1 or '00:00'.",
        )
    if word.lstrip("+-") in ("infinity", "inf"):
        return RowRejected(f"an infinite {kind} is not supported", value=shown, next_step=_WRITE[kind])
    return RowRejected(f"this is not a {kind}", value=shown, next_step=_WRITE[kind])
