"""LIMIT and OFFSET whose parameter is NULL: no limit, as in PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import psycopg
from integration_tests.fixtures.pgwire import run_pg
from integration_tests.fixtures.postgres import PostgresServer

import nestvec

SETUP: Final = (
    "CREATE TABLE limited (id BIGINT PRIMARY KEY, v VECTOR(2))",
    "INSERT INTO limited VALUES (1, '[1, 0]'), (2, '[0, 1]'), (3, '[1, 1]'), (4, '[3, 2.8]')",
)
QUERIES: Final = (
    "SELECT id FROM limited ORDER BY v <-> '[1, 0.4]', id LIMIT {0}",
    "SELECT id FROM limited ORDER BY v <-> '[1, 0.4]' LIMIT {0} OFFSET {1}",
    "SELECT id FROM limited WHERE id > 1 ORDER BY v <=> '[1, 0.4]', id LIMIT {0}",
    "SELECT id FROM limited ORDER BY id DESC LIMIT {0} OFFSET {1}",
    "SELECT v.id FROM limited AS v JOIN limited AS w USING (id) ORDER BY 1 LIMIT {0} OFFSET {1}",
)
COUNTS: Final = ((2, 1), (None, 1), (2, None), (None, None))


def answer(connection: Any, statement: str, query: str, counts: tuple[int | None, ...]) -> list[Any]:
    """The rows of a query with as many counts as it has places."""
    return list(connection.execute(statement, counts[: query.count("{")]).fetchall())


def test_null_is_no_limit(postgresql: PostgresServer, tmp_path: Path) -> None:
    path = str(tmp_path / "rows.db")
    with nestvec.connect(path) as connection, postgresql.connect() as oracle:
        for statement in SETUP:
            connection.execute(statement)
            oracle.execute(statement.encode())
        expected = {
            (query, counts): answer(oracle, query.format("%s::int", "%s::int"), query, counts)
            for query in QUERIES
            for counts in COUNTS
        }
        oracle.execute("DROP TABLE limited")
        answered = {
            (query, counts): answer(connection, query.format("$1", "$2"), query, counts)
            for query, counts in expected
        }
    assert answered == expected
    with run_pg(path) as running, psycopg.connect(running.address, autocommit=True) as client:
        answered = {
            (query, counts): answer(client, query.format("%s", "%s"), query, counts)
            for query, counts in expected
        }
    assert answered == expected
