"""Searches of a Milvus Lite database that another process wrote, against numpy on the same vectors.

The process that inserts compares every vector; one that opens the database later searches by the index, which
misses rows unless it is searched widely enough.
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from numpy.typing import NDArray

import nestvec
from nestvec.dbapi import Connection

ROWS, DIM = 4_000, 32
SEED = 11

FILL = """
import sys
import numpy as np
from pymilvus import DataType, MilvusClient
path, vectors = sys.argv[1], np.load(sys.argv[2])
indexes = {"hnsw": "HNSW", "ivf": "IVF_FLAT", "sq": "HNSW_SQ", "auto": "AUTOINDEX", "ip": "HNSW"}
client = MilvusClient(path)
schema = client.create_schema()
schema.add_field("id", DataType.INT64, is_primary=True)
schema.add_field("share", DataType.INT64)
schema.add_field("topic", DataType.INT64)
params = client.prepare_index_params()
for name, index in indexes.items():
    schema.add_field(name, DataType.FLOAT_VECTOR, dim=vectors.shape[1])
    metric = {"hnsw": "COSINE", "ip": "IP"}.get(name, "L2")
    more = {"nlist": 32} if name == "ivf" else {}
    params.add_index(name, index_type=index, metric_type=metric, params=more)
client.create_collection("t", schema=schema, index_params=params)
for start in range(0, len(vectors), 1000):
    rows = [
        {"id": number, "share": number * 7919 % 200, "topic": number * 31 % 40}
        | {name: vectors[number] for name in indexes}
        for number in range(start, start + 1000)
    ]
    client.insert("t", rows)
client.flush("t")
client.close()
"""

OPERATORS = {"hnsw": "<=>", "ivf": "<->", "sq": "<->", "auto": "<->", "ip": "<#>"}


@pytest.fixture(scope="module")
def vectors() -> NDArray[np.float32]:
    """Clusters, with a hundred copies of one vector, which tie a graph into knots."""
    generator = np.random.default_rng(SEED)
    centres = generator.standard_normal((20, DIM))
    rows = centres[generator.integers(20, size=ROWS)] + 0.7 * generator.standard_normal((ROWS, DIM))
    rows[1000:1100] = rows[1000]
    return rows.astype(np.float32)


@pytest.fixture(scope="module")
def reopened(vectors: NDArray[np.float32], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    folder = tmp_path_factory.mktemp("exact")
    path, stored = folder / "exact.db", folder / "vectors.npy"
    np.save(stored, vectors)
    subprocess.run([sys.executable, "-c", FILL, str(path), str(stored)], check=True, timeout=600)
    with nestvec.connect(str(path)) as connection:
        yield connection


def true_distances(name: str, vectors: NDArray[np.float32], query: NDArray[np.float32]) -> NDArray[Any]:
    """In 64 bits, from the definitions of pgvector's operators."""
    rows, target = vectors.astype(np.float64), query.astype(np.float64)
    if OPERATORS[name] == "<=>":
        return 1 - rows @ target / (np.linalg.norm(rows, axis=1) * np.linalg.norm(target))
    if OPERATORS[name] == "<->":
        return np.sqrt(((rows - target) ** 2).sum(axis=1))
    return -(rows @ target)


FILTERS: list[tuple[str, Any]] = [
    ("", lambda ids: ids >= 0),
    ("WHERE share < 100", lambda ids: ids * 7919 % 200 < 100),
    ("WHERE share < 10", lambda ids: ids * 7919 % 200 < 10),
    ("WHERE share = 3", lambda ids: ids * 7919 % 200 == 3),
    ("WHERE id BETWEEN 990 AND 1200", lambda ids: (ids >= 990) & (ids <= 1200)),
    ("WHERE id < 0", lambda ids: ids < 0),
]


def ranked(
    connection: Connection, name: str, query: NDArray[np.float32], where: str, limit: int, offset: int
) -> list[tuple[int, float]]:
    operator = OPERATORS[name]
    statement = (
        f"SELECT id, {name} {operator} :q AS d FROM t {where} "
        f"ORDER BY {name} {operator} :q LIMIT {limit} OFFSET {offset}"
    )
    return [(row[0], row[1]) for row in connection.execute(statement, {"q": query.tolist()}).fetchall()]


