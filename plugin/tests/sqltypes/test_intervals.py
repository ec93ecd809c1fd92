"""Intervals keep months, days and the clock apart."""

from __future__ import annotations

import pickle
from datetime import timedelta

import pytest

from nestvec.sqltypes.intervals import Interval, interval_parts, interval_text


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        (Interval(526, -3, 14_706_700_000), "43 years 10 mons -3 days +04:05:06.7"),
        (Interval(-14, 0, 0), "-1 years -2 mons"),
        (Interval(0, 0, -129_600_000_000), "-36:00:00"),
        (Interval(0, 1, 0), "1 day"),
        (Interval(0, 0, 0), "00:00:00"),
        (timedelta(hours=-36), "-1 days -12:00:00"),
        (timedelta(days=2, seconds=1), "2 days 00:00:01"),
    ],
)
def test_an_interval_is_written_as_postgresql_writes_it(interval: timedelta, text: str) -> None:
    assert interval_text(interval) == text


def test_an_interval_is_the_timedelta_of_psycopg_and_survives_pickling() -> None:
    interval = Interval(14, 3, 5)
    assert interval == timedelta(days=365 + 2 * 30 + 3, microseconds=5)
    assert interval_parts(pickle.loads(pickle.dumps(interval))) == (14, 3, 5)
