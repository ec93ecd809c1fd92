"""Metrics of one vector column, indexes that others change, views, EXPLAIN of writes: on Milvus Lite."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymilvus import MilvusClient

import nestvec
from nestvec.dbapi import Connection, NotSupportedError
from nestvec.milvus.process_changes import TABLE_SECONDS

ROWS = 300
Run = Callable[..., list[Any]]


def vector(n: int) -> tuple[float, float]:
    return 1 + n % 17, 1 + n * n % 23


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "indexes.db")


@pytest.fixture
def connection(path: str) -> Iterator[Connection]:
    with nestvec.connect(path) as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE TABLE items (id BIGINT PRIMARY KEY, year INT, v VECTOR(2))")
        cursor.executemany(
            "INSERT INTO items VALUES ($1, $2, $3)", [[n, 2000 + n % 9, list(vector(n))] for n in range(ROWS)]
        )
        cursor.execute("CREATE INDEX ON items USING hnsw (v vector_l2_ops)")
        yield connection


@pytest.fixture
def run(connection: Connection) -> Run:
    def run(statement: str) -> list[Any]:
        cursor = connection.cursor().execute(statement)
        return cursor.fetchall() if cursor.description else []

    return run


def cosine(n: int) -> float:
    x, y = vector(n)
    return 1 - (2 * x + y) / math.hypot(x, y) / math.sqrt(5)


@pytest.mark.parametrize("words", ["", "IF NOT EXISTS second", "second", "CONCURRENTLY"])
def test_a_second_index_of_a_column_is_refused(run: Run, words: str) -> None:
    with pytest.raises(NotSupportedError, match=r"which has items_v_idx by L2.*DROP INDEX items_v_idx first"):
        run(f"CREATE INDEX {words} ON items USING hnsw (v vector_cosine_ops)")
    assert run("SHOW INDEXES FROM items")[0][:4] == ("items_v_idx", "v", "HNSW", "L2")


def test_if_not_exists_of_the_same_name_changes_nothing(run: Run) -> None:
    run("CREATE INDEX IF NOT EXISTS items_v_idx ON items USING hnsw (v vector_cosine_ops)")
    assert run("SHOW INDEXES FROM items")[0][:4] == ("items_v_idx", "v", "HNSW", "L2")


def test_after_the_first_is_dropped_the_second_is_made(run: Run) -> None:
    run("DROP INDEX items_v_idx")
    run("CREATE INDEX by_angle ON items USING hnsw (v vector_cosine_ops)")
    assert run("SHOW INDEXES FROM items")[0][:4] == ("by_angle", "v", "HNSW", "COSINE")


def test_another_metric_is_exact_and_said_once(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    statement = "SELECT id, v <=> '[2, 1]' AS d FROM items ORDER BY d, id LIMIT 25"
    expected = sorted((round(cosine(n), 6), n) for n in range(ROWS))[:25]
    with caplog.at_level(logging.WARNING, logger="nestvec.sql.session"):
        rows = run(statement)
        run(statement)
    assert [row[1] for row in rows] == pytest.approx([distance for distance, _ in expected], abs=1e-5)
    assert [record.getMessage() for record in caplog.records if record.name == "nestvec.sql.session"] == [
        "column v is indexed by L2, and <=> needs COSINE: "
        "the distances of all rows that match are computed, exactly"
    ]
    plan = "\n".join(row[0] for row in run(f"EXPLAIN {statement}"))
    assert "why: column v is indexed by L2, and <=> needs COSINE" in plan
    assert "COSINE of v to a vector of 2 dims, exact, by nestvec" in plan


def test_an_index_that_another_client_changes_is_seen(connection: Connection, run: Run, path: str) -> None:
    seconds = 0.0
    connection.session.search_cache.clock = lambda: seconds
    statement = "EXPLAIN SELECT id FROM items ORDER BY v <-> '[2, 1]' LIMIT 3"
    assert "index: HNSW, L2" in "\n".join(row[0] for row in run(statement))
    other = MilvusClient(path)
    other.release_collection("items")
    other.drop_index("items", "v_idx")
    params = other.prepare_index_params()
    params.add_index("v", index_type="FLAT", metric_type="COSINE")
    other.create_index("items", params)
    other.load_collection("items")
    seconds += TABLE_SECONDS
    assert "column v is indexed by COSINE, and <-> needs L2" in "\n".join(row[0] for row in run(statement))
    assert "exact: FLAT" in "\n".join(row[0] for row in run(statement.replace("<->", "<=>")))


def test_limit_all_is_every_row(run: Run) -> None:
    assert len(run("SELECT id FROM items LIMIT ALL")) == ROWS
    assert len(run("SELECT id FROM items ORDER BY v <-> '[2, 1]' LIMIT ALL OFFSET 10")) == ROWS - 10


def test_views_are_listed_and_described(run: Run) -> None:
    assert run("SHOW VIEWS") == []
    run("CREATE VIEW recent (item, half) AS SELECT id, year / 2.0 FROM items WHERE year > 2005")
    run("CREATE VIEW all_items AS SELECT * FROM items")
    assert run("SHOW VIEWS") == [("all_items",), ("recent",)]
    described = run("DESCRIBE recent")
    assert [row[0] for row in described] == ["item", "half"]
    assert described[0][1] == "BIGINT"
    assert [row[0] for row in run("SHOW COLUMNS FROM all_items")] == ["id", "year", "v"]
    with pytest.raises(nestvec.dbapi.ProgrammingError, match="no collection of this name: nothing"):
        run("DESCRIBE nothing")


@pytest.mark.parametrize(
    "write",
    ["INSERT INTO items VALUES (9000, 1, '[1, 2]')", "UPDATE items SET year = 1", "DELETE FROM items"],
)
def test_explain_runs_no_write(run: Run, write: str) -> None:
    word = write.split()[0]
    with pytest.raises(NotSupportedError, match=f"EXPLAIN ANALYZE of {word}.*It would run the {word}"):
        run(f"EXPLAIN ANALYZE {write}")
    with pytest.raises(NotSupportedError, match=f"EXPLAIN of {word}"):
        run(f"EXPLAIN {write}")
    assert run("SELECT count(*) AS n FROM items WHERE year > 1") == [(ROWS,)]
