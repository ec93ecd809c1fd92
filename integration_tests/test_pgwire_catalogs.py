"""Queries of catalogs, and types of columns, compared with a real PostgreSQL 16 that has the same table."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psycopg
import pytest
from integration_tests.fixtures.pgwire import HANG_SECONDS, RunningPg, run_pg
from integration_tests.fixtures.postgres import PostgresServer, run_postgres

TABLE = """CREATE TABLE items (id BIGINT PRIMARY KEY, name VARCHAR(50), note TEXT, price DOUBLE PRECISION,
ratio REAL, ok BOOLEAN, small SMALLINT, number INT, meta JSONB, tags TEXT[], numbers BIGINT[],
born DATE NOT NULL DEFAULT '2000-01-01', opens TIME, seen TIMESTAMP, stored TIMESTAMPTZ, uid UUID,
data BYTEA, amount NUMERIC(10,2), total NUMERIC, sums NUMERIC(6,1)[],
v VECTOR(3), flags BIT(8))"""
OTHERS = "CREATE TABLE others (number BIGINT PRIMARY KEY, v VECTOR(2) NOT NULL)"
ROWS = r"""INSERT INTO items VALUES
(1, 'a', 'x y', 1.5, 2.25, true, 2, 7, '{"k": 1}', ARRAY['p', 'q r'], ARRAY[1, 2],
'1999-12-31', '08:30:00.25', '2026-01-31 08:30:00', '2026-01-31 08:30:00.5+02',
'11111111-2222-3333-4444-555555555555', '\x00ff', 1.5, 12345678901234567890.125,
ARRAY[1.5, -2], '[1,2.5,3]', '01010101'),
(2, 'it''s', NULL, 1e20, 0.1, false, -3, -7, '[1, null]', ARRAY['NULL'], ARRAY[-1],
'2000-01-01', NULL, NULL, NULL, NULL, NULL, NULL, NULL, ARRAY[0.1], '[0,0.25,-1]', '00000001')"""
STORED = ("born", "opens", "seen", "stored", "uid", "data", "amount", "total", "flags")
"""Columns of types that Milvus does not have."""

QUERIES = (
    "SELECT id, name, note, price, ratio, ok, small, number, meta, tags, numbers, v FROM items ORDER BY id",
    "SELECT born, opens, seen, stored, uid, data, amount, total, sums, flags FROM items ORDER BY id",
    "SELECT born, stored, uid, amount, total, sums FROM items WHERE id = 100",
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
    "SELECT column_name, data_type, is_nullable, character_maximum_length, numeric_precision, numeric_scale, "
    "numeric_precision_radix, udt_name "
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
    "SELECT typname FROM pg_type WHERE (typreceive != 0 OR 0 <> typsend) "
    "AND typreceive::TEXT != 'array_recv' AND typname IN ('int8', '_int8', 'vector', 'any') ORDER BY typname",
    "SELECT oid FROM pg_type WHERE typsend = 0 AND typname = 'any'",
    "SELECT 'pg_catalog.pg_extension'::regclass::text, to_regclass('nothing') IS NULL",
    "SELECT count(*) FROM pg_namespace WHERE 'pg_class'::regclass = 1259 AND nspname = 'public'",
    "SELECT array_remove(reloptions, 'check_option=local') FROM pg_class WHERE relname = 'items'",
    "SELECT con.conname, a.attname FROM pg_constraint con CROSS JOIN UNNEST(con.conkey) AS keys "
    "JOIN pg_attribute a ON a.attnum = keys AND a.attrelid = con.conrelid "
    "WHERE con.conrelid = 'items'::regclass",
    "SELECT public.items.id FROM public.items ORDER BY public.items.id",
    "SELECT n, pg_size_pretty(n) FROM (VALUES (0), (-10239), (10240), (10751), (-10752), (20970495), "
    "(20970496), (123456789), (9223372036854775807)) AS sizes (n) ORDER BY n",
    "SELECT * FROM current_schema()",
    "SELECT s FROM current_schema() AS s",
    "SELECT array_agg(a.attname ORDER BY a.attnum) AS names FROM pg_class c "
    "JOIN pg_attribute a ON a.attrelid = c.oid WHERE c.relname = 'others' AND a.attnum > 0",
)


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with run_postgres() as server:
        with server.connect() as connection:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
            connection.execute("DROP TABLE IF EXISTS items")
            connection.execute(TABLE)
            connection.execute(ROWS)
            connection.execute("DROP TABLE IF EXISTS others")
            connection.execute(OTHERS)
        yield server


@pytest.fixture(scope="module")
def pg(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPg]:
    with run_pg(tmp_path_factory.mktemp("catalogs") / "pg.db") as running:
        with psycopg.connect(running.address, autocommit=True) as connection:
            connection.execute(TABLE)
            connection.execute(ROWS)
            connection.execute(OTHERS)
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


@pytest.mark.parametrize(
    "query",
    [
        "SELECT {0}.relname, pg_get_indexdef({0}.oid), pg_get_indexdef({0}.oid, 1, true) FROM pg_class {0} "
        "WHERE {0}.relname IN ('items_pkey', 'others_pkey') ORDER BY 1",
        "SELECT {0}.conname, pg_get_constraintdef({0}.oid), pg_get_constraintdef({0}.oid, true) "
        "FROM pg_constraint {0} WHERE {0}.conname IN ('items_pkey', 'others_pkey') ORDER BY 1",
        "SELECT {0}.relname, {0}.oid::regclass::text, obj_description({0}.oid), {0}.relname::regclass::text, "
        "pg_get_userbyid({0}.relowner) = current_user, {0}.relnamespace::regnamespace::text, "
        "('public.' || quote_ident({0}.relname))::regclass::text "
        "FROM pg_class {0} WHERE {0}.relname IN ('items', 'others') ORDER BY 1",
        "SELECT {0}.typname, format_type({0}.oid, -1), {0}.typname::text::regtype::text FROM pg_type {0} "
        "WHERE {0}.typname IN ('int8', 'text', '_int4') ORDER BY 1",
    ],
)
def test_functions_of_the_catalogs_do_not_depend_on_aliases(
    pg: RunningPg, postgres: PostgresServer, query: str
) -> None:
    with psycopg.connect(pg.address, autocommit=True) as ours, postgres.connect() as theirs:
        expected = _texts(theirs, query.format("x"), binary=False)
        assert len(expected) > 1
        for alias in (*"abcdefghijklmnopqrstuvwxyz", "pg_row"):
            assert (alias, _texts(ours, query.format(alias), binary=False)) == (alias, expected)


def _comparable(type_: str) -> str:
    """Names of catalogs are texts where functions of theirs return them."""
    return "text" if type_ in ("name", "varchar", "sql_identifier", "character_data", "yes_or_no") else type_


@pytest.mark.parametrize("query", ["SELECT 'nope'::regclass", "SELECT 'nope'::regproc::oid"])
def test_names_of_nothing_are_errors(pg: RunningPg, postgres: PostgresServer, query: str) -> None:
    with psycopg.connect(pg.address, autocommit=True) as ours, postgres.connect() as theirs:
        with pytest.raises(psycopg.Error) as expected:
            theirs.execute(query)
        with pytest.raises(psycopg.Error) as raised:
            ours.execute(query)
        assert raised.value.sqlstate == expected.value.sqlstate
        assert raised.value.diag.message_primary == expected.value.diag.message_primary


def test_binary_rows_are_postgresqls(pg: RunningPg, postgres: PostgresServer) -> None:
    with psycopg.connect(pg.address, autocommit=True) as ours, postgres.connect() as theirs:
        for query in QUERIES[:2]:
            assert _texts(ours, query, binary=True) == _texts(theirs, query, binary=True)


@pytest.mark.parametrize("column", STORED)
def test_parameters_beside_a_column_have_postgresqls_types(
    pg: RunningPg, postgres: PostgresServer, column: str
) -> None:
    statement = f"SELECT {column} FROM items WHERE {column} = $1"

    async def describe(info: psycopg.ConnectionInfo) -> list[str]:
        """Names of the types of the parameter and of the column."""
        connection = await asyncpg.connect(
            host=info.host, port=info.port, user=info.user, database=info.dbname
        )
        prepared = await connection.prepare(statement)
        types = [type_.name for type_ in prepared.get_parameters()]
        types += [attribute.type.name for attribute in prepared.get_attributes()]
        await connection.close()
        return types

    with psycopg.connect(pg.address, autocommit=True) as ours, postgres.connect() as theirs:
        assert asyncio.run(describe(ours.info)) == asyncio.run(describe(theirs.info))
        for binary in (False, True):
            value = _texts(theirs, f"SELECT {column} FROM items WHERE id = 1", binary)[0][0]
            result = ours.pgconn.exec_params(
                statement.encode(), [value], param_formats=[int(binary)], result_format=int(binary)
            )
            assert result.status == psycopg.pq.ExecStatus.TUPLES_OK, result.error_message
            assert [result.get_value(row, 0) for row in range(result.ntuples)] == [value]


def test_rows_of_postgresql_are_copied(pg: RunningPg, postgres: PostgresServer) -> None:
    columns = f"id, v, sums, {', '.join(STORED)}"
    query = f"COPY (SELECT {columns} FROM items WHERE id = 101) TO STDOUT"
    with psycopg.connect(pg.address, autocommit=True) as ours, postgres.connect() as theirs:
        for format_ in ("TEXT", "CSV", "BINARY"):
            row = "SELECT 101 + 0 * id AS id, " + columns.removeprefix("id, ")
            with theirs.cursor().copy(
                f"COPY ({row.replace('SELECT 101', 'SELECT 101::bigint')} FROM items WHERE id = 1) "
                f"TO STDOUT (FORMAT {format_})"
            ) as copy:
                written = b"".join(map(bytes, copy))
            with ours.cursor().copy(f"COPY items ({columns}) FROM STDIN (FORMAT {format_})") as copy:
                copy.write(written)
            with ours.cursor().copy(query + f" (FORMAT {format_})") as copy:
                assert b"".join(map(bytes, copy)) == written
            ours.execute("DELETE FROM items WHERE id = 101")


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


@pytest.mark.parametrize(
    "call", ["pg_advisory_lock(1)", "pg_advisory_xact_lock(1)", "pg_try_advisory_lock(1)"]
)
def test_locks_that_would_lock_nothing_are_refused(pg: RunningPg, call: str) -> None:
    with psycopg.connect(pg.address, autocommit=True) as connection:
        with pytest.raises(psycopg.errors.FeatureNotSupported, match=call.partition("(")[0]):
            connection.execute(f"SELECT {call}")
        assert connection.execute("SELECT pg_advisory_unlock_all()").fetchone() is not None