@pytest.mark.parametrize("name", OPERATORS)
def test_random_statements_find_what_numpy_finds(
    reopened: Connection, vectors: NDArray[np.float32], name: str
) -> None:
    dice, generator = random.Random(SEED), np.random.default_rng(SEED + 1)
    ids, recalls = np.arange(ROWS), []
    for _ in range(30):
        where, passes = dice.choice(FILTERS)
        limit, offset = dice.choice([1, 10, 60, 150, 700, 3000]), dice.choice([0, 0, 0, 5, 500])
        query = vectors[dice.randrange(ROWS)] + 0.3 * generator.standard_normal(DIM).astype(np.float32)
        distances = true_distances(name, vectors, query)
        nearest = np.sort(distances[passes(ids)])[: offset + limit][offset:]
        rows = ranked(reopened, name, query, where, limit, offset)
        assert len(rows) == len(nearest), (where, limit, offset)
        assert len({row_id for row_id, _ in rows}) == len(rows)
        assert all(passes(np.array([row_id]))[0] for row_id, _ in rows)
        if len(nearest):
            own = np.array([distances[row_id] for row_id, _ in rows])
            tolerance = 2e-4 * max(1.0, float(np.abs(nearest).max()))
            recalls.append(float((own <= nearest[-1] + tolerance).mean()))
            # Compressed vectors have distances that are about right.
            compressed = 0.1 if name == "sq" else 1e-3
            assert np.abs(own - [distance for _, distance in rows]).max() <= compressed * max(
                1.0, np.abs(own).max()
            )
    assert np.mean(recalls) >= 0.99


def test_three_thousand_rows_are_exactly_the_nearest(
    reopened: Connection, vectors: NDArray[np.float32]
) -> None:
    query = vectors[17] + 0.1
    for name in OPERATORS:
        distances = true_distances(name, vectors, query)
        rows = ranked(reopened, name, query, "", 3000, 0)
        own = np.array([distances[row_id] for row_id, _ in rows])
        assert np.allclose(own, np.sort(distances)[:3000], atol=1e-3)


def test_pages_are_the_ranking_cut_into_pieces(reopened: Connection, vectors: NDArray[np.float32]) -> None:
    query = vectors[5] + 0.2
    pages = [
        ranked(reopened, "hnsw", query, "WHERE share < 100", 400, start) for start in range(0, 2400, 400)
    ]
    assert [len(page) for page in pages] == [400, 400, 400, 400, 400, 0]
    together = [row_id for page in pages for row_id, _ in page]
    # The copies of one vector have no order among them.
    assert len(set(together)) >= len(together) - 100
    assert together[:100] == [
        row_id for row_id, _ in ranked(reopened, "hnsw", query, "WHERE share < 100", 100, 0)
    ]


def test_a_threshold_finds_every_row_within_it(reopened: Connection, vectors: NDArray[np.float32]) -> None:
    for number in (3, 77, 1500):
        query = vectors[number]
        distances = true_distances("hnsw", vectors, query)
        for bound in (0.05, 0.2, 0.4):
            rows = reopened.execute(
                f"SELECT id FROM t WHERE hnsw <=> :q < {bound} ORDER BY hnsw <=> :q LIMIT 2500",
                {"q": query.tolist()},
            ).fetchall()
            sure = set(np.flatnonzero(distances < bound - 1e-4).tolist())
            maybe = set(np.flatnonzero(distances < bound + 1e-4).tolist())
            assert sure <= {row[0] for row in rows} <= maybe


def test_groups_hybrids_and_lateral_queries_are_complete(
    reopened: Connection, vectors: NDArray[np.float32]
) -> None:
    query = vectors[8] + 0.1
    distances = true_distances("hnsw", vectors, query)
    topics = np.arange(ROWS) * 31 % 40
    grouped = reopened.execute(
        "SELECT DISTINCT ON (topic) id, topic FROM t WHERE share < 100 ORDER BY topic, hnsw <=> :q LIMIT 60",
        {"q": query.tolist()},
    ).fetchall()
    assert sorted(topic for _, topic in grouped) == sorted(set(topics[np.arange(ROWS) * 7919 % 200 < 100]))
    fused = reopened.execute(
        "SELECT id FROM t WHERE share = 3 ORDER BY RRF(hnsw <=> :q, auto <-> :q) DESC LIMIT 20",
        {"q": query.tolist()},
    ).fetchall()
    assert len({row[0] for row in fused}) == 20
    both = reopened.execute(
        "SELECT q.v, p.id FROM unnest(:both) AS q(v) CROSS JOIN LATERAL "
        "(SELECT id FROM t WHERE share = 3 ORDER BY hnsw <=> q.v LIMIT 15) AS p",
        {"both": [query.tolist(), vectors[9].tolist()]},
    ).fetchall()
    assert len(both) == 30
    passing = np.flatnonzero(np.arange(ROWS) * 7919 % 200 == 3)
    nearest = passing[np.argsort(distances[passing])][:15]
    assert [row[1] for row in both[:15]] == nearest.tolist()


