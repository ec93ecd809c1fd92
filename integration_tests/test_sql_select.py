"""The shape of a SELECT's answer on the real Milvus Lite: what rows hold, are counted and grouped by."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from pymilvus import AsyncMilvusClient, DataType, MilvusClient

from nestvec.milvus.connection import open_milvus
from nestvec.milvus.steps import adrive
from nestvec.sql import Session, execute
from nestvec.sql.execute import executor
from nestvec.sql.relational import run
from nestvec.sql.statements import execute_steps as execute_steps
from nestvec_schemas.errors import SqlNotSupported, SqlTypeMismatch

ROWS: list[dict[str, Any]] = [
    {
        "id": number,
        "kind": (None, "a", "b")[number % 3],
        "real": 0.1 * number,
        "tags": (None, [], ["x"], ["x", "y"])[number % 4],
        "meta": (None, {"k": number, "deep": {"list": [number, {"t": f"v{number}"}]}}, {"k": str(number)})[
            number % 3
        ],
        "v": [1.0, number / 10],
    }
    for number in range(12)
]


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database with ``t``: arrays, JSON and vectors, and NULLs among them; and ``many``, of 20,000 rows."""
    uri = str(tmp_path_factory.mktemp("select") / "t.db")
    with open_milvus(uri) as client:
        schema = client.create_schema()
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("kind", DataType.VARCHAR, max_length=10, nullable=True)
        schema.add_field("real", DataType.FLOAT)
        strings = {"element_type": DataType.VARCHAR, "max_capacity": 4, "max_length": 10}
        schema.add_field("tags", DataType.ARRAY, nullable=True, **strings)
        schema.add_field("meta", DataType.JSON, nullable=True)
        schema.add_field("v", DataType.FLOAT_VECTOR, dim=2)
        index = client.prepare_index_params()
        index.add_index("v", index_type="FLAT", metric_type="COSINE")
        client.create_collection("t", schema=schema, index_params=index)
        client.insert("t", ROWS)
        schema = client.create_schema()
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("v", DataType.FLOAT_VECTOR, dim=2)
        client.create_collection("many", schema=schema, index_params=index)
        client.insert("many", [{"id": number, "v": [1.0, 0.0]} for number in range(20_000)])
    return uri


@pytest.fixture
def client(uri: str) -> Iterator[MilvusClient]:
    with open_milvus(uri) as opened:
        yield opened


def rows(client: MilvusClient, statement: str) -> list[tuple[Any, ...]]:
    return list(execute(client, statement, session=Session()).rows)


def test_arrays(client: MilvusClient) -> None:
    asked = "SELECT tags[1], tags[2], tags[0], cardinality(tags), array_length(tags, 1) FROM t ORDER BY id"
    assert rows(client, asked)[:4] == [
        (None, None, None, None, None),
        (None, None, None, 0, None),
        ("x", None, None, 1, 1),
        ("x", "y", None, 2, 2),
    ]


def test_json(client: MilvusClient) -> None:
    made = "meta -> 'deep' -> 'list', meta #>> '{deep,list,1,t}', (meta ->> 'k')::int + 1"
    asked = f"SELECT {made} FROM t ORDER BY id LIMIT 3"
    assert rows(client, asked) == [(None, None, None), ([1, {"t": "v1"}], "v1", 2), (None, None, 3)]
    assert rows(client, "SELECT meta::text FROM t WHERE id = 2") == [('{"k": "2"}',)]
    with pytest.raises(SqlTypeMismatch, match="invalid input syntax for type integer: 'v1'"):
        rows(client, "SELECT (meta #>> '{deep,list,1,t}')::int FROM t ORDER BY id")


def test_vectors(client: MilvusClient) -> None:
    asked = "SELECT l2_norm(v), vector_dims(v), subvector(v, 2, 1), v::text FROM t WHERE id = 5"
    (norm, dims, part, text) = rows(client, asked)[0]
    assert (norm, dims, part, text) == (pytest.approx(1.25**0.5), 2, [0.5], "[1,0.5]")


def test_a_real_is_written_as_it_was_given(client: MilvusClient) -> None:
    assert rows(client, "SELECT real::text || '/' || real, real > 0.1 FROM t WHERE id = 1") == [
        ("0.1/0.1", True)
    ]


