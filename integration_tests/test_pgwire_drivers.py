"""What drivers send of their own accord: types that they leave open, intervals, and COPY in their own way."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import asyncpg
import psycopg
import pytest
from integration_tests.fixtures.pgwire import RunningPg, run_pg
from pymilvus import MilvusClient


@pytest.fixture(scope="module")
def pg(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPg]:
    with run_pg(tmp_path_factory.mktemp("drivers") / "pg.db") as running:
        with psycopg.connect(running.address, autocommit=True) as connection:
            connection.execute(
                "CREATE TABLE t (id BIGINT PRIMARY KEY, day DATE, at TIMESTAMP, tags TEXT[], numbers INT[], "
                "meta JSONB, v VECTOR(2) NOT NULL)"
            )
            connection.execute(
                "INSERT INTO t VALUES (1, '2024-02-29', '2024-02-29 01:02:03', ARRAY['a', 'b'], ARRAY[1, 2], "
                "'{\"k\": {\"z\": 1}}', '[1,2]'), (2, NULL, NULL, NULL, NULL, NULL, '[3,4]')"
            )
        yield running


CASES = [
    ("SELECT day + $1 FROM t WHERE id = 1", [timedelta(days=1)], datetime(2024, 3, 1)),
    ("SELECT at + $1::interval FROM t WHERE id = 1", [timedelta(microseconds=7)], 7),
    ("SELECT id FROM t WHERE at - $1 > $2::interval", [datetime(2024, 2, 28), timedelta(hours=1)], 1),
    ("SELECT id FROM t WHERE tags && $1", [["b", "z"]], 1),
    ("SELECT id FROM t WHERE $1 <@ numbers", [[2]], 1),
    ("SELECT id FROM t WHERE meta @> $1", [json.dumps({"k": {}})], 1),
    ("SELECT id FROM t WHERE meta->'k' @> $1", [json.dumps({"z": 1})], 1),
    ("SELECT meta #>> $1 FROM t WHERE id = 1", [["k", "z"]], "1"),
    ("SELECT tags || $1 FROM t WHERE id = 1", [["c"]], ["a", "b", "c"]),
]


@pytest.mark.parametrize(("statement", "values", "expected"), CASES, ids=[case[0] for case in CASES])
def test_asyncpg_is_told_types_that_fit(
    pg: RunningPg, statement: str, values: list[object], expected: object
) -> None:
    async def value() -> object:
        connection = await asyncpg.connect(pg.url)
        try:
            return await connection.fetchval(statement, *values)
        finally:
            await connection.close()

    answer = asyncio.run(value())
    assert (answer.microsecond if expected == 7 else answer) == expected


_READS = ("query", "search", "hybrid_search", "query_iterator", "search_iterator")


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT id FROM t WHERE id = $1",
        "SELECT id FROM t ORDER BY v <=> $1 LIMIT $2",
        "SELECT sum(id) OVER () FROM t WHERE day > $1 LIMIT $2",
        "SELECT id FROM t WHERE id IN (SELECT id FROM t WHERE tags && $1)",
        "SELECT count(*) FROM t AS a JOIN t AS b ON a.id = b.id AND b.day < $1",
        "SELECT id, v FROM t UNION ALL SELECT id, v FROM t",
        "DELETE FROM t WHERE id = $1 RETURNING id",
        "UPDATE t SET day = $1 WHERE id = $2 RETURNING id + 1, day",
    ],
)
def test_describing_a_statement_reads_no_rows(
    pg: RunningPg, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    reads = list[str]()

    def record(name: str) -> None:
        read = getattr(MilvusClient, name)

        def recorded(client: MilvusClient, *args: Any, **options: Any) -> Any:
            reads.append(name)
            return read(client, *args, **options)

        monkeypatch.setattr(MilvusClient, name, recorded)

    for name in _READS:
        record(name)

    async def prepare() -> None:
        connection = await asyncpg.connect(pg.url)
        try:
            await connection.prepare(statement)
            assert reads == []
            await connection.fetchval("SELECT id FROM t WHERE id = 1")
            assert reads == ["query"]
        finally:
            await connection.close()

    asyncio.run(prepare())


def test_a_returning_that_computes_has_columns_before_it_runs(pg: RunningPg) -> None:
    async def changed() -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(pg.url)
        try:
            update = "UPDATE t AS u SET day = day WHERE id = $1 RETURNING u.id + 1, *, u.day IS NULL AS empty"
            described = [column.name for column in (await connection.prepare(update)).get_attributes()]
            assert (described[0], described[1], described[-1]) == ("?column?", "id", "empty")
            insert = "INSERT INTO t (id, v) VALUES ($1, $2) RETURNING id * 2::bigint"
            rows = await connection.fetch(insert, 500, "[1, 2]")
            rows += await connection.fetch("DELETE FROM t WHERE id = $1 RETURNING id / 2.0, id < $1", 500)
            rows += await connection.fetch("DELETE FROM t WHERE id = $1 RETURNING id / 2.0", 500)
            return [tuple(row) for row in rows]
        finally:
            await connection.close()

    assert asyncio.run(changed()) == [(1000,), (250, False)]
    with psycopg.connect(pg.address, autocommit=True) as connection:
        update = connection.execute("UPDATE t SET day = day WHERE id = %s RETURNING day - 1", (1,))
        assert update.fetchall() == [(date(2024, 2, 28),)]


def test_intervals_of_psycopg_keep_days_and_microseconds(pg: RunningPg) -> None:
    with psycopg.connect(pg.address, autocommit=True) as connection:
        for interval in (timedelta(days=3, hours=1), timedelta(microseconds=10), timedelta(days=-400)):
            for mark in ("%s", "%b", "%t"):
                answer = connection.execute(f"SELECT {mark}::interval, day FROM t WHERE id = 1", (interval,))
                assert answer.fetchone() == (interval, date(2024, 2, 29))
        shown = "SELECT (%s::interval + interval '1 month')::text FROM t WHERE id = 1"
        assert connection.execute(shown, (timedelta(days=40),)).fetchone() == ("1 mon 40 days",)


@pytest.mark.parametrize("type_id", [0, 1082])
@pytest.mark.parametrize("text", ["2024-02-29 +00", "2024-02-29 -05:30", "2024-02-29 +0100", "2024-02-29"])
def test_dates_of_jdbc_have_a_zone(pg: RunningPg, text: str, type_id: int) -> None:
    with psycopg.connect(pg.address) as connection:
        result = connection.pgconn.exec_params(b"SELECT id FROM t WHERE day = $1", [text.encode()], [type_id])
        assert (result.ntuples, result.get_value(0, 0)) == (1, b"1")


@pytest.mark.parametrize("where", ["id > 0", "id < 0"])
def test_copied_rows_are_read_one_by_one(pg: RunningPg, where: str) -> None:
    with psycopg.connect(pg.address, autocommit=True) as connection:
        expected = connection.execute(f"SELECT id, tags FROM t WHERE {where} ORDER BY id").fetchall()
        statement = f"COPY (SELECT id, tags FROM t WHERE {where} ORDER BY id) TO STDOUT (FORMAT binary)"
        with connection.cursor().copy(statement) as copy:
            copy.set_types(["int8", "text[]"])
            assert list(copy.rows()) == expected


def test_a_copy_is_described_without_being_run(pg: RunningPg) -> None:
    async def describe() -> None:
        connection = await asyncpg.connect(pg.url)
        try:
            for statement in ("COPY t (id, v) FROM STDIN WITH (FORMAT csv)", "COPY t TO STDOUT"):
                assert (await connection.prepare(statement)).get_attributes() == ()
        finally:
            await connection.close()

    asyncio.run(describe())


TEXT_VECTOR = b"[5,6]"
FLOAT4_ARRAY = struct.pack("!iiiii", 1, 0, 700, 2, 1) + struct.pack("!ifif", 4, 7.0, 4, 8.0)
FLOAT8_ARRAY = struct.pack("!iiiii", 1, 0, 701, 2, 1) + struct.pack("!idid", 8, 7.0, 8, 8.0)


@pytest.mark.parametrize(
    ("vector", "expected"), [(TEXT_VECTOR, "[5,6]"), (FLOAT4_ARRAY, "[7,8]"), (FLOAT8_ARRAY, "[7,8]")]
)
def test_rows_of_adbc_are_copied(pg: RunningPg, vector: bytes, expected: str) -> None:
    """``adbc_ingest`` writes the name of the table so, looks up its columns by it, and sends a vector as a
    text or an array of floats in binary."""
    key, name = struct.pack("!q", 90), '"public" . "t"'
    with psycopg.connect(pg.address, autocommit=True) as connection:
        columns = connection.execute(
            "SELECT attr.attname FROM pg_catalog.pg_attribute AS attr WHERE attr.attrelid = "
            "%s::regclass::oid AND attr.attnum > 0 AND NOT attr.attisdropped",
            (name,),
        ).fetchall()
        assert ("v",) in columns
        with connection.cursor().copy(f'COPY {name} ("id", "v") FROM STDIN WITH (FORMAT binary)') as copy:
            copy.write(b"PGCOPY\n\xff\r\n\0" + struct.pack("!ii", 0, 0))
            copy.write(struct.pack("!hi", 2, len(key)) + key + struct.pack("!i", len(vector)) + vector)
            copy.write(struct.pack("!h", -1))
        assert connection.execute("SELECT v FROM t WHERE id = 90").fetchone() == (expected,)
        connection.execute("DELETE FROM t WHERE id = 90")


def test_rows_are_copied_as_the_extension_of_duckdb_asks(pg: RunningPg) -> None:
    query = (
        'COPY (SELECT "id", "v"::VARCHAR FROM "public"."t" WHERE "id" = \'1\') TO STDOUT (FORMAT "binary");'
    )
    with psycopg.connect(pg.address) as connection, connection.cursor().copy(query) as copy:
        copy.set_types(["int8", "text"])
        assert list(copy.rows()) == [(1, "[1,2]")]


@pytest.mark.parametrize(
    "query", ["SELECT * FROM changing", "SELECT * FROM changing_view", "SELECT a FROM changing"]
)
def test_asyncpg_prepares_again_what_has_other_columns_now(pg: RunningPg, query: str) -> None:
    create = "CREATE TABLE changing (id BIGINT PRIMARY KEY, a {}, v VECTOR(2))"

    async def run() -> list[object]:
        reader, writer = await asyncpg.connect(pg.url), await asyncpg.connect(pg.url)
        try:
            answers = list[Any]()
            for type_, value in (("INT", "1"), ("TEXT", "'x'")):
                await writer.execute("DROP TABLE IF EXISTS changing")
                await writer.execute(create.format(type_))
                await writer.execute("CREATE OR REPLACE VIEW changing_view AS SELECT a, v, id FROM changing")
                await writer.execute(f"INSERT INTO changing VALUES (1, {value}, '[1,2]')")
                answers += [
                    await reader.fetchval(f"SELECT a FROM ({query}) AS q"),
                    *await reader.fetch(query),
                ]
            await writer.execute("DROP VIEW changing_view")
            await writer.execute("DROP TABLE changing")
            return [answer if isinstance(answer, (int, str)) else answer["a"] for answer in answers]
        finally:
            await reader.close()
            await writer.close()

    assert asyncio.run(run()) == [1, 1, "x", "x"]


def test_columns_name_the_table_that_they_are_of(pg: RunningPg) -> None:
    """Clients edit rows of a result by it: JDBC's updatable results, DBeaver's grid."""
    with psycopg.connect(pg.address) as connection:
        result = connection.execute("SELECT day AS d, id FROM t WHERE id > %s", (0,)).pgresult
        assert result is not None
        places = [(result.ftable(at), result.ftablecol(at)) for at in range(result.nfields)]
        oid = connection.execute("SELECT 't'::regclass::oid").fetchone()
        assert oid is not None
        assert [table for table, _ in places] == [oid[0], oid[0]]
        names = "SELECT attname FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum = %s"
        columns = [connection.execute(names, (place,)).fetchone() for _, place in places]
        assert columns == [("day",), ("id",)]
