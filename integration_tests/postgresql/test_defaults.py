"""Defaults of columns: nestvec stores what PostgreSQL stores, and refuses with the same SQLSTATE."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import psycopg
import pytest
from integration_tests.fixtures.postgres import PostgresServer

import nestvec
from nestvec import dbapi
from nestvec.pgwire.errors import to_pg_error
from nestvec_schemas.errors import NestvecError

STORED: Final = (
    ("int", "5"), ("int", "'7'"), ("int", "1 + 2 * 3"), ("int", "1.5"), ("int", "round(2.5)"), ("int", "-3"),
    ("smallint", "3::bigint"), ("bigint", "length('abc')"), ("real", "0.5"), ("float8", "2 ^ 0.5"),
    ("numeric", "1.25"), ("numeric(6,2)", "2.005"), ("numeric(5,1)", "10 / 4.0"), ("boolean", "'yes'"),
    ("boolean", "(1 < 2)"), ("text", "'it''s'"), ("text", "'a' || 'b'"), ("text", "upper('abc')"),
    ("text", "5 + 1"), ("text", "NULL"), ("text", "CASE WHEN 1 IS NULL THEN 'a' ELSE 'b' END"),
    ("varchar(9)", "'abc'::text"), ("jsonb", "'{}'"), ("jsonb", "'[1, 2]'::jsonb"),
    ("jsonb", "jsonb_build_object('a', 1)"), ("text[]", "'{}'"), ("text[]", "ARRAY['a', 'b']"),
    ("text[]", "ARRAY[]::text[]"), ("int[]", "'{1,2}'"), ("date", "'2024-02-29'"),
    ("date", "date '2024-01-31' + 1"), ("timestamptz", "'2024-01-02 03:04:05+00'"),
    ("uuid", "'11111111-2222-3333-4444-555555555555'"), ("vector(3)", "'[1,2,3]'"),
    ("int", "(5)"), ("int", "coalesce(NULL, 4)"), ("date", "'2024-01-02 03:04'::timestamp"),
)  # fmt: skip
"""Types, with defaults that are the same at any time."""

TRUE: Final = (
    ("timestamptz", "now()", "d = now() OR d BETWEEN now() - interval '1 hour' AND now()"),
    ("timestamptz", "CURRENT_TIMESTAMP", "d <= now()"),
    ("timestamptz", "now() + interval '1 day'", "d > now() + interval '23 hours'"),
    ("date", "current_date", "d BETWEEN current_date - 1 AND current_date"),
    ("uuid", "gen_random_uuid()", "length(d::text) = 36"),
    ("text", "gen_random_uuid()", "length(d) = 36"),
    ("text", "gen_random_uuid()::text", "length(d) = 36"),
    ("float8", "random()", "d >= 0 AND d < 1"),
    ("int", "floor(random() * 10)", "d BETWEEN 0 AND 9"),
    ("bigint", "extract(epoch FROM now())", "d > 1700000000"),
)
"""Types, with defaults that change, and what is true of them."""

REFUSED: Final = (
    ("int", "id"), ("int", "(SELECT 1)"), ("int", "max(1)"), ("int", "row_number() OVER ()"),
    ("int", "nothing_of_this_name(1)"), ("int", "lower('x')"), ("int", "true"), ("int", "now()"),
    ("jsonb", "lower('{}')"), ("boolean", "1 + 1"), ("date", "5 + 5"), ("uuid", "lower('x')"),
    ("int", "'x'"), ("boolean", "'maybe'"), ("date", "'2024-13-01'"),
    ("uuid", "'x'"), ("int", "generate_series(1, 2)"), ("text[]", "5 + 5"), ("int", "'5'::text"),
    ("timestamptz", "1.5 + 1"), ("int", "5 DEFAULT 6"),
)  # fmt: skip
"""Types, with what is no default of them."""


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dbapi.Connection]:
    with nestvec.connect(str(tmp_path_factory.mktemp("defaults") / "rows.db")) as opened:
        yield opened


@pytest.fixture(scope="module")
def oracle(postgresql: PostgresServer) -> Iterator[psycopg.Connection]:
    with postgresql.connect() as opened:
        opened.execute("SET TimeZone = 'UTC'")
        opened.execute("CREATE EXTENSION IF NOT EXISTS vector")
        opened.execute("DROP SCHEMA IF EXISTS defaults CASCADE")
        opened.execute("CREATE SCHEMA defaults")
        opened.execute("SET search_path = defaults, public")
        yield opened
        opened.execute("DROP SCHEMA defaults CASCADE")


def table(number: int, type_: str, default: str) -> str:
    return f"CREATE TABLE t{number} (id int PRIMARY KEY, d {type_} DEFAULT {default}, v vector(2))"


def test_defaults_are_those_of_postgresql(connection: dbapi.Connection, oracle: psycopg.Connection) -> None:
    differences = []
    for number, (type_, default) in enumerate(STORED):
        answers = []
        for run in (connection.execute, oracle.execute):
            run(table(number, type_, default))
            run(f"INSERT INTO t{number} (id, v) VALUES (1, '[1,2]')")
            run(f"INSERT INTO t{number} VALUES (2, DEFAULT, '[1,2]')")
            answers.append(run(f"SELECT d::text FROM t{number} ORDER BY id").fetchall())
        if answers[0] != answers[1]:
            differences.append((type_, default, *answers))
    assert not differences


def test_defaults_that_change_are_those_of_postgresql(
    connection: dbapi.Connection, oracle: psycopg.Connection
) -> None:
    for number, (type_, default, condition) in enumerate(TRUE, len(STORED)):
        for run in (connection.execute, oracle.execute):
            run(table(number, type_, default))
            run(f"INSERT INTO t{number} (id, v) VALUES (1, '[1,2]'), (2, '[1,2]')")
            counted = run(f"SELECT count(*) FROM t{number} WHERE {condition}").fetchall()
            assert counted == [(2,)], (run, type_, default)


def test_what_is_no_default_has_the_sqlstate_of_postgresql(
    connection: dbapi.Connection, oracle: psycopg.Connection
) -> None:
    differences = []
    for type_, default in REFUSED:
        statement = table(900, type_, default)
        try:
            oracle.execute(statement)
        except psycopg.Error as error:
            expected = error.sqlstate
        else:
            pytest.fail(f"PostgreSQL accepts {default} of {type_}")
        try:
            connection.execute(statement)
            state = "accepted"
            connection.execute("DROP TABLE t900")
        except dbapi.Error as error:
            cause = error.__cause__
            state = to_pg_error(cause).sqlstate if isinstance(cause, NestvecError) else str(error)
        if state != expected:
            differences.append((type_, default, state, expected))
    assert not differences
