"""Thresholds, similarities and groups of searches on the real Milvus Lite, against DuckDB."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import duckdb
import pytest
from pymilvus import DataType, MilvusClient

from nestvec.milvus.connection import open_milvus
from nestvec.sql import Session, execute

ROWS = 60
DISTANCES = {
    "(v <=> '[1, 0]')": "array_cosine_distance(v, [1, 0]::FLOAT[2])",
    "(w <-> '[1, -0.75]')": "array_distance(v, [1, -0.75]::FLOAT[2])",
}
"""By the operators of pgvector, and in DuckDB. No two rows are as far off."""

Twins = tuple[MilvusClient, duckdb.DuckDBPyConnection]


def stored() -> list[dict[str, Any]]:
    draw = Random(5)
    return [
        {
            "id": number,
            "a": draw.choice((None, None, 1, 2, -3)),
            "t": draw.choice((None, "x", "y", "")),
            "g": draw.random() > 0.4,
            "v": [1.0, number / 10],
        }
        for number in range(ROWS)
    ]


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twins]:
    """The same rows in Milvus Lite and in DuckDB."""
    rows = stored()
    duck = duckdb.connect()
    duck.execute("SET default_null_order = 'nulls_last_on_asc_first_on_desc'")
    duck.execute("CREATE TABLE t (id BIGINT, a INTEGER, t VARCHAR, g BOOLEAN, v FLOAT[2])")
    duck.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?)", [list(row.values()) for row in rows])
    with open_milvus(str(tmp_path_factory.mktemp("nearest") / "t.db")) as client:
        schema = client.create_schema()
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("a", DataType.INT32, nullable=True)
        schema.add_field("t", DataType.VARCHAR, max_length=20, nullable=True)
        schema.add_field("g", DataType.BOOL)
        index = client.prepare_index_params()
        for name, metric in (("v", "COSINE"), ("w", "L2"), ("u", "L2")):
            schema.add_field(name, DataType.FLOAT_VECTOR, dim=2)
            index.add_index(name, index_type="FLAT", metric_type=metric)
        client.create_collection("t", schema=schema, index_params=index)
        client.insert("t", [row | {"w": row["v"], "u": [row["id"] % 3, 0.0]} for row in rows])
        yield client, duck


def check(twins: Twins, statement: str, meant: str) -> None:
    """Both answer alike, in the same order; ``meant`` is the statement as DuckDB has it."""
    client, duck = twins
    expected = duck.execute(meant).fetchall()
    found = execute(client, statement, session=Session()).rows
    assert len(found) == len(expected), statement
    for one, other in zip(found, expected, strict=True):
        assert one == tuple(
            pytest.approx(value, abs=1e-5) if isinstance(value, float) else value for value in other
        ), statement


BOUNDS = (
    "{d} < 0.8",
    "0.31 >= {d}",
    "{d} <= 0.6 AND a > 0",
    "g AND {d} < 0.93 AND {d} < 2",
    "{d} < -1",
    "{d} * 2 + 1 < 2",
    "-{d} > -0.5",
)
TAILS = ("LIMIT 5", "LIMIT 4 OFFSET 3", "LIMIT 100", "LIMIT 0", "LIMIT 20 OFFSET 40")


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("distance", DISTANCES)
def test_thresholds(twins: Twins, distance: str, bound: str) -> None:
    for tail in TAILS:
        asked = f"SELECT id, {{d}} * 2 + 1 AS x FROM t WHERE {bound} ORDER BY {{d}} {tail}"
        check(twins, asked.format(d=distance), asked.format(d=DISTANCES[distance]))


@pytest.mark.parametrize("bound", ["", "WHERE 1 - {d} >= 0.3", "WHERE a IS NULL AND 1 - {d} > 0.5"])
def test_similarities(twins: Twins, bound: str) -> None:
    made = "id, round((1 - {d})::numeric, 3) AS s, CASE WHEN {d} < 0.2 THEN 'near' END"
    asked = f"SELECT {made} FROM t {bound} ORDER BY 1 - {{d}} DESC LIMIT 9"
    distance, meant = next(iter(DISTANCES.items()))
    check(twins, asked.format(d=distance), asked.format(d=meant))


@pytest.mark.parametrize("key", ["t", "a", "g", "id"])
@pytest.mark.parametrize("where", ["", "WHERE g", "WHERE a > 0"])
def test_the_best_of_each_group(twins: Twins, key: str, where: str) -> None:
    for (distance, meant), tail in zip(DISTANCES.items(), ("LIMIT 4", "LIMIT 3 OFFSET 2"), strict=True):
        nth = f"row_number() OVER (PARTITION BY {key} ORDER BY {meant}) AS n"
        ranked = f"SELECT *, {meant} AS d, {nth} FROM t {where}"
        check(
            twins,
            f"SELECT {key} AS k, id, {distance} AS d FROM t {where} GROUP BY {key} ORDER BY d {tail}",
            f"SELECT {key} AS k, id, d FROM ({ranked}) WHERE n = 1 ORDER BY d {tail}",
        )


@pytest.mark.parametrize("tail", [*TAILS, "LIMIT 1", "LIMIT 2 OFFSET 1", "LIMIT 7 OFFSET 13"])
@pytest.mark.parametrize("second", ["id", "id DESC", "a NULLS FIRST, id DESC", "t DESC, id"])
def test_ties_are_in_the_order_of_the_second_key(twins: Twins, second: str, tail: str) -> None:
    """Of rows as far off as the last one, those come into the answer that the second key has first."""
    check(
        twins,
        f"SELECT id FROM t ORDER BY u <-> '[0, 0]', {second} {tail}",
        f"SELECT id FROM t ORDER BY id % 3, {second} {tail}",
    )
