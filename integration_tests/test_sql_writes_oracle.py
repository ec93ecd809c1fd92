"""Writes on PostgreSQL 16 and on nestvec: the same statements leave the same rows, or fail in both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from integration_tests.fixtures.postgres import run_postgres

import nestvec
from nestvec import dbapi

TABLES = (
    """CREATE TABLE t (id INT PRIMARY KEY, i INT, b BIGINT, d DOUBLE PRECISION, n NUMERIC(8, 2),
    n3 NUMERIC(8, 3), day DATE, tm TIME, ts TIMESTAMP, ts1 TIMESTAMP(1), tz TIMESTAMPTZ, u UUID, raw BYTEA,
    tx TEXT, vc VARCHAR(5),
    na NUMERIC(6, 1)[], da DATE[], def INT DEFAULT 7, v VECTOR(2))""",
    "CREATE TABLE o (id INT PRIMARY KEY, k INT, w TEXT, v VECTOR(2))",
)
OTHER = "INSERT INTO o VALUES (1, 10, 'ten', '[1,2]'), (2, 20, 'twenty', '[3,4]'), (3, NULL, NULL, '[5,6]')"

VALUES = """
d: 1.7::int
d: 2.5::float8::int
d: 1.123456789::real
d: 1e39::real
i: 2.5::float8
i: '2.5'::real
i: -2.5
b: 99999::smallint
b: 9007199254740993::float8
b: 9007199254740993.0
b: -9007199254740993.5
b: NULL::int
tx: NULL::timestamp
tx: 'abcdef'::varchar(3)
tx: '2024-01-31 10:00:00.5'::timestamp
tx: '2024-01-31 10:00:00.5+02'::timestamptz
tx: '\\x00ff'::bytea
tx: '10:00:00.50'::time
vc: 'abcdef'::varchar(3)
n: 1.005
n: -1.005
n: 999999.995
n: 0.125::float8
ts: '2024-01-31 10:00:00.7777'::timestamp(2)
ts: '2024-01-31 10:00:00.5'::timestamp(0)
ts: '1960-01-31 10:00:00.5'::timestamp(0)
ts: '2024-01-31 10:00:00.1234565'
ts1: '2024-01-31 10:00:00.15'
ts1: '2024-01-31 10:00:00.1234'
tm: '10:00:00.55'::time(1)
tz: '2024-10-27 02:30:00 Europe/Berlin'
tz: '2024-03-31 02:30:00 Europe/Berlin'
tz: '2024-04-07 02:30:00 Australia/Sydney'
tz: '2024-10-06 02:30:00 Australia/Sydney'
raw: 'abc\\\\def\\001'
da: '{2024-01-31,2024-02-01}'
na: '{1.25,2.35}'
v: '[1,2]'::vector(3)
""".strip().splitlines()

QUERIES = """
INSERT INTO t (id, raw, v) SELECT 1, '\\x00ff'::bytea, '[1,2]'
INSERT INTO t (id, raw, v) SELECT 1, 'a\\001b\\\\'::bytea, '[1,2]'
INSERT INTO t (id, tx, v) SELECT 1, '\\x00ff'::bytea, '[1,2]'
INSERT INTO t (id, ts, v) SELECT 1, '2024-01-31 10:00:00.7777'::timestamp(2), '[1,2]'
INSERT INTO t (id, tz, v) SELECT 1, '2024-01-31 10:00:00.7777'::timestamptz(1), '[1,2]'
INSERT INTO t (id, tx, v) SELECT 1, 1e10::double precision, '[1,2]'
INSERT INTO t (id, n, v) SELECT id, k / 3.0, v FROM o
INSERT INTO t (id, i, v) SELECT id, k, v FROM o UNION ALL SELECT id + 10, k, v FROM o
INSERT INTO t (id, day, tm, tz, u, v) SELECT 1, '2024-01-31'::date + 1, '10:00'::time, \
'2024-01-31 10:00:00+02'::timestamptz, 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'::uuid, '[1,2]'
INSERT INTO t (id, i, d, n, day, na, da, v) SELECT '1', ' 7 ', '1e3', '1.255', '2024-01-31', '{1.25}', \
'{2024-01-31}', '[1,2]'
INSERT INTO t (id, i, v, na) SELECT id, '7' AS x, ('[1,2]'), '{1}' FROM o ORDER BY id LIMIT 2
INSERT INTO t (da, id, i, tx, v, na) SELECT '{2024-01-31}', q.*, '{1.5}' FROM \
(SELECT id, k, w, v FROM o) AS q
INSERT INTO t (id, i, v) (SELECT 1, '7', '[1,2]')
WITH q AS (SELECT 5 AS x) INSERT INTO t (id, i, v) SELECT x, '7', '[1,2]' FROM q
WITH q AS (SELECT 5 AS x) INSERT INTO t (id, i, v) VALUES ((SELECT x FROM q), '3', '[1,2]')
INSERT INTO t (id, i, v) SELECT 1, 'x', '[1,2]'
INSERT INTO t (id, i, v) SELECT 1, '7', '[1,2]'::vector UNION ALL SELECT 2, '8', '[1,2]'
INSERT INTO t (id, i, v) SELECT DISTINCT 1, '7', '[1,2]'::vector
INSERT INTO t (id, v) SELECT 1, '[1,2]' UNION ALL SELECT 2, '[1,2]'
INSERT INTO t (id, i, v) SELECT 1, coalesce('7', NULL), '[1,2]'
INSERT INTO t (id, tx, i, v) VALUES (1, 'x', '7', '[1,2]'), (2, 3 + 4, abs(-8), '[1,2]'), (3, 5, 6, '[1,2]')
INSERT INTO t (id, d, n, day, v) VALUES (1, '1e3', '1.255', '2024-01-31', '[1,2]'), \
(2, 3 + 4, 1 + 1, date '2024-01-31' + 1, '[1,2]')
INSERT INTO t (id, na, v) VALUES (1, '{1.5}', '[1,2]'), (2, ARRAY[1 + 1], '[1,2]')
INSERT INTO t (id, tx, v) VALUES (1, 'a', '[1,2]'), (2, upper('a'), '[1,2]')
INSERT INTO t (id, tx, v) VALUES (1, 1.50, '[1,2]'), (2, 1e3, '[1,2]'), (3, -.5, '[1,2]'), \
(4, true, '[1,2]'), (5, -0.0, '[1,2]'), (6, 1e-7, '[1,2]'), \
(7, 99999999999999999999, '[1,2]'), (8, 0x1F, '[1,2]')
""".strip().splitlines()

CHANGES = """
UPDATE t SET i = i / 2, n = n / 3, b = i % 3
UPDATE t SET i = b, b = i
UPDATE t SET ts = ts + interval '1 day', tz = tz + interval '1 hour', tm = tm + interval '15 hours'
UPDATE t SET tx = o.w, i = o.k + t.i FROM o WHERE o.id = t.id
UPDATE t SET i = i + 1 WHERE id NOT IN (SELECT k FROM o)
UPDATE t SET day = day + 1, ts = day, tz = day WHERE day = '2024-01-31'
UPDATE t SET def = DEFAULT, i = NULL WHERE id = 1
DELETE FROM t WHERE i <> 7
DELETE FROM t USING o WHERE t.id = o.id AND o.k < 15
DELETE FROM t WHERE n > 1.255
DELETE FROM t WHERE raw || '\\x01'::bytea = '\\x00ff01'::bytea
DELETE FROM t WHERE ts1 = '2024-01-31 10:00:00.2'
DELETE FROM t WHERE ts1 > '2024-01-31 10:00:00.18'
INSERT INTO t (id, i, v) VALUES (1, 5, '[3,4]'), (9, 6, '[3,4]') ON CONFLICT (id) DO UPDATE SET i = EXCLUDED.i
INSERT INTO t (id, i, v) VALUES (1, 5, '[3,4]') ON CONFLICT (id) DO UPDATE SET \
def = EXCLUDED.def, tx = EXCLUDED.tx
INSERT INTO t (id, b, v) VALUES (1, 42, '[3,4]') ON CONFLICT (id) DO UPDATE SET day = EXCLUDED.b
""".strip().splitlines()
ROWS = """INSERT INTO t (id, i, b, n, day, tm, ts, ts1, tz, raw, def, v) VALUES
(1, 7, 1, 1.25, '2024-01-31', '10:00', '2024-01-31 10:00', '2024-01-31 10:00:00.15',
'2024-01-31 10:00+02', '\\x00ff', 3, '[1,2]'),
(2, -7, 2, 2.5, '2024-02-01', '23:00', '2024-02-29 10:00', '2024-01-31 10:00:00.1',
'2024-01-31 10:00', '\\x01', 4, '[3,4]'),
(3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 5, '[5,6]')"""


@pytest.fixture(scope="module")
def connections(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Any]]:
    path = tmp_path_factory.mktemp("oracle") / "writes.db"
    with run_postgres() as server, server.connect() as expected, nestvec.connect(path) as actual:
        expected.execute("SET timezone = 'UTC'")
        for connection in (expected, actual):
            for statement in (*TABLES, OTHER):
                connection.execute(statement)
        yield expected, actual


def plain(value: Any) -> Any:
    if isinstance(value, str) and value.startswith("["):
        return [float(number) for number in json.loads(value)]
    return value


def rows_after(connection: Any, *statements: str) -> tuple[bool, list[list[Any]]]:
    """Whether the last statement succeeded, and the rows of the table."""
    connection.execute("DELETE FROM t")
    for statement in statements[:-1]:
        connection.execute(statement)
    succeeded = False
    with suppress(psycopg.Error, dbapi.Error):
        connection.execute(statements[-1])
        succeeded = True
    rows = connection.execute("SELECT * FROM t ORDER BY id").fetchall()
    return succeeded, [[plain(value) for value in row] for row in rows]


@pytest.mark.parametrize("line", VALUES)
def test_a_value_is_stored_as_in_postgresql(connections: tuple[Any, Any], line: str) -> None:
    column, _, value = line.partition(": ")
    columns, values = (
        (f"id, {column}, v", f"1, {value}, '[1,2]'") if column != "v" else ("id, v", f"1, {value}")
    )
    statement = f"INSERT INTO t ({columns}) VALUES ({values})"
    expected, actual = (rows_after(connection, statement) for connection in connections)
    assert actual == expected


@pytest.mark.parametrize("statement", QUERIES)
def test_a_query_is_stored_as_in_postgresql(connections: tuple[Any, Any], statement: str) -> None:
    expected, actual = (rows_after(connection, statement) for connection in connections)
    assert actual == expected


@pytest.mark.parametrize("statement", CHANGES)
def test_a_change_leaves_the_rows_of_postgresql(connections: tuple[Any, Any], statement: str) -> None:
    expected, actual = (rows_after(connection, ROWS, statement) for connection in connections)
    assert actual == expected
