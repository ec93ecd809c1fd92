"""What drivers send of their own accord: types that they leave open, intervals, and COPY in their own way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import date, datetime, timedelta

import asyncpg
import psycopg
import pytest
from integration_tests.fixtures.pgwire import RunningPg, run_pg


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
