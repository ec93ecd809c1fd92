"""The overhead of SQL: a search by SQL and the same one with pymilvus, on Milvus Lite, in turns.

    python benchmarks/sql.py [--rows 10000] [--rounds 1200] [--json benchmarks/results/sql.json]

Vectors are random, and the query's is a parameter: embedding would take the same time in both. Also the time
to parse and plan a new query, and one that is cached, and what it takes to join the 100 nearest rows with a
Parquet file of a million, in the order of the keys and in a random one, with and without a column of texts.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import date
from functools import partial
from importlib.metadata import version
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from pymilvus import DataType, MilvusClient

import nestvec
from nestvec.dbapi import Connection
from nestvec.milvus.steps import drive
from nestvec.sql.bind.params import bind_params
from nestvec.sql.parse.parse import parse
from nestvec.sql.statements.select import plan_select

DIM, TOP, BATCH = 384, 10, 2000
SEED = 5
FILE_ROWS = 1_000_000
FIELDS = ["id", "title", "year"]

SEARCH = """
    SELECT id, title, year, 1 - (v <=> :q) AS score
    FROM papers
    WHERE year >= 2000 AND title LIKE 'paper%'
    ORDER BY score DESC
    LIMIT 10"""
TYPICAL = """
    SELECT id, title, 1 - (v <=> :q) AS score
    FROM papers
    WHERE year BETWEEN 2000 AND 2020 AND (title LIKE 'paper%' OR title IN ('a', 'b')) AND id <> {n}
    ORDER BY score DESC
    LIMIT 10"""

NEAREST = "SELECT id, title, 1 - (v <=> :q) AS score FROM papers ORDER BY score DESC LIMIT 100"


def fill(client: MilvusClient, rows: int) -> None:
    """Rows of random unit vectors, with a title and a year."""
    schema = client.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("title", DataType.VARCHAR, max_length=200)
    schema.add_field("year", DataType.INT16)
    schema.add_field("v", DataType.FLOAT_VECTOR, dim=DIM)
    index = client.prepare_index_params()
    index.add_index("v", index_type="HNSW", metric_type="COSINE")
    client.create_collection("papers", schema=schema, index_params=index)
    random = np.random.default_rng(SEED)
    for start in range(0, rows, BATCH):
        vectors = random.standard_normal((min(BATCH, rows - start), DIM)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        client.insert(
            "papers",
            [
                {"id": n, "title": f"paper {n}", "year": 1990 + n % 35, "v": vector}
                for n, vector in enumerate(vectors, start)
            ],
        )
    client.flush("papers")
    client.load_collection("papers")


def search_width(connection: Connection) -> int:
    """The ``ef`` that SQL searches with."""
    plan = connection.execute(f"EXPLAIN {SEARCH}", {"q": [0.5] * DIM}).fetchall()
    width = re.search(r"with ef ([\d,]+)", "\n".join(row[0] for row in plan))
    return int(width.group(1).replace(",", "")) if width else 0


def by_hand(client: MilvusClient, ef: int, query: list[float]) -> list[tuple[Any, ...]]:
    """The search as an application writes it, with ``ef``, or 0 for Milvus's default."""
    hits = client.search(
        "papers",
        data=[query],
        anns_field="v",
        filter='year >= 2000 and title like "paper%"',
        limit=TOP,
        output_fields=FIELDS,
        search_params={"metric_type": "COSINE"} | ({"params": {"ef": ef}} if ef else {}),
    )
    return [(*(hit["entity"][name] for name in FIELDS), hit["distance"]) for hit in hits[0]]


def by_sql(connection: Connection, query: list[float]) -> list[tuple[Any, ...]]:
    """The same search by SQL."""
    return connection.execute(SEARCH, {"q": query}).fetchall()


def milliseconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


def searches(connection: Connection, client: MilvusClient, rounds: int) -> dict[str, float]:
    """Medians in milliseconds of both, in turns, and of the difference in each round.

    pymilvus searches as widely as SQL does, twice per round: the difference between the two is the resolution
    of this measurement. What it takes with Milvus's default width, which finds fewer of the nearest rows, is
    shown, too.
    """
    ef = search_width(connection)
    random = np.random.default_rng(SEED + 1)
    queries = [random.standard_normal(DIM).tolist() for _ in range(rounds)]
    works = {
        "pymilvus": partial(by_hand, client, ef),
        "sql": partial(by_sql, connection),
        "again": partial(by_hand, client, ef),
        "default": partial(by_hand, client, 0),
    }
    times: dict[str, list[float]] = {name: [] for name in works}
    orders = list(permutations(works))
    for at, query in enumerate(queries):
        if at < 5:
            same = [(*row[:-1], round(row[-1], 5)) for row in by_hand(client, ef, query)]
            if [(*row[:-1], round(row[-1], 5)) for row in by_sql(connection, query)] != same:
                raise SystemExit("SQL and pymilvus do not find the same rows.")
        # The first one has a colder cache, and the order matters, too: every order takes its turn.
        for name in orders[at % len(orders)]:
            times[name].append(milliseconds(partial(works[name], query)))
    middle = {name: statistics.median(of) for name, of in times.items()}

    def more(name: str) -> float:
        return statistics.median(
            mine - other for mine, other in zip(times[name], times["pymilvus"], strict=True)
        )

    return {
        "ef": ef,
        "pymilvus_ms": middle["pymilvus"],
        "sql_ms": middle["sql"],
        "ratio": middle["sql"] / middle["pymilvus"],
        "more_ms": more("sql"),
        "pymilvus_again_ratio": middle["again"] / middle["pymilvus"],
        "pymilvus_again_more_ms": more("again"),
        "pymilvus_default_ms": middle["default"],
    }


