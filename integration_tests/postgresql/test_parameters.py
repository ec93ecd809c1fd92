"""Prepared statements: parameters and columns have the types of PostgreSQL, and rows are the same."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import asyncpg
import psycopg
import pytest
from integration_tests.fixtures.pgwire import RunningPg, run_pg
from integration_tests.fixtures.postgres import PostgresServer
from integration_tests.fixtures.signatures import read_signatures
from pgvector.asyncpg import register_vector
from psycopg import generators

from nestvec.sql.analysis.signatures import SIGNATURES_FILE

_LINES: Final = Path(__file__).with_name("parameters.sql").read_text(encoding="utf-8").splitlines()
STATEMENTS: Final = [line for line in _LINES if line and not line.startswith("--")]

_DISTANCES: Final = (
    "SELECT l2_distance(v, $1) FROM items ORDER BY id",
    "SELECT cosine_distance($1, v) FROM items ORDER BY id",
)
"""What measures the rows is called ``distance``, as docs/sql.md has it."""

_ACCEPTED: Final = ("SELECT day + $1 FROM items ORDER BY id",)
"""What PostgreSQL refuses, and nestvec takes for an interval."""

_VALUES: Final[dict[str, Any]] = {
    "bool": True, "int2": 2, "int4": 2, "int8": 2, "float4": 1.5, "float8": 2.5, "numeric": Decimal("2.25"),
    "date": date(2024, 1, 3), "time": time(1, 2, 3), "timestamp": datetime(2024, 1, 3, 4, 5, 6),
    "timestamptz": datetime(2024, 1, 3, 4, 5, 6, tzinfo=UTC), "interval": timedelta(days=1, hours=2),
    "uuid": UUID(int=2), "bytea": b"ab", "jsonb": '{"a": 1}', "json": '{"a": 1}', "text": "a", "varchar": "a",
    "bpchar": "a", "_text": ["a"], "_int4": [1, 2], "_int8": [1, 2], "vector": [1.0, 2.0, 3.0],
    "_varchar": ["a"],
}  # fmt: skip
"""The value of a parameter by the name of its type."""

_TABLES: Final = (
    "CREATE TABLE items (id BIGINT PRIMARY KEY, n INT, small SMALLINT, name TEXT, code VARCHAR(20), "
    "price NUMERIC(10, 2), score DOUBLE PRECISION, r REAL, ok BOOLEAN, day DATE, at TIMESTAMP, "
    "tz TIMESTAMPTZ, u UUID, meta JSONB, tags TEXT[], v VECTOR(3) NOT NULL)",
    "CREATE TABLE orders (id BIGINT PRIMARY KEY, item BIGINT, qty INT, note TEXT, v VECTOR(3) NOT NULL)",
    "INSERT INTO items VALUES (1, 1, 2, 'a', 'a', 9.50, 1.5, 1.5, true, '2024-01-03', '2024-01-03 04:05:06', "
    "'2024-01-03 04:05:06+00', '00000000-0000-0000-0000-000000000002', '{\"a\": 1, \"n\": 3}', "
    "ARRAY['a', 'b'], '[1,2,3]'), "
    "(2, 5, 7, 'b', 'bc', 2.25, 2.5, 0.5, false, '2024-02-01', '2024-02-01 00:00:00', "
    "'2024-02-01 00:00:00+00', NULL, '{\"n\": 1}', ARRAY['c'], '[1,2,5]'), "
    "(3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '[9,2,3]')",
)
_DROP: Final = "DROP TABLE IF EXISTS items, orders"
_ORDERS: Final = (
    "DELETE FROM orders WHERE id IS NOT NULL",
    "INSERT INTO orders VALUES (1, 1, 3, 'a', '[1,2,3]'), (2, 2, 9, 'b', '[1,2,4]'), "
    "(3, 1, 1, NULL, '[0,0,1]')",
)


class Servers:
    """PostgreSQL and nestvec with the same rows: connections that describe, and others that execute."""

    def __init__(self, postgresql: PostgresServer, pg: RunningPg, loop: asyncio.Runner) -> None:
        self._loop = loop
        self.describing = [postgresql.connect(), psycopg.connect(pg.address, autocommit=True)]
        own = {"host": str(postgresql.folder), "user": "postgres", "database": "postgres"}
        for connection in self.describing:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
            connection.execute("SET TimeZone = 'UTC'")
            # PostgreSQL serves other tests of this folder, too.
            connection.execute(_DROP)
            for statement in (*_TABLES, *_ORDERS):
                connection.execute(statement.encode())
        self.executing = [loop.run(self._connected(address)) for address in (own, {"dsn": pg.url})]
        rows = self.describing[0].execute("SELECT oid, typname::text FROM pg_type").fetchall()
        types = self.describing[1].execute("SELECT oid, typname FROM pg_type").fetchall()
        self.type_names = [dict(rows), dict(types)]

    async def _connected(self, address: dict[str, str]) -> asyncpg.Connection:
        connection = await asyncpg.connect(**address)
        await register_vector(connection)
        await connection.execute("SET TimeZone = 'UTC'")
        return connection

    def close(self) -> None:
        for connection in self.executing:
            self._loop.run(connection.close())
        for described in self.describing:
            described.execute(_DROP)
            described.close()

    def describe(self, statement: str) -> list[Any]:
        """Of each server the types of the parameters, and the columns; the SQLSTATE of an error."""
        answers = list[Any]()
        for connection, names in zip(self.describing, self.type_names, strict=True):
            pgconn = connection.pgconn
            # Those that wait for an answer would hold up the server, which is a thread of this process.
            pgconn.send_prepare(b"", statement.encode())
            prepared = connection.wait(generators.execute(pgconn))[0]
            if prepared.status != psycopg.pq.ExecStatus.COMMAND_OK:
                answers.append(_sqlstate(prepared))
                continue
            pgconn.send_describe_prepared(b"")
            result = connection.wait(generators.execute(pgconn))[0]
            parameters = [names[result.param_type(at)] for at in range(result.nparams)]
            columns = [(result.fname(at), names.get(result.ftype(at))) for at in range(result.nfields)]
            failed = result.status != psycopg.pq.ExecStatus.COMMAND_OK
            answers.append(_sqlstate(result) if failed else (parameters, columns))
        return answers

    def execute(self, statement: str, values: list[Any]) -> list[Any]:
        """The rows of each server, or the SQLSTATE of an error."""
        return [self._loop.run(_rows(connection, statement, values)) for connection in self.executing]


def _sqlstate(result: psycopg.pq.PGresult) -> str:
    return (result.error_field(psycopg.pq.DiagnosticField.SQLSTATE) or b"").decode()


async def _rows(connection: asyncpg.Connection, statement: str, values: list[Any]) -> Any:
    try:
        return [tuple(map(_comparable, row)) for row in await connection.fetch(statement, *values)]
    except asyncpg.PostgresError as error:
        return error.sqlstate


def _comparable(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.5g}")
    return json.loads(value) if isinstance(value, str) and value.startswith("{") else str(value)


@pytest.fixture(scope="module")
def servers(postgresql: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with run_pg(tmp_path_factory.mktemp("parameters") / "pg.db") as running, asyncio.Runner() as loop:
        both = Servers(postgresql, running, loop)
        yield both
        both.close()


def values_of(types: list[str], comment: str) -> list[Any]:
    """A value for each parameter: those of a comment, of which null is the value of all."""
    values = json.loads(comment) if comment else []
    chosen = [*values, *(None,) * (len(types) - len(values))]
    return [_VALUES[name] if value is None else value for name, value in zip(types, chosen, strict=True)]


@pytest.mark.parametrize("line", STATEMENTS)
def test_a_prepared_statement_is_described_and_answered_as_by_postgresql(servers: Servers, line: str) -> None:
    statement, _, comment = line.partition(" -- ")
    expected, described = servers.describe(statement)
    if statement in _DISTANCES:
        expected[1][0] = (b"distance", "float8")
    assert described == expected
    if isinstance(expected, str):
        return
    is_write = re.match(r"insert|update|delete", statement, re.I)
    for connection in servers.describing if is_write else ():
        for prepare in _ORDERS:
            connection.execute(prepare.encode())
    rows = servers.execute(statement, values_of(expected[0], comment))
    assert rows[1] == rows[0]
    if is_write:
        orders = servers.execute("SELECT id, item, qty, note, v::text FROM orders ORDER BY id", [])
        assert orders[1] == orders[0]


@pytest.mark.parametrize("statement", _ACCEPTED)
def test_what_postgresql_cannot_tell_is_accepted(servers: Servers, statement: str) -> None:
    expected, described = servers.describe(statement)
    assert expected in ("42725", "42P18")
    assert not isinstance(described, str)


def test_the_signatures_are_those_of_postgresqls_catalog(postgresql: PostgresServer) -> None:
    with postgresql.connect() as oracle:
        oracle.execute("CREATE EXTENSION IF NOT EXISTS vector")
        assert read_signatures(oracle) == json.loads(SIGNATURES_FILE.read_text(encoding="utf-8"))