def test_counting(client: MilvusClient) -> None:
    """By Milvus itself, so of any number of rows."""
    assert rows(client, "SELECT count(*) FROM many") == [(20_000,)]
    assert rows(client, "SELECT count(*) / 2, 'n' FROM many WHERE id < 11") == [(5, "n")]
    assert rows(client, "SELECT count(*) FROM t HAVING count(*) > 12") == []
    assert rows(client, "SELECT count(*), count(kind), count(DISTINCT kind), max(id) FROM t") == [
        (12, 8, 2, 11)
    ]
    assert rows(client, "SELECT count(*), sum(id), min(kind) FROM t WHERE id < 0") == [(0, None, None)]
    assert rows(client, "SELECT kind, count(*) FROM t WHERE id < 0 GROUP BY kind") == []


def test_rows_beyond_milvus_window(client: MilvusClient) -> None:
    assert len(rows(client, "SELECT id FROM many")) == 20_000
    assert len(rows(client, "SELECT id FROM many LIMIT 17000 OFFSET 2000")) == 17_000
    assert len(rows(client, "SELECT id FROM many OFFSET 19990")) == 10
    assert rows(client, "SELECT id FROM many ORDER BY id DESC LIMIT 1 OFFSET 18000") == [(1_999,)]
    assert rows(client, "SELECT sum(id), count(DISTINCT id) FROM many") == [(199_990_000, 20_000)]
    assert len(rows(client, "SELECT id FROM many WHERE id >= 10 LIMIT 16385")) == 16_385


def test_a_server_is_read_in_pages(client: MilvusClient) -> None:
    """Where there is a window, pymilvus's iterator goes beyond it."""
    session = Session()
    session._lite = False
    client.load_collection("many")
    found = execute(client, "SELECT id FROM many LIMIT 17000 OFFSET 2500", session=session).rows
    assert len(found) == len(set(found)) == 17_000


def test_more_rows_than_may_be_in_memory(client: MilvusClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "MAX_SCAN_ROWS", 15_000)
    monkeypatch.setattr(run, "MAX_SCAN_ROWS", 15_000)
    for asked in ("id FROM many", "DISTINCT id FROM many", "sum(id) FROM many"):
        with pytest.raises(SqlNotSupported, match=r"more than 15,000 rows .*is not supported"):
            rows(client, f"SELECT {asked}")


def test_groups_of_what_is_made(client: MilvusClient) -> None:
    asked = (
        "SELECT coalesce(cardinality(tags), -1) AS size, count(*), sum(id) FROM t GROUP BY size ORDER BY size"
    )
    assert rows(client, asked) == [(-1, 3, 12), (0, 3, 15), (1, 3, 18), (2, 3, 21)]
    asked = "SELECT DISTINCT ON (kind) kind, id FROM t ORDER BY kind NULLS FIRST, id DESC LIMIT 2"
    assert rows(client, asked) == [(None, 9), ("a", 10)]
    assert rows(client, "SELECT tags FROM t GROUP BY tags ORDER BY max(id)") == [
        (None,), ([],), (["x"],), (["x", "y"],),
    ]  # fmt: skip


def test_a_distance_among_others(client: MilvusClient) -> None:
    asked = (
        "SELECT id, kind || ': ' || round((1 - (v <=> '[1, 0]'))::numeric, 2) AS said FROM t "
        "WHERE kind IS NOT NULL AND v <=> (SELECT v FROM t WHERE id = 0) < 0.05 "
        "ORDER BY v <=> (SELECT v FROM t WHERE id = 0) LIMIT 9"
    )
    # Another distance than the one of ORDER BY is measured row by row.
    assert [row[0] for row in rows(client, asked)] == [1, 2]
    found = rows(client, asked.replace("'[1, 0]'", "(SELECT v FROM t WHERE id = 0)"))
    assert found == [(1, "a: 1.00"), (2, "b: 0.98")]


def test_one_who_awaits_gets_the_same(uri: str, client: MilvusClient) -> None:
    statement = "SELECT kind, avg(real) AS mean FROM t GROUP BY kind HAVING count(*) > 1 ORDER BY mean DESC"

    async def awaited() -> list[tuple[Any, ...]]:
        opened = AsyncMilvusClient(uri)
        try:
            return list((await adrive(opened, lambda: client, execute_steps(Session(), statement))).rows)
        finally:
            await opened.close()

    assert asyncio.run(awaited()) == rows(client, statement)
