"""Queries of catalogs, and types of columns, compared with a real PostgreSQL 16 that has the same table."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from integration_tests.fixtures.pgwire import HANG_SECONDS, RunningPg, run_pg
from integration_tests.fixtures.postgres import PostgresServer, run_postgres

TABLE = """CREATE TABLE items (id BIGINT PRIMARY KEY, name VARCHAR(50), note TEXT, price DOUBLE PRECISION,
ratio REAL, ok BOOLEAN, small SMALLINT, number INT, meta JSONB, tags TEXT[], numbers BIGINT[], v VECTOR(3))"""
ROWS = """INSERT INTO items VALUES
(1, 'a', 'x y', 1.5, 2.25, true, 2, 7, '{"k": 1}', ARRAY['p', 'q r'], ARRAY[1, 2], '[1,2.5,3]'),
(2, 'it''s', NULL, 1e20, 0.1, false, -3, -7, '[1, null]', ARRAY['NULL'], ARRAY[-1], '[0,0.25,-1]')"""

QUERIES = (
    "SELECT id, name, note, price, ratio, ok, small, number, meta, tags, numbers, v FROM items ORDER BY id",
    "SELECT id, name FROM items WHERE price > 2 ORDER BY id",
    "SELECT relname, relkind FROM pg_class WHERE relname LIKE 'items%' AND relkind = 'r'",
    "SELECT attname, atttypmod, attnotnull, attnum FROM pg_attribute "
    "WHERE attrelid = 'items'::regclass AND attnum > 0 AND attname NOT IN ('v') ORDER BY attnum",
    "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
    "WHERE attrelid = 'items'::regclass AND attnum > 0 ORDER BY attnum",
    "SELECT a.attname, t.typname FROM pg_catalog.pg_attribute a "
    "JOIN pg_catalog.pg_type t ON t.oid = a.atttypid "
    "WHERE a.attrelid = to_regclass('public.items') AND a.attnum > 0 ORDER BY a.attnum",
    "SELECT conname, contype, pg_get_constraintdef(oid) FROM pg_constraint "
    "WHERE conrelid = 'items'::regclass AND contype = 'p'",
    "SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 'items'::regclass AND indisprimary",
    "SELECT column_name, data_type, is_nullable, character_maximum_length, numeric_precision, udt_name "
    "FROM information_schema.columns WHERE table_name = 'items' ORDER BY ordinal_position",
    "SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = 'public'",
    "SELECT constraint_name, column_name FROM information_schema.key_column_usage WHERE table_name = 'items'",
    "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = 'public'",
    "SELECT typname, typlen, typcategory FROM pg_type WHERE typname IN ('int8', '_text', 'vector', 'jsonb') "
    "ORDER BY typname",
    "SELECT oid, typname FROM pg_type WHERE oid < 10000 AND typtype = 'b' AND typelem = 0 ORDER BY oid",
    "SELECT nspname FROM pg_namespace WHERE nspname IN ('public', 'pg_catalog') ORDER BY 1",
    "SELECT current_schema(), current_setting('server_encoding'), pg_encoding_to_char(6)",
    "SELECT quote_ident('Ab'), quote_literal('it''s')",
    "SELECT amname, amtype FROM pg_am WHERE oid < 10000 ORDER BY oid",
    "SELECT 'items'::regclass::text, 'int8'::regtype::text",
    "SELECT extname FROM pg_extension WHERE extname = 'vector'",
)


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with run_postgres() as server:
        with server.connect() as connection:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
            connection.execute("DROP TABLE IF EXISTS items")
            connection.execute(TABLE)
            connection.execute("ALTER TABLE items ALTER v SET NOT NULL")
            connection.execute(ROWS)
        yield server


@pytest.fixture(scope="module")
def pg(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPg]:
    with run_pg(tmp_path_factory.mktemp("catalogs") / "pg.db") as running:
        with psycopg.connect(running.address, autocommit=True) as connection:
            connection.execute(TABLE)
            connection.execute(ROWS)
        yield running


def _texts(connection: psycopg.Connection, query: str, binary: bool) -> list[tuple[bytes | None, ...]]:
    result = connection.pgconn.exec_params(query.encode(), None, result_format=int(binary))
    assert result.status == psycopg.pq.ExecStatus.TUPLES_OK, result.error_message
    return [
        tuple(result.get_value(row, column) for column in range(result.nfields))
        for row in range(result.ntuples)
    ]


def _columns(connection: psycopg.Connection, query: str) -> list[tuple[str, str]]:
    """Names and types of the columns, by what the server itself calls them."""
    described = connection.execute(query).description or ()
    types = dict(connection.execute("SELECT oid, typname FROM pg_type").fetchall())
    return [(column.name, types[column.type_code]) for column in described]


@pytest.mark.parametrize("query", QUERIES)
def test_rows_and_types_are_postgresqls(pg: RunningPg, postgres: PostgresServer, query: str) -> None:
    with psycopg.connect(pg.address, autocommit=True) as ours, postgres.connect() as theirs:
        assert _texts(ours, query, binary=False) == _texts(theirs, query, binary=False)
        expected = [(name, _comparable(type_)) for name, type_ in _columns(theirs, query)]
        assert [(name, _comparable(type_)) for name, type_ in _columns(ours, query)] == expected


def _comparable(type_: str) -> str:
    """Names of catalogs are texts where functions of theirs return them."""
    return "text" if type_ in ("name", "varchar", "sql_identifier", "character_data", "yes_or_no") else type_


def test_binary_rows_are_postgresqls(pg: RunningPg, postgres: PostgresServer) -> None:
    with psycopg.connect(pg.address, autocommit=True) as ours, postgres.connect() as theirs:
        assert _texts(ours, QUERIES[0], binary=True) == _texts(theirs, QUERIES[0], binary=True)


def test_psql_shows_the_table_as_postgresql_does(pg: RunningPg, postgres: PostgresServer) -> None:
    psql = shutil.which("psql")
    if psql is None:
        pytest.skip("psql is not installed: apt install postgresql-client")

    def describe(address: str) -> str:
        arguments = [psql, "-X", "-d", address, "-c", "\\d items"]
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=HANG_SECONDS, check=True)
        return done.stdout.partition("Indexes:")[0]

    assert describe(pg.address) == describe(postgres.address)


def test_another_table_of_the_catalogs_is_an_error_by_name(pg: RunningPg, tmp_path: Path) -> None:
    with psycopg.connect(pg.address, autocommit=True) as connection:
        with pytest.raises(psycopg.errors.UndefinedTable, match=r"pg_catalog\.pg_nothing"):
            connection.execute("SELECT * FROM pg_catalog.pg_nothing")
        with pytest.raises(psycopg.errors.FeatureNotSupported, match="items"):
            connection.execute("SELECT * FROM pg_class c JOIN items i ON i.name = c.relname")
