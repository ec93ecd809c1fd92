"""Dates and times: as PostgreSQL writes them, and in binary from 2000-01-01."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from typing import Final, TypeVar

from nestvec.pgwire.errors import PgError
from nestvec.sqltypes.datetimes import (
    date_to_days,
    days_to_date,
    micros_to_time,
    micros_to_timestamp,
    micros_to_timestamptz,
    time_to_micros,
    timestamp_to_micros,
    timestamptz_to_micros,
)
from nestvec.sqltypes.intervals import Interval, interval_parts
from nestvec_schemas.errors import RowRejected

_DAY: Final = date(2000, 1, 1)
_MOMENT: Final = datetime(2000, 1, 1)
_MICROSECOND: Final = timedelta(microseconds=1)

_DAY_MICROS: Final = 86_400_000_000
_UNITS: Final = {
    **dict.fromkeys(("y", "yr", "yrs", "year", "years"), (12, 0, 0)),
    **dict.fromkeys(("mon", "mons", "month", "months"), (1, 0, 0)),
    **dict.fromkeys(("w", "week", "weeks"), (0, 7, 0)),
    **dict.fromkeys(("d", "day", "days"), (0, 1, 0)),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), (0, 0, 3_600_000_000)),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), (0, 0, 60_000_000)),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), (0, 0, 1_000_000)),
    **dict.fromkeys(("ms", "msec", "msecs", "millisecond", "milliseconds"), (0, 0, 1_000)),
    **dict.fromkeys(("us", "usec", "usecs", "microsecond", "microseconds"), (0, 0, 1)),
}
"""Months, days and microseconds of each unit."""
_PART: Final = re.compile(
    r"\s*(?:(?P<sign>[+-]?)(?P<hours>\d{1,9}):(?P<minutes>\d{1,2})(?::(?P<seconds>\d{1,2}(?:\.\d{1,9})?))?"
    r"|(?P<count>[+-]?\d{1,18}(?:\.\d{1,9})?)\s*(?P<unit>[a-z]+))[\s,]*",
    re.I,
)

T = TypeVar("T")


def encode_date(value: date) -> bytes:
    """Days from 2000-01-01."""
    return struct.pack("!i", (value - _DAY).days)


def encode_timestamp(value: datetime) -> bytes:
    """Microseconds from 2000-01-01, of UTC if it has a time zone."""
    moment = value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
    return struct.pack("!q", (moment - _MOMENT) // _MICROSECOND)


def encode_time(value: time) -> bytes:
    """Microseconds from midnight."""
    seconds = (value.hour * 60 + value.minute) * 60 + value.second
    return struct.pack("!q", seconds * 1_000_000 + value.microsecond)


def encode_interval(value: timedelta) -> bytes:
    """Microseconds, days and months."""
    months, days, microseconds = interval_parts(value)
    return struct.pack("!qii", microseconds, days, months)


def decode_interval(data: bytes) -> timedelta:
    """Microseconds, days and months. Raises PgError."""
    try:
        microseconds, days, months = struct.unpack("!qii", data)
    except struct.error as error:
        raise PgError("22P03", f"incorrect binary data format: an interval of {len(data)} bytes") from error
    return _interval(months, days, microseconds)


def decode_date(data: bytes) -> date:
    """A day from its number. Raises PgError."""
    return _DAY + timedelta(days=_number("!i", data, "date"))


def decode_timestamp(data: bytes) -> datetime:
    """A moment from its number. Raises PgError."""
    return _moment(_number("!q", data, "timestamp"))


def decode_timestamptz(data: bytes) -> datetime:
    """A moment in UTC from its number. Raises PgError."""
    return _moment(_number("!q", data, "timestamptz")).replace(tzinfo=UTC)


def decode_time(data: bytes) -> time:
    """A time of day from its number. Raises PgError."""
    return _moment(_number("!q", data, "time")).time()


def parse_date(text: str) -> date:
    """A day; the time or zone after it is left out, as in PostgreSQL. Raises PgError."""
    return _parsed(lambda day: days_to_date(date_to_days(day, exact=False)), text, "date")


def parse_timestamp(text: str) -> datetime:
    """A moment; a zone after it is left out, as in PostgreSQL. Raises PgError."""
    return _parsed(lambda moment: micros_to_timestamp(timestamp_to_micros(moment)), text, "timestamp")


def parse_timestamptz(text: str) -> datetime:
    """A moment, of UTC without a time zone. Raises PgError."""
    return _parsed(
        lambda moment: micros_to_timestamptz(timestamptz_to_micros(moment)), text, "timestamp with time zone"
    )


def parse_time(text: str) -> time:
    """A time of day; a zone after it is left out, as in PostgreSQL. Raises PgError."""
    return _parsed(lambda moment: micros_to_time(time_to_micros(moment)), text, "time")


def parse_interval(text: str) -> timedelta:
    """``1 year 2 mons -3 days +04:05:06.7``, and the same with other names of the units. Raises PgError."""
    words = text.strip().removeprefix("@").strip()
    negative = words.lower().endswith(" ago")
    words = words[:-4] if negative else words
    months, days, micros, at = Fraction(0), Fraction(0), Fraction(0), 0
    while at < len(words) or not at:
        match = _PART.match(words, at)
        unit = _UNITS.get((match["unit"] or "").lower()) if match else None
        if match is None or (match["unit"] and unit is None):
            raise PgError("22007", f'invalid input syntax for type interval: "{text[:100]}"')
        if unit is None:
            seconds = (
                3600 * int(match["hours"]) + 60 * int(match["minutes"]) + Fraction(match["seconds"] or 0)
            )
            micros += seconds * (-1_000_000 if match["sign"] == "-" else 1_000_000)
        else:
            count = Fraction(match["count"])
            months, days, micros = months + count * unit[0], days + count * unit[1], micros + count * unit[2]
        at = match.end()
    # A part of a month is days, and a part of a day is hours.
    days += 30 * (months - int(months))
    micros += _DAY_MICROS * (days - int(days))
    sign = -1 if negative else 1
    return _interval(sign * int(months), sign * int(days), sign * round(micros))


def _interval(months: int, days: int, microseconds: int) -> timedelta:
    """A timedelta, which keeps months apart if there are any. Raises PgError."""
    try:
        if months:
            return Interval(months, days, microseconds)
        return timedelta(days=days, microseconds=microseconds)
    except OverflowError as error:
        raise PgError("22008", "interval out of range") from error


def _moment(microseconds: int) -> datetime:
    try:
        return _MOMENT + timedelta(microseconds=microseconds)
    except OverflowError as error:
        raise PgError("22008", "timestamp out of range: the years are 1 to 9999") from error


def _number(format_: str, data: bytes, name: str) -> int:
    try:
        number: int = struct.unpack(format_, data)[0]
    except struct.error as error:
        raise PgError("22P03", f"incorrect binary data format: a {name} of {len(data)} bytes") from error
    limit = 2_932_897 if format_ == "!i" else 1 << 62
    if format_ == "!i" and not -730_119 <= number < limit:
        raise PgError("22008", "date out of range: the years are 1 to 9999")
    return number


def _parsed(parse: Callable[[str], T], text: str, name: str) -> T:
    try:
        return parse(text.strip())
    except (ValueError, OverflowError, RowRejected) as error:
        raise PgError("22007", f'invalid input syntax for type {name}: "{text[:100]}"') from error