def planning(connection: Connection, client: MilvusClient, rounds: int) -> dict[str, float]:
    """Medians in milliseconds of parsing and planning: of new statements, and of a cached one."""
    parameters = bind_params({"q": [0.5] * DIM})

    def plan(n: int) -> None:
        drive(client, plan_select(connection.session, parse(TYPICAL.format(n=n)), parameters))

    plan(-1)
    parsed = [milliseconds(partial(plan, n)) for n in range(rounds)]
    cached = [milliseconds(partial(plan, -1)) for _ in range(rounds)]
    return {"unseen_ms": statistics.median(parsed), "seen_ms": statistics.median(cached)}


def write_ratings(folder: Path) -> dict[str, Path]:
    """Parquet files with a row for each of a million ids, the rows in two orders."""
    random = np.random.default_rng(SEED + 2)
    shuffled = pa.table(
        {
            "id": random.permutation(FILE_ROWS),
            "rating": random.random(FILE_ROWS),
            "votes": random.integers(0, 10_000, FILE_ROWS),
            "comment": [f"comment {n}" for n in range(FILE_ROWS)],
        }
    )
    paths = {"random order": folder / "shuffled.parquet", "order of the keys": folder / "sorted.parquet"}
    pyarrow.parquet.write_table(shuffled, paths["random order"])
    pyarrow.parquet.write_table(shuffled.sort_by("id"), paths["order of the keys"])
    return paths


def joins(connection: Connection, folder: Path, rounds: int) -> dict[str, dict[str, float]]:
    """Medians in milliseconds of a search, and of what its join with a file takes more in each round."""
    random = np.random.default_rng(SEED + 3)
    statements = {"search": NEAREST}
    for order, path in write_ratings(folder).items():
        for name, columns in (("numbers", "rating, votes"), ("numbers and texts", "rating, votes, comment")):
            statements[f"{order}, {name}"] = (
                f"SELECT near.*, {columns} FROM ({NEAREST}) AS near "
                f"JOIN read_parquet('{path}') AS file ON file.id = near.id"
            )
    times: dict[str, list[float]] = {name: [] for name in statements}
    for at in range(rounds + 1):
        query = {"q": random.standard_normal(DIM).tolist()}
        for name, statement in statements.items():
            started = time.perf_counter()
            count = len(connection.execute(statement, query).fetchall())
            # The first round fills caches.
            times[name] += [(time.perf_counter() - started) * 1000] if at else []
            if count != 100:
                raise SystemExit(f"{name}: {count} rows instead of 100.")
    report = {"search": {"ms": statistics.median(times["search"])}}
    for name, of in times.items():
        more = [mine - search for mine, search in zip(of, times["search"], strict=True)]
        report |= (
            {name: {"more_ms": statistics.median(more), "least_more_ms": min(more)}} if any(more) else {}
        )
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=1200)
    parser.add_argument("--join-rounds", type=int, default=100)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, nestvec.connect(f"{folder}/sql.db") as connection:
        client = MilvusClient(f"{folder}/sql.db")
        fill(client, options.rows)
        for _ in range(20):
            by_hand(client, 0, [0.5] * DIM)
            by_sql(connection, [0.5] * DIM)
        report = {
            "date": date.today().isoformat(),
            "machine": f"{os.cpu_count()} cores, {platform.machine()}",
            "python": platform.python_version(),
            "server": f"Milvus Lite {version('milvus-lite')}, pymilvus {version('pymilvus')}",
            "rows": options.rows,
            "dim": DIM,
            "rounds": options.rounds,
            "search": searches(connection, client, options.rounds),
            "parse_and_plan": planning(connection, client, options.rounds),
            "join_with_parquet": joins(connection, Path(folder), options.join_rounds),
        }
        client.close()
    text = json.dumps(report, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
