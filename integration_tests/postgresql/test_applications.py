"""Statements as applications, ORMs and manuals write them, over the wire: the answers of PostgreSQL 16.

Those of ``applications.sql`` run in their order, also those that create and change the tables, and each is
compared: the tag, the names and types of the columns, the rows as texts, or the SQLSTATE.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import psycopg
import pytest
from integration_tests.fixtures.pgwire import run_pg
from integration_tests.fixtures.postgres import PostgresServer
from psycopg import pq

import nestvec
from nestvec import dbapi

STATEMENTS: Final = Path(__file__).with_name("applications.sql").read_text(encoding="utf-8").splitlines()

Answer = tuple[str, list[tuple[str, int | str]], list[tuple[str | None, ...]]]

VECTOR_TYPES: Final = "SELECT oid::int8, typname FROM pg_type WHERE typname IN ('vector', '_vector')"


def _types(client: psycopg.Connection) -> dict[int, str]:
    """The names of the types whose numbers an extension chooses."""
    return {int(oid): str(name) for oid, name in client.execute(VECTOR_TYPES).fetchall()}


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


def _answer(client: psycopg.Connection, statement: str, types: dict[int, str]) -> Answer:
    result = client.pgconn.exec_(statement.encode())
    if result.status == pq.ExecStatus.FATAL_ERROR:
        return (_text(result.error_field(pq.DiagnosticField.SQLSTATE)) or "", [], [])
    numbers = range(result.nfields)
    columns = [
        (_text(result.fname(at)) or "", types.get(result.ftype(at), result.ftype(at))) for at in numbers
    ]
    rows = [tuple(_text(result.get_value(row, at)) for at in numbers) for row in range(result.ntuples)]
    if "ORDER BY" not in statement.upper():
        rows.sort(key=repr)
    return (_text(result.command_status) or "", columns, rows)


def test_applications_get_what_postgresql_gives(postgresql: PostgresServer, tmp_path: Path) -> None:
    different = {}
    with (
        run_pg(tmp_path / "applications.db") as running,
        psycopg.connect(running.address, autocommit=True) as client,
        postgresql.connect() as oracle,
    ):
        types, oracle_types = _types(client), _types(oracle)
        try:
            for statement in STATEMENTS:
                expected = _answer(oracle, statement, oracle_types)
                answered = _answer(client, statement, types)
                if answered != expected:
                    different[statement] = (expected, answered)
        finally:
            oracle.execute("ROLLBACK")
            oracle.execute("DROP TABLE IF EXISTS authors, books, stocks, users")
    assert different == {}


@pytest.mark.parametrize(
    ("statement", "cause"),
    [
        ("SELECT 'a' COLLATE \"en_US\"", "the collation en_US"),
        ("SELECT to_number('1', '9')", "to_number"),
        ("SELECT nextval('users_id_seq')", "nextval"),
        ("SELECT regexp_replace('a', 'b', 'c', 1, 0)", "a start and a number"),
        ("SELECT json_arrayagg(1)", "json_arrayagg"),
        ("TRUNCATE t RESTART IDENTITY", "RESTART IDENTITY in TRUNCATE"),
    ],
)
def test_what_is_not_computed_is_refused_by_name(statement: str, cause: str, tmp_path: Path) -> None:
    with (
        nestvec.connect(str(tmp_path / "t.db")) as connection,
        pytest.raises(dbapi.NotSupportedError, match=cause),
    ):
        connection.execute(statement)
