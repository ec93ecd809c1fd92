"""Texts as dates and times: what PostgreSQL reads, nestvec reads as the same, or refuses."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any, Final

import psycopg
import pytest
from integration_tests.fixtures.postgres import PostgresServer

import nestvec
from nestvec import dbapi

_DAYS: Final = (
    "2024-01-02", "2024-2-29", "2023-02-29", "20240102", "2024/1/2", "2024.01.02", "Jan 5 2024",
    "January 5, 2024", "5 january 2024", "05-Jan-2024", "1/2/2024", "31/12/2024", "999-12-31",
    "0002-01-01", "9999-12-30", "24-01-02", "2024-01", "epoch", "infinity", "-infinity", "2024-13-01",
    "Jun 31 2024", "2024-01-02T", "0000-01-01", "today x",
)  # fmt: skip
_CLOCKS: Final = (
    "", "", "10:11", "10:11:12", "1:2:3", "10:11:12.5", "10:11:12.1234565", "10:11:12.12345651",
    "10:11:12.9999999", "23:59:59.9999995", "24:00:00", "24:00:01", "23:59:60", "10:60", "12:00 AM",
    "12:30 PM", "1:02:03pm", "13:00 PM", "0:00 am", "10:11:12.", "10", "25:00",
)  # fmt: skip
_ZONES: Final = (
    "", "", "", "Z", " UTC", "+05", "-07", " -07", " +05:30", "+0530", "-07:15:20", "+15:59:59", "+16",
    "+05:60", " PST", " CET", " cest", " Europe/Berlin", " America/New_York", " Mars/Olympus", " XYZ",
)  # fmt: skip
_ERAS: Final = ("", "", "", "", " AD", " BC", "BC")
_TYPES: Final = ("date", "time", "timestamp", "timestamptz", "timestamp(2)", "timestamptz(0)", "time(3)")


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dbapi.Connection]:
    with nestvec.connect(str(tmp_path_factory.mktemp("datetimes") / "rows.db")) as opened:
        yield opened


@pytest.fixture(scope="module")
def oracle(postgresql: PostgresServer) -> Iterator[psycopg.Connection]:
    with postgresql.connect() as opened:
        opened.execute("SET TimeZone = 'UTC'")
        yield opened


def random_text(draw: Random) -> str:
    """A text that may be a date or a time."""
    day, clock = draw.choice(_DAYS), draw.choice(_CLOCKS)
    parts = [day, clock] if draw.random() > 0.2 else [clock]
    separator = "T" if draw.random() < 0.1 else " "
    text = separator.join(part for part in parts if part) + draw.choice(_ZONES) + draw.choice(_ERAS)
    return f" {text} " if draw.random() < 0.1 else text


def answer(execute: Any, statement: str) -> object:
    """The only value of a statement; None for an error of its data."""
    try:
        return execute(statement).fetchone()[0]
    except (psycopg.DataError, dbapi.DataError):
        return None


@pytest.mark.parametrize(
    "call", ["current_date", "current_time", "current_timestamp", "localtime", "localtimestamp", "now()"]
)
def test_the_current_time_names_its_column(
    connection: dbapi.Connection, oracle: psycopg.Connection, call: str
) -> None:
    statement = f"SELECT {call}, {call}::text, count({call})"
    expected = oracle.execute(statement.encode()).description or []
    described = connection.execute(statement).description or []
    assert [column[0] for column in described] == [column.name for column in expected]


@pytest.mark.parametrize("computed", [False, True], ids=["constant", "computed"])
def test_a_text_is_the_date_of_postgresql_or_an_error(
    connection: dbapi.Connection, oracle: psycopg.Connection, computed: bool
) -> None:
    draw = Random(7)
    texts = sorted({random_text(draw) for _ in range(900)})
    differing: list[object] = []
    readable = refused = 0
    for at, text in enumerate(texts):
        quoted = f"('{text}' || '')" if computed else f"'{text}'"
        statement = f"SELECT {quoted}::{_TYPES[at % len(_TYPES)]}"
        expected, value = answer(oracle.execute, statement), answer(connection.execute, statement)
        readable += expected is not None
        refused += expected is not None and value is None
        if value is not None and value != expected:
            differing.append((statement, expected, value))
    assert differing == []
    # Most of what PostgreSQL reads is read; its rarest notations are refused.
    assert readable > 150 and refused < readable / 3, (readable, refused)