def test_a_compressed_index_of_a_table_whose_keys_are_stored_as_another_type(tmp_path: Path) -> None:
    with nestvec.connect(str(tmp_path / "keys.db")) as connection:
        connection.execute("CREATE TABLE k (id uuid PRIMARY KEY, v vector(4))")
        connection.execute("CREATE INDEX ON k USING hnsw_sq (v vector_l2_ops)")
        rows = [{"id": str(UUID(int=number)), "v": [number, 0, 0, 0]} for number in range(600)]
        connection.cursor().executemany("INSERT INTO k VALUES (:id, :v)", rows)
        nearest = "SELECT id FROM k ORDER BY v <-> '[0,0,0,0]' LIMIT 5"
        plan = connection.execute(f"EXPLAIN {nearest}").fetchall()
        assert "nestvec compares 52 candidates" in "\n".join(row[0] for row in plan)
        assert connection.execute(nearest).fetchall() == [(UUID(int=number),) for number in range(5)]


def test_explain_says_what_is_exact(reopened: Connection, vectors: NDArray[np.float32]) -> None:
    def explained(statement: str) -> str:
        rows = reopened.execute(statement, {"q": vectors[1].tolist()}).fetchall()
        return "\n".join(row[0] for row in rows)

    near = "SELECT id FROM t {} ORDER BY hnsw <=> :q LIMIT {}"
    assert "result: exact: nestvec compares the 20 matching rows" in explained(
        "EXPLAIN " + near.format("WHERE share = 3", 10)
    )
    assert (
        "result: exact: nestvec compares all 4,000 matching rows: LIMIT plus OFFSET of 3,000 is deep"
        in explained("EXPLAIN " + near.format("", 3000))
    )
    assert "result: approximate: HNSW with ef " in explained("EXPLAIN " + near.format("", 10))
    by_product = explained("EXPLAIN SELECT id FROM t ORDER BY ip <#> :q LIMIT 10")
    assert "4,000 matching rows: ANALYZE did not measure the index, and graphs of inner" in by_product
    ran = explained("EXPLAIN ANALYZE " + near.format("WHERE share = 3", 10))
    assert "measured: 10 rows" in ran
    # A search whose rows DuckDB reads is as approximate.
    count = f"SELECT count(*) FROM ({near.format('{}', 10)}) AS best"
    assert "result: approximate: HNSW with ef " in explained("EXPLAIN " + count.format(""))
    ran = explained("EXPLAIN ANALYZE " + count.format("WHERE share = 3"))
    assert "result: exact: nestvec compares the 20 matching rows" in ran
    assert "measured: 10 rows" in ran


def test_analyze_measures_the_width_that_searches_then_use(
    reopened: Connection, vectors: NDArray[np.float32]
) -> None:
    rows = reopened.execute("ANALYZE t").fetchall()
    measured = {(row[0], row[5]) for row in rows}
    # Every list of an IVF index is read anyway.
    assert {name for name, _ in measured} == {"hnsw", "sq", "auto", "ip"}
    assert {share for name, share in measured if name == "hnsw"} >= {1.0}
    by_width = [row[3] for row in rows if row[0] == "hnsw" and row[5] == 1.0]
    assert by_width[-1] >= by_width[0]
    # The copies of one vector are beyond the reach of the graph, which is what was measured.
    near = "SELECT id FROM t ORDER BY auto <-> :q LIMIT 10"
    text = "\n".join(
        row[0] for row in reopened.execute("EXPLAIN " + near, {"q": vectors[1].tolist()}).fetchall()
    )
    assert "ANALYZE found that the index reaches a recall of" in text or "measured by ANALYZE" in text
    plan = reopened.execute(
        "EXPLAIN SELECT id FROM t ORDER BY hnsw <=> :q LIMIT 10", {"q": vectors[1].tolist()}
    ).fetchall()
    text = "\n".join(row[0] for row in plan)
    assert "ANALYZE" in text
    assert "run ANALYZE" not in text
    reopened.execute("DELETE FROM t WHERE id >= 3000")
    plan = reopened.execute(
        "EXPLAIN SELECT id FROM t ORDER BY hnsw <=> :q LIMIT 10", {"q": vectors[1].tolist()}
    ).fetchall()
    assert "4,000 rows, but the collection has 3,000: run ANALYZE t" in "\n".join(row[0] for row in plan)
