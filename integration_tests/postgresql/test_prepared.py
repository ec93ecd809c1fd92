"""PREPARE, EXECUTE and DEALLOCATE as statements: as PostgreSQL runs and refuses them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from integration_tests.fixtures.pgwire import run_pg
from integration_tests.fixtures.postgres import PostgresServer

import nestvec
from nestvec.pgwire.errors import to_pg_error

SETUP: Final = (
    "CREATE TABLE kept (id BIGINT PRIMARY KEY, title TEXT, v VECTOR(2))",
    "INSERT INTO kept VALUES (1, 'a', '[1, 0]'), (2, 'b', '[0, 1]'), (3, NULL, '[1, 1]')",
)
SCRIPT: Final = (
    "PREPARE one AS SELECT id, title FROM kept WHERE id = $1",
    "EXECUTE one(2)",
    "EXECUTE one(1 + 2)",
    "EXECUTE one('1')",
    "EXECUTE one(NULL)",
    "EXECUTE one",
    "EXECUTE one(1, 2)",
    "EXECUTE other(1)",
    "PREPARE one AS SELECT 1",
    'PREPARE "One" (int, text) AS SELECT $1 + 1, upper($2)',
    "EXECUTE \"One\"('41', 'x, (y)')",
    "EXECUTE \"One\"('x', 'y')",
    "PREPARE put (bigint, text, vector) AS INSERT INTO kept VALUES ($1, $2, $3)",
    "EXECUTE put(4, 'd', '[2, 2]')",
    "EXECUTE put(4, 'd', '[2, 2]')",
    "PREPARE near (vector, int) AS SELECT id FROM kept ORDER BY v <-> $1, id LIMIT $2",
    "EXECUTE near('[1, 0]', 2)",
    "EXECUTE near('[1, 0]', NULL)",
    "PREPARE alter_it AS UPDATE kept SET title = $2 WHERE id = $1",
    "EXECUTE alter_it(4, 'e')",
    "PREPARE out AS DELETE FROM kept WHERE id = $1 RETURNING title",
    "EXECUTE out(4)",
    "PREPARE wrong AS SELEC 1",
    "PREPARE wrong AS DROP TABLE kept",
    "PREPARE wrong (nothing) AS SELECT $1",
    "PREPARE wrong",
    "DEALLOCATE one",
    "EXECUTE one(1)",
    "DEALLOCATE one",
    "DEALLOCATE PREPARE put",
    "DEALLOCATE ALL",
    "EXECUTE near('[1, 0]', 2)",
    "DEALLOCATE",
)


def outcome(connection: Any, statement: str) -> object:
    """The rows, sorted where no order is asked for, or the SQLSTATE."""
    try:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else None
    except psycopg.Error as error:
        return error.sqlstate
    except nestvec.dbapi.Error as error:
        return to_pg_error(error.__cause__).sqlstate  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def expected(postgresql: PostgresServer) -> Iterator[list[object]]:
    with postgresql.connect() as oracle:
        for statement in SETUP:
            oracle.execute(statement.encode())
        yield [outcome(oracle, statement) for statement in SCRIPT]
        oracle.execute("DROP TABLE kept")


def test_a_connection_keeps_prepared_statements(expected: list[object], tmp_path: Path) -> None:
    with nestvec.connect(str(tmp_path / "rows.db")) as connection:
        for statement in SETUP:
            connection.execute(statement)
        outcomes = [outcome(connection, statement) for statement in SCRIPT]
        other = nestvec.connect(str(tmp_path / "rows.db"))
        connection.execute("PREPARE mine AS SELECT 1")
        assert outcome(other, "EXECUTE mine") == "26000"
        other.close()
    assert dict(zip(SCRIPT, outcomes, strict=True)) == dict(zip(SCRIPT, expected, strict=True))


def test_clients_of_the_server_do(expected: list[object], tmp_path: Path) -> None:
    with run_pg(tmp_path / "rows.db") as running, psycopg.connect(running.address, autocommit=True) as client:
        for statement in SETUP:
            client.execute(statement.encode())
        outcomes = [outcome(client, statement) for statement in SCRIPT]
    assert dict(zip(SCRIPT, outcomes, strict=True)) == dict(zip(SCRIPT, expected, strict=True))


def test_deallocate_ends_a_statement_of_the_protocol(tmp_path: Path) -> None:
    with run_pg(tmp_path / "rows.db") as running, psycopg.connect(running.address, autocommit=True) as client:
        assert client.execute("SELECT %s::int", (5,), prepare=True).fetchall() == [(5,)]
        client.execute('DEALLOCATE "_pg3_0"')
        assert outcome(client, 'DEALLOCATE "_pg3_0"') == "26000"
