"""Values of SQL types as PostgreSQL 16 reads and compares them, on the same texts."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from decimal import Decimal
from itertools import product
from typing import Any

import psycopg
import pytest
from integration_tests.fixtures.postgres import run_postgres

from nestvec.milvus.catalog import Column, TypeParams
from nestvec.sqltypes import from_stored, parse_sql_type, storage, to_stored
from nestvec_schemas.errors import RowRejected

TEXTS = {
    "date": [
        "2024-01-31",
        "20240131",
        "2024-1-3",
        "2024-02-30",
        "0001-01-01",
        "9999-12-31",
        "2024-01-31 13:45",
        "x",
        "",
        "epoch",
        "2024-13-01",
        " 2024-01-31 ",
    ],
    "timestamp": [
        "2024-01-31 13:45:00",
        "2024-01-31T13:45:00.123456",
        "2024-01-31 13:45:00.9999999",
        "2024-01-31 24:00:00",
        "2024-01-31 24:00:01",
        "2024-01-31 13:60",
        "2024-01-31 13:45:60",
        "2024-01-31",
        "2024-01-31 13:45:00+02",
        "2024-01-31 1:2",
        "epoch",
        "soon",
    ],
    "timestamptz": [
        "2024-01-31 13:45:00+02",
        "2024-01-31 13:45:00-05:30",
        "2024-01-31T13:45:00Z",
        "2024-01-31 13:45:00 UTC",
        "2024-07-01 12:00 Europe/Berlin",
        "2024-01-31 13:45:00+20",
        "2024-01-31",
        "2024-01-31 10:00 Mars/Olympus",
    ],
    "time": ["13:45", "13:45:59.5", "00:00", "24:30", "1:2", "x"],
    "uuid": [
        "00000000-0000-0000-0000-00000000000A",
        "{00000000-0000-0000-0000-00000000000a}",
        "0000000000000000000000000000000a",
        "x",
        "",
        "urn:uuid:00000000-0000-0000-0000-00000000000a",
    ],
    "numeric": [
        "1",
        "-0.50",
        "1e3",
        "1.5e-7",
        "123456789012345678901234567890.5",
        ".5",
        "5.",
        "1_0",
        "",
        "x",
    ],
    "numeric(5,2)": ["1.005", "1.004", "-1.005", "999.994", "999.995", "1e3", "0"],
    "bytea": ["\\x00ff", "\\xABc", "abc", "a\\\\b", "\\001", "\\9", ""],
    "int4": ["12", " -3 ", "2147483648", "1.5", "x"],
    "bit(3)": ["101", "10", "1011", "1a1"],
}


@pytest.fixture(scope="module")
def postgres() -> Iterator[psycopg.Connection[Any]]:
    with run_postgres() as server, server.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        # The table's type changes from value to value, unlike that of a prepared statement.
        connection.prepare_threshold = None
        yield connection


def column(sql_type: str) -> Column:
    kind = parse_sql_type(sql_type)
    assert kind is not None
    return Column("c", storage(kind)[0], TypeParams(dim=8 if kind.name == "bit" else None, sql_type=sql_type))


def of_postgres(connection: psycopg.Connection[Any], text: str, sql_type: str) -> Any:
    # A table's column: a cast to bit(3) would cut or pad the text.
    connection.execute(f"CREATE TEMP TABLE one_value (c {sql_type})")
    try:
        connection.execute("INSERT INTO one_value VALUES (%s)", [text])
        (value,) = connection.execute("SELECT c FROM one_value").fetchone() or (None,)
    except psycopg.Error:
        return "error"
    finally:
        connection.execute("DROP TABLE one_value")
    return value


def of_nestvec(text: str, sql_type: str) -> Any:
    target = column(sql_type)
    try:
        return from_stored(target, to_stored(target, text))
    except RowRejected:
        return "error"


@pytest.mark.parametrize(
    ("sql_type", "text"), [(kind, text) for kind, texts in TEXTS.items() for text in texts], ids=ascii
)
def test_a_text_is_the_value_that_postgresql_reads(
    postgres: psycopg.Connection[Any], sql_type: str, text: str
) -> None:
    assert of_postgres(postgres, text, sql_type) == of_nestvec(text, sql_type)


@pytest.mark.parametrize(
    ("sql_type", "values"),
    [
        (
            "numeric",
            [
                Decimal(text)
                for text in ("-12.5", "-12.4999", "-0.001", "0", "0.00", "1e-9", "2", "10", "1e20")
            ],
        ),
        ("uuid", [uuid.UUID(int=number << 100) for number in (0, 1, 9, 10, 255)]),
        ("bytea", [b"", b"\x00", b"\x00\xff", b"\x7f", b"\x80", b"ab", b"abc"]),
    ],
)
def test_stored_values_compare_as_in_postgresql(
    postgres: psycopg.Connection[Any], sql_type: str, values: list[Any]
) -> None:
    target = column(sql_type)
    for first, second in product(values, repeat=2):
        (expected,) = postgres.execute(
            f"SELECT %s::{sql_type} < %s::{sql_type}", [first, second]
        ).fetchone() or (None,)
        assert (to_stored(target, first) < to_stored(target, second)) == expected, (first, second)
