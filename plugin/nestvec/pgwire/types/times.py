"""Dates and times: as PostgreSQL writes them, and in binary from 2000-01-01."""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, TypeVar

from nestvec.pgwire.errors import PgError
from nestvec.sqltypes.intervals import interval_parts

_DAY: Final = date(2000, 1, 1)
_MOMENT: Final = datetime(2000, 1, 1)
_MICROSECOND: Final = timedelta(microseconds=1)

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
    """A day from ISO 8601. Raises PgError."""
    return _parsed(date.fromisoformat, text, "date")


def parse_timestamp(text: str) -> datetime:
    """A moment from ISO 8601. Raises PgError."""
    return _parsed(datetime.fromisoformat, text, "timestamp").replace(tzinfo=None)


def parse_timestamptz(text: str) -> datetime:
    """A moment from ISO 8601, of UTC without a time zone. Raises PgError."""
    moment = _parsed(datetime.fromisoformat, text, "timestamp with time zone")
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def parse_time(text: str) -> time:
    """A time of day from ISO 8601. Raises PgError."""
    return _parsed(time.fromisoformat, text, "time")


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
    except ValueError as error:
        raise PgError("22007", f'invalid input syntax for type {name}: "{text[:100]}"') from error
