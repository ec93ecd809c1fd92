"""SQL on a Milvus Lite database that another process wrote, against numpy on the same vectors.

Recall@10 without a filter and under filters of three selectivities, and a LIMIT of 3,000 rows; beside them
the same searches by pymilvus with Milvus's own defaults.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from mixtures import Floats, mixture_rows, unit
from numpy.typing import NDArray
from pymilvus import DataType, MilvusClient

import nestvec

TOP, DEEP, BATCH = 10, 3_000, 2_000
NAME = "papers"
FILTERS = {"none": "", "50 %": "share < 100", "5 %": "share < 10", "0.5 %": "share = 1"}
_SHARES = {"none": 200, "50 %": 100, "5 %": 10, "0.5 %": 1}
_PRIME = 7_919
"""Spreads the shares over the rows, whatever their order."""


def shares(rows: int) -> NDArray[np.int64]:
    """For each row a number from 0 to 199, independent of its vector."""
    return np.arange(rows) * _PRIME % 200


def passing(name: str, rows: int) -> NDArray[np.bool_]:
    of_rows = shares(rows)
    return of_rows == 1 if name == "0.5 %" else of_rows < _SHARES[name]


def prepared(options: argparse.Namespace) -> tuple[Floats, Floats]:
    """Vectors of rows and of queries; mixtures of real ones where more rows are wanted than there are."""
    real = unit(np.load(options.vectors))
    if options.queries is not None:
        queries = unit(np.load(options.queries))
    else:
        order = np.random.default_rng(0).permutation(len(real))
        queries, real = real[order[: options.probes]], real[order[options.probes :]]
    rows = options.rows or len(real)
    base = np.concatenate(
        [mixture_rows(real, start, min(start + 10_000, rows)) for start in range(0, rows, 10_000)]
    )
    return base, queries[: options.probes]


def fill(path: str, stored: str, index: str) -> None:
    """Write the database: in a process of its own, which ends."""
    base = np.load(stored, mmap_mode="r")
    client = MilvusClient(path)
    schema = client.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("share", DataType.INT64)
    schema.add_field("v", DataType.FLOAT_VECTOR, dim=base.shape[1])
    params = client.prepare_index_params()
    params.add_index("v", index_type=index, metric_type="COSINE")
    client.create_collection(NAME, schema=schema, index_params=params)
    of_rows = shares(len(base))
    for start in range(0, len(base), BATCH):
        numbers = range(start, min(start + BATCH, len(base)))
        client.insert(NAME, [{"id": at, "share": int(of_rows[at]), "v": base[at]} for at in numbers])
    client.flush(NAME)
    client.close()


def truth(base: Floats, query: Floats, mask: NDArray[np.bool_], count: int) -> list[int]:
    """The exact nearest rows, in 64 bits."""
    numbers = np.flatnonzero(mask)
    scores = base[numbers].astype(np.float64) @ query.astype(np.float64)
    return [int(at) for at in numbers[np.argsort(-scores, kind="stable")[:count]]]


def measured(
    find: Callable[[Floats, str, int], list[int]],
    base: Floats,
    queries: Floats,
    name: str,
    count: int,
) -> dict[str, float]:
    """Mean and smallest recall, the fewest rows, and p50 in ms."""
    mask, recalls, spent, fewest = passing(name, len(base)), [], [], count
    for query in queries:
        expected = truth(base, query, mask, count)
        started = time.perf_counter()
        ids = find(query, FILTERS[name], count)
        spent.append((time.perf_counter() - started) * 1000)
        recalls.append(len(set(ids) & set(expected)) / len(expected))
        fewest = min(fewest, len(ids))
    return {
        "recall": round(statistics.fmean(recalls), 4),
        "worst": round(min(recalls), 4),
        "fewest rows": fewest,
        "p50 ms": round(statistics.median(spent), 2),
    }


def reopened(options: argparse.Namespace) -> dict[str, Any]:
    """Fill in one process, search in this one."""
    options.work.mkdir(parents=True, exist_ok=True)
    base, queries = prepared(options)
    path = options.work / f"{options.vectors.stem}-{len(base)}-{options.index}.db"
    stored = path.with_suffix(".npy")
    np.save(stored, base)
    if not path.exists():
        command = [sys.executable, "-c", "import sys, reopened; reopened.fill(*sys.argv[1:])"]
        arguments = [str(path), str(stored), options.index]
        subprocess.run([*command, *arguments], check=True, cwd=Path(__file__).parent)
    results: dict[str, Any] = {"sql": {}, "pymilvus": {}, "plans": {}}
    with nestvec.connect(str(path)) as connection:
        connection.execute(f"SELECT id FROM {NAME} LIMIT 1")
        if options.analyze:
            connection.execute(f"ANALYZE {NAME}")

        def by_sql(query: Floats, where: str, count: int) -> list[int]:
            clause = f"WHERE {where}" if where else ""
            statement = f"SELECT id FROM {NAME} {clause} ORDER BY v <=> :q LIMIT {count}"
            return [row[0] for row in connection.execute(statement, {"q": query.tolist()}).fetchall()]

        client = MilvusClient(str(path))

        def by_hand(query: Floats, where: str, count: int) -> list[int]:
            hits = client.search(
                NAME,
                data=[query],
                anns_field="v",
                filter=where.replace("=", "==") if "=" in where else where,
                limit=count,
                search_params={"metric_type": "COSINE"},
            )
            return [int(hit["id"]) for hit in hits[0]]

        for name, where in FILTERS.items():
            results["sql"][name] = measured(by_sql, base, queries, name, TOP)
            results["pymilvus"][name] = measured(by_hand, base, queries, name, TOP)
            clause = f"WHERE {where}" if where else ""
            plan = connection.execute(
                f"EXPLAIN SELECT id FROM {NAME} {clause} ORDER BY v <=> :q LIMIT {TOP}",
                {"q": queries[0].tolist()},
            ).fetchall()
            results["plans"][name] = next(row[0].strip() for row in plan if "result:" in row[0])
        deep = min(DEEP, len(base))
        few = queries[: options.deep_probes]
        results["sql"][f"LIMIT {deep}"] = measured(by_sql, base, few, "none", deep)
        results["pymilvus"][f"LIMIT {deep}"] = measured(by_hand, base, few, "none", deep)
        client.close()
    ratios = {f"recall@{TOP}, filter {name}": results["sql"][name]["recall"] for name in FILTERS}
    ratios[f"recall@{deep}, LIMIT {deep}"] = results["sql"][f"LIMIT {deep}"]["recall"]
    return {
        "rows": len(base),
        "index": options.index,
        "queries": len(queries),
        "analyzed": options.analyze,
        **results,
        "ratios": ratios,
    }
