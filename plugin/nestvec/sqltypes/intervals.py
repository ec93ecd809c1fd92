"""Intervals as PostgreSQL has them: months, days and microseconds, which are not converted to each other."""

from __future__ import annotations

from datetime import timedelta

from nestvec_schemas.errors import SqlDataError

_DAYS_OF_YEAR, _DAYS_OF_MONTH = 365, 30
"""Lengths by which psycopg makes a timedelta of an interval, too."""


class Interval(timedelta):
    """A timedelta that keeps the parts of the interval which it was."""

    months: int
    whole_days: int
    micros: int

    def __new__(cls, months: int, days: int, microseconds: int) -> Interval:
        years, rest = divmod(abs(months), 12)
        length = years * _DAYS_OF_YEAR + rest * _DAYS_OF_MONTH
        length = -length if months < 0 else length
        try:
            interval = super().__new__(cls, days=days + length, microseconds=microseconds)
        except OverflowError as error:
            raise SqlDataError(
                "an interval is of 999,999,999 days at most, as Python has them",
                value=f"{months} months, {days} days",
                next_step="Cast it to text.",
            ) from error
        interval.months, interval.whole_days, interval.micros = months, days, microseconds
        return interval

    def __reduce__(self) -> tuple[type[Interval], tuple[int, int, int]]:
        return (type(self), (self.months, self.whole_days, self.micros))


def interval_parts(value: timedelta) -> tuple[int, int, int]:
    """Months, days and microseconds, of which the last two have the same sign unless the interval had not."""
    if isinstance(value, Interval):
        return value.months, value.whole_days, value.micros
    microseconds = value // timedelta(microseconds=1)
    days = abs(microseconds) // 86_400_000_000 * (-1 if microseconds < 0 else 1)
    return 0, days, microseconds - days * 86_400_000_000


def interval_text(value: timedelta) -> str:
    """``1 year 2 mons -3 days +04:05:06.7``, as PostgreSQL writes an interval."""
    months, days, micros = interval_parts(value)
    years = abs(months) // 12 * (-1 if months < 0 else 1)
    texts: list[str] = []
    negative = False
    for count, unit in ((years, "year"), (months - 12 * years, "mon"), (days, "day")):
        if count:
            texts.append(f"{'+' if negative and count > 0 else ''}{count} {unit}{'' if count == 1 else 's'}")
            negative = count < 0
    if micros or not texts:
        sign = "-" if micros < 0 else "+" if negative else ""
        seconds, fraction = divmod(abs(micros), 1_000_000)
        clock = f"{sign}{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
        texts.append(clock + (f".{fraction:06d}".rstrip("0") if fraction else ""))
    return " ".join(texts)
