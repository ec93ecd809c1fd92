"""Wrong statements of all kinds: nestvec refuses what PostgreSQL refuses, with its SQLSTATE."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
import pytest
from integration_tests.fixtures.postgres import PostgresServer

import nestvec
from nestvec import dbapi
from nestvec.pgwire.errors import to_pg_error

SETUP: Final = (
    "CREATE TABLE authors (id BIGINT PRIMARY KEY, name TEXT, born DATE, country VARCHAR(2), v VECTOR(2))",
    "CREATE TABLE books (id BIGINT PRIMARY KEY, title TEXT, author_id BIGINT, price NUMERIC(8, 2), "
    "pages INT, published TIMESTAMP, tags TEXT[], meta JSONB, rating REAL, stock SMALLINT, sold BIGINT, "
    "open BOOLEAN, v VECTOR(3))",
    "CREATE TABLE orders (id BIGINT PRIMARY KEY, book_id BIGINT, customer TEXT, v VECTOR(2))",
    "INSERT INTO authors VALUES (1, 'Ada', '1815-12-10', 'GB', '[1, 0]'), (2, 'Alan', NULL, 'GB', '[1, 1]')",
    "INSERT INTO books VALUES (1, 'Notes', 1, 12.5, 120, '2020-01-31 10:00', '{math,old}', "
    "'{\"lang\": \"en\", \"n\": 1}', 4.5, 3, 10, true, '[1, 0, 0]'), (2, 'Machines', 2, NULL, NULL, NULL, "
    "'{}', '[1, \"x\"]', NULL, 0, NULL, false, '[0, 1, 0]')",
    "INSERT INTO orders VALUES (1, 1, 'bob', '[1, 2]'), (2, 2, NULL, '[2, 2]')",
)

WRONG: Final = Path(__file__).with_name("refused.sql").read_text(encoding="utf-8").splitlines()
"""A statement a line: errors of types, grouping, names, arity, windows, LIMIT, set operations and casts."""
PARTS: Final = 6


@dataclass(frozen=True)
class Twins:
    """The same rows by nestvec and by PostgreSQL."""

    nestvec: dbapi.Connection
    postgresql: psycopg.Connection

    def states(self, statement: str) -> tuple[str | None, str | None]:
        """The SQLSTATEs of both errors; None for an answer."""
        expected = answered = None
        try:
            self.postgresql.execute(statement.encode())
        except psycopg.Error as error:
            expected = error.sqlstate
        try:
            self.nestvec.execute(statement)
        except dbapi.Error as error:
            answered = to_pg_error(error.__cause__).sqlstate  # type: ignore[arg-type]
        return expected, answered


@pytest.fixture(scope="module")
def twins(postgresql: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twins]:
    path = str(tmp_path_factory.mktemp("refused") / "rows.db")
    with nestvec.connect(path) as connection, postgresql.connect() as oracle:
        for statement in SETUP:
            connection.execute(statement)
            oracle.execute(statement.encode())
        yield Twins(connection, oracle)
        oracle.execute("DROP TABLE authors, books, orders")


@pytest.mark.parametrize("part", range(PARTS))
def test_what_postgresql_refuses_is_refused_with_its_sqlstate(twins: Twins, part: int) -> None:
    outcomes = {statement: twins.states(statement) for statement in WRONG[part::PARTS]}
    assert {statement: states for statement, states in outcomes.items() if states[0] != states[1]} == {}
    assert not [statement for statement, states in outcomes.items() if states[0] is None]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT (SELECT count(r.id) FROM authors AS a WHERE a.id = 1) FROM books AS r",
        "SELECT r.open, (SELECT name FROM authors AS a WHERE a.id = max(r.id)) FROM books r GROUP BY r.open",
    ],
)
def test_an_aggregate_of_the_query_around_its_own_is_refused_by_name(twins: Twins, statement: str) -> None:
    assert twins.postgresql.execute(statement.encode()).fetchall()
    with pytest.raises(dbapi.NotSupportedError, match="an aggregate of columns of the query around"):
        twins.nestvec.execute(statement)
