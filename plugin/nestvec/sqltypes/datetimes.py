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

_CLOCK = r"(?P<hour>\d{1,2}):(?P<minute>\d{1,2})(?::(?P<second>\d{1,2})(?:\.(?P<fraction>\d{1,20}))?)?"
_OFFSET = r"(?P<sign>[+-])(?P<off>\d{1,2})(?::?(?P<offmin>\d{2}))?"
_ZONE = rf"\s*(?:(?P<zulu>Z|UTC|GMT)|{_OFFSET}|(?P<name>[A-Za-z_]+/[\w/+-]+))?"
_TIMESTAMP = re.compile(
    r"\s*(?P<year>\d{4,6}(?=-)|\d{4})(?P<dash>-?)(?P<month>\d{1,2}(?=-)|\d{2})(?P=dash)(?P<day>\d{1,2})"
    rf"(?:(?:T|\s+){_CLOCK}{_ZONE})?\s*",
    re.ASCII | re.IGNORECASE,
)
_TIME = re.compile(rf"\s*{_CLOCK}\s*", re.ASCII)
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
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None or not isinstance(value, str):
        raise _rejected("time", value)
    micros = _clock(match, value) // _MICROSECOND
    if micros >= 86_400_000_000:
        raise _rejected("time", value)
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
    match = _TIMESTAMP.fullmatch(text)
    if text.strip().lower() == "epoch":
        return _EPOCH, timedelta()
    if match is None:
        raise _rejected(kind, text)
    try:
        moment = datetime(int(match["year"]), int(match["month"]), int(match["day"]))
        if match["hour"] is not None:
            moment += _clock(match, text)
        return moment, _offset(match, moment, text)
    except (ValueError, OverflowError) as error:
        raise RowRejected(
            "date/time field value out of range", value=text[:60], next_step=_WRITE[kind]
        ) from error


def _clock(match: re.Match[str], text: str) -> timedelta:
    hour, minute, second = int(match["hour"]), int(match["minute"]), int(match["second"] or 0)
    fraction = match["fraction"] or "0"
    # PostgreSQL rounds to microseconds.
    micros = round(int(fraction.ljust(7, "0")[:7]) / 10)
    clock = timedelta(hours=hour, minutes=minute, seconds=second, microseconds=micros)
    if hour > 24 or minute > 59 or second > 60 or (hour == 24 and clock != _DAY):
        raise RowRejected(
            "date/time field value out of range", value=text[:60], next_step="Correct the time of day."
        )
    return clock


def _offset(match: re.Match[str], moment: datetime, text: str) -> timedelta:
    if match["sign"]:
        size = timedelta(hours=int(match["off"]), minutes=int(match["offmin"] or 0))
        if size >= timedelta(hours=16):
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
    return timedelta()


def _rejected(kind: str, value: object) -> RowRejected:
    shown = value[:60] if isinstance(value, str) else type(value).__name__
    return RowRejected(f"this is not a {kind}", value=shown, next_step=_WRITE[kind])
