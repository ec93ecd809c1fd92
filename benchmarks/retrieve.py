"""Adaptive retrieval compared with full length in one run: time, recall, build and memory, as JSON.

On the real C++ Milvus 2.3.5, which has one vector field per collection: a short collection gives the
shortlist, and a long one rescores it by ``id in [...]``, as nestvec's planner does within one collection.
The source of the idea is the funnel of Kusupati et al. 2022 (MRL) and Rege et al. 2023 (AdANNS).

    python benchmarks/retrieve.py setup [--venv DIR]
    python benchmarks/retrieve.py milvus --vectors FILE.npy [--rows 1000000] [--work DIR] [--json FILE]
    python benchmarks/retrieve.py reopened --vectors FILE.npy [--queries FILE.npy] [--rows N] [--analyze]
    python benchmarks/retrieve.py scifact --data FOLDER --models models [--encoder minilm] [--limit QUERIES]

Every step is recorded in ``--work``: an interrupted run continues where it stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from mixtures import NOISE, Floats, rotated_mixtures, rotation, unit
from numpy.typing import NDArray
from pymilvus import DataType, MilvusClient
from reopened import reopened
from scifact import scifact
from standalone import files, resident, server, setup

Ints = NDArray[np.int64]

QUERIES, LEARNERS, TOP = 200, 100, 10
"""Held-out queries, further ones to choose the shortlist's size with, and rows per answer."""
LADDER = (10, 20, 50, 100, 200, 400, 800, 1600, 3200, 6400)
TARGET = 0.99
SURE = 1.645
"""Standard errors below the mean of a one-sided 95% interval."""
FITTED = 4000
BATCH = 5000
WARM = "warm"
HNSW = {"M": 16, "efConstruction": 200}


@dataclass(frozen=True)
class Stored:
    """One collection: the first ``dim`` numbers of the first ``rows`` vectors, with one index."""

    name: str
    dim: int
    rows: int
    index: str


@dataclass
class State:
    """The finished steps and their results, in a file."""

    path: Path
    data: dict[str, Any]

    def done(self, key: str, work: Callable[..., Any], *args: object) -> Any:
        """The result of ``work`` for ``args``, from this or an earlier run."""
        if key not in self.data:
            started = time.perf_counter()
            print(f"{key} …", flush=True)
            value = work(*args)
            self.keep(key, value)
            print(f"{key}: {value} ({time.perf_counter() - started:.1f} s)", flush=True)
        return self.data[key]

    def keep(self, key: str, value: Any) -> None:
        self.data[key] = value
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps(self.data, indent=1))
        fresh.replace(self.path)


@dataclass
class Run:
    """A run's options, vectors and state."""

    options: argparse.Namespace
    base: Floats
    queries: Floats
    learners: Floats
    state: State


def prepared(options: argparse.Namespace, state: State) -> Run:
    """The run's vectors, created once."""
    real = unit(np.load(options.vectors))
    real = real[np.random.default_rng(0).permutation(len(real))]
    held_out, real_rows = real[: QUERIES + LEARNERS], real[QUERIES + LEARNERS :]
    turn = rotation(options.work / "rotation.npy", real_rows[:FITTED], options.dim)
    base = rotated_mixtures(options.work / "base.npy", real_rows, turn, options.rows)
    queries = unit(held_out @ turn)
    return Run(options, base, queries[:QUERIES], queries[QUERIES:], state)


def insert(run: Run, client: MilvusClient, stored: Stored) -> int:
    """Write a collection's rows, from where an earlier run stopped."""
    key = f"inserted {stored.name}"
    start = int(run.state.data.get(key, 0))
    if start == 0:
        client.drop_collection(stored.name)
        schema = client.create_schema()
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("v", DataType.FLOAT_VECTOR, dim=stored.dim)
        client.create_collection(stored.name, schema=schema)
    while start < stored.rows:
        end = min(start + BATCH, stored.rows)
        block = unit(np.asarray(run.base[start:end, : stored.dim]))
        client.insert(stored.name, [{"id": start + at, "v": row} for at, row in enumerate(block)])
        run.state.keep(key, start := end)
        if start % (BATCH * 10) == 0:
            print(f"  {stored.name}: {start:,} of {stored.rows:,} rows", flush=True)
    client.flush(stored.name)
    return stored.rows


def build(run: Run, client: MilvusClient, stored: Stored) -> tuple[float, float]:
    """Seconds until every row is indexed, and MB of index files."""
    before = files(run.options.work)
    params = client.prepare_index_params()
    more = HNSW if stored.index == "HNSW" else {}
    params.add_index("v", index_name="v", index_type=stored.index, metric_type="COSINE", params=more)
    started = last_print = time.perf_counter()
    client.create_index(stored.name, params, sync=False)
    while True:
        index_state = client.describe_index(stored.name, "v")
        if str(index_state.get("state")) == "Finished" and not int(index_state.get("pending_index_rows", 0)):
            seconds = round(time.perf_counter() - started, 2)
            return seconds, round((files(run.options.work) - before) / 2**20, 1)
        if time.perf_counter() - last_print > 30:
            last_print = time.perf_counter()
            print(f"  {stored.name}: {index_state.get('pending_index_rows')} rows to index", flush=True)
        time.sleep(0.2)


def loaded(run: Run, stored: Stored, *, mapped: bool) -> float:
    """MB of memory that a collection takes, in a fresh process that has loaded another index before.

    Fresh, because memory that building or another load has freed would hide it.
    """
    with server(run.options.venv, run.options.work, mapped=mapped) as (client, process):
        client.load_collection(WARM)
        before = resident(process)
        client.load_collection(stored.name)
        megabytes = resident(process) - before
        for name in (WARM, stored.name):
            client.release_collection(name)
    return round(megabytes, 1)


def search(
    client: MilvusClient, name: str, query: Floats, limit: int, where: str = "", ef: int = 0
) -> list[int]:
    more = {"ef": max(ef, limit)} if ef else {}
    hits = client.search(
        name,
        data=[query],
        anns_field="v",
        limit=limit,
        filter=where,
        search_params={"metric_type": "COSINE", "params": more},
        consistency_level="Eventually",
    )
    return [int(hit["id"]) for hit in hits[0]]


def adaptive(client: MilvusClient, short: Stored, full: Stored, size: int, query: Floats) -> list[int]:
    """As nestvec's Rescore node: a shortlist by short vectors, then its best rows by full-length ones."""
    ids = search(client, short.name, unit(query[None, : short.dim])[0], size, ef=64 * (short.index == "HNSW"))
    return search(client, full.name, query, TOP, f"id in {ids}")


def truth(run: Run, queries: Floats) -> Ints:
    """The exact nearest rows, (queries, TOP): numpy, float32."""
    best = np.full((len(queries), TOP), -np.inf, np.float32)
    numbers = np.zeros((len(queries), TOP), np.int64)
    for start in range(0, run.options.rows, 50_000):
        scores = queries @ np.asarray(run.base[start : start + 50_000]).T
        rows = np.argsort(-scores, axis=1)[:, :TOP] if scores.shape[1] < TOP else _top(scores)
        similarities = np.concatenate([best, np.take_along_axis(scores, rows, 1)], 1)
        names = np.concatenate([numbers, rows + start], 1)
        order = np.argsort(-similarities, axis=1, kind="stable")[:, :TOP]
        best, numbers = np.take_along_axis(similarities, order, 1), np.take_along_axis(names, order, 1)
    return numbers


def _top(scores: Floats) -> Ints:
    return np.argpartition(-scores, TOP - 1, axis=1)[:, :TOP]


def recalls(rankings: Sequence[Sequence[int]], exact: Ints) -> list[float]:
    """The share of each query's exact answer that was found."""
    return [len(set(ids) & set(map(int, row))) / TOP for ids, row in zip(rankings, exact, strict=True)]


def chosen(run: Run, client: MilvusClient, short: Stored, full: Stored) -> dict[str, list[float]]:
    """Recall and its lower bound by the shortlist's size, up to the first whose bound reaches the target.

    On queries of its own. The bound is the lower end of a one-sided 95 % interval: a mean that just reaches
    the target on some queries misses it on others half of the time.
    """
    exact, recall_by_size = truth(run, run.learners), {}
    for size in LADDER:
        shares = recalls([adaptive(client, short, full, size, query) for query in run.learners], exact)
        mean, spread = statistics.fmean(shares), statistics.stdev(shares) / len(shares) ** 0.5
        recall_by_size[str(size)] = [round(mean, 4), round(mean - SURE * spread, 4)]
        print(
            f"  {short.name}, {size}: recall {mean:.4f}, at least {recall_by_size[str(size)][1]}", flush=True
        )
        if recall_by_size[str(size)][1] >= TARGET:
            return recall_by_size
    raise SystemExit(f"no shortlist up to {LADDER[-1]} is sure of recall {TARGET} by {short.dim} dims")


Contender = Callable[[Floats], list[int]]


def timed(contenders: dict[str, Contender], queries: Floats, exact: Ints) -> dict[str, dict[str, float]]:
    """One round, contenders in turn for each query: p50 and p95 in ms, and recall."""
    spent: dict[str, list[float]] = {name: [] for name in contenders}
    rankings: dict[str, list[list[int]]] = {name: [] for name in contenders}
    for query in queries:
        for name, work in contenders.items():
            started = time.perf_counter()
            rows = work(query)
            spent[name].append((time.perf_counter() - started) * 1000)
            rankings[name].append(rows)
    return {
        name: {
            "p50 ms": round(statistics.median(of), 2),
            "p95 ms": round(float(np.quantile(of, 0.95)), 2),
            "recall": round(statistics.fmean(recalls(rankings[name], exact)), 4),
        }
        for name, of in spent.items()
    }


def collections(options: argparse.Namespace) -> tuple[list[Stored], list[Stored]]:
    """The collections for time, and the smaller ones for memory and build."""
    rows, small, dim = options.rows, min(options.hnsw_rows, options.rows), options.dim
    timed_ones = [Stored("full", 384, rows, "FLAT"), Stored("short", dim, rows, "FLAT")]
    if options.short_hnsw:
        timed_ones.append(Stored("short_hnsw", dim, rows, "HNSW"))
    return timed_ones, [
        Stored(WARM, 384, min(small, 2000), "HNSW"),
        Stored("small_short_hnsw", dim, small, "HNSW"),
        Stored("small_full", 384, small, "FLAT"),
        Stored("small_full_hnsw", 384, small, "HNSW"),
    ]


def milvus(options: argparse.Namespace) -> dict[str, Any]:
    """All steps on Milvus 2.3.5."""
    options.work /= f"{options.rows}-{options.dim}-{options.hnsw_rows}"
    options.work.mkdir(parents=True, exist_ok=True)
    path = options.work / "state.json"
    run = prepared(options, State(path, json.loads(path.read_text()) if path.exists() else {}))
    done, (large, small) = run.state.done, collections(options)
    with server(options.venv, options.work) as (client, _):
        for stored in (*small, *large):
            done(f"rows of {stored.name}", insert, run, client, stored)
            done(f"build of {stored.name}, s and MB", build, run, client, stored)
        for stored in (*small, *large):
            client.release_collection(stored.name)
    memory = {}
    for collection in small[1:]:
        for mapped in (False, True) if collection.index == "FLAT" else (False,):
            name = f"{collection.name}, mapped" if mapped else collection.name
            memory[name] = done(f"memory of {name}, MB", partial(loaded, mapped=mapped), run, collection)
    with server(options.venv, options.work) as (client, _):
        for stored in large:
            client.load_collection(stored.name)
        full, shorts = large[0], large[1:]
        ladder = {
            collection.name: done(f"ladder of {collection.name}", chosen, run, client, collection, full)
            for collection in shorts
        }
        contenders: dict[str, Contender] = {"exact": lambda query: search(client, full.name, query, TOP)}
        for collection in shorts:
            size = int(list(ladder[collection.name])[-1])
            contenders[f"adaptive, {collection.index} {collection.dim}"] = partial(
                adaptive, client, collection, full, size
            )
        exact = truth(run, run.queries)
        timed(contenders, run.queries[:20], exact[:20])
        rounds = []
        for number in range(options.rounds):
            rounds.append(timed(contenders, run.queries, exact))
            print(f"round {number + 1}: {rounds[-1]}", flush=True)
    return reported(run, memory, ladder, rounds)


def reported(
    run: Run,
    memory: dict[str, float],
    ladder: dict[str, dict[str, list[float]]],
    rounds: list[dict[str, dict[str, float]]],
) -> dict[str, Any]:
    state, options = run.state.data, run.options
    names = list(rounds[0])

    def middle(name: str, of: str) -> float:
        return round(statistics.median(one[name][of] for one in rounds), 4)

    ratios = {
        f"{name} ÷ exact, p50": round(
            statistics.median(one[name]["p50 ms"] / one["exact"]["p50 ms"] for one in rounds), 3
        )
        for name in names[1:]
    }
    short, raw, long = "small_short_hnsw", "small_full", "small_full_hnsw"
    build_s = {one: state[f"build of {one}, s and MB"][0] for one in (short, raw, long)}
    sizes = {one: state[f"build of {one}, s and MB"][1] for one in (short, raw, long)}
    ratios["build, adaptive ÷ full HNSW"] = round((build_s[short] + build_s[raw]) / build_s[long], 3)
    ratios["index files, adaptive ÷ full HNSW"] = round((sizes[short] + sizes[raw]) / sizes[long], 3)
    on_disk, in_memory = memory[short] + memory[f"{raw}, mapped"], memory[short] + memory[raw]
    ratios["memory, adaptive ÷ full HNSW"] = round(on_disk / memory[long], 3)
    ratios["the same, long vectors in memory"] = round(in_memory / memory[long], 3)
    real = min(len(np.load(options.vectors, mmap_mode="r")) - QUERIES - LEARNERS, options.rows)
    return {
        "server": "Milvus 2.3.5 (PyPI milvus 2.3.5), standalone",
        "rows": options.rows,
        "vectors": f"{real:,} real (all-MiniLM-L6-v2), {options.rows - real:,} mixtures of two real "
        f"ones with noise of length {NOISE}; rotated, learned on {FITTED:,} real ones",
        "queries": f"{QUERIES} held-out real vectors",
        "shortlist": f"the smallest of {LADDER} whose recall@{TOP} is {TARGET} or more by the lower end of a "
        f"one-sided 95 % interval over {LEARNERS} other real vectors",
        "hnsw": {"rows": min(options.hnsw_rows, options.rows), **HNSW},
        "how memory": "index files: their bytes on disk; memory: RssAnon of a fresh server before and after "
        "a load, one small index loaded before; the adaptive setting is HNSW on the short vectors and no "
        "index on the long ones, which lie in mapped files, or in memory where it says so",
        "rounds": len(rounds),
        "medians": {name: {of: middle(name, of) for of in rounds[0][name]} for name in names},
        "ratios": ratios,
        "ladder": ladder,
        "build s": build_s,
        "index files MB": sizes,
        "memory MB": memory,
        "all rounds": rounds,
    }


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("part", choices=["setup", "milvus", "reopened", "scifact"])
    parser.add_argument("--venv", type=Path, default=Path("/tmp/w/venv-milvus"))
    parser.add_argument("--work", type=Path, default=Path(".cache/retrieve"), help="state and data of a run")
    parser.add_argument("--vectors", type=Path, help="real vectors, (n, 384) float32, .npy")
    parser.add_argument("--rows", type=int, help="default: 1,000,000 for milvus, all for reopened")
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--hnsw-rows", type=int, default=100_000, help="rows of the build and memory ratios")
    parser.add_argument("--short-hnsw", action="store_true", help="time a shortlist by HNSW as well")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", type=Path, help="a dataset in BEIR's layout, for scifact")
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--queries", type=Path, help="vectors of queries, .npy, for reopened")
    parser.add_argument("--probes", type=int, default=200, help="queries of reopened")
    parser.add_argument("--deep-probes", type=int, default=5, help="queries of reopened with a deep LIMIT")
    parser.add_argument("--index", default="HNSW", help="index of reopened")
    parser.add_argument("--analyze", action="store_true", help="run ANALYZE before the searches of reopened")
    parser.add_argument("--recall", type=float, default=TARGET, help="required of scifact's shortlist")
    parser.add_argument(
        "--port", type=int, default=18_380, help="of scifact's service, the same in every run"
    )
    parser.add_argument(
        "--limit", type=int, default=0, help="queries of scifact, for a quick look; 0 for all"
    )
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/retrieve.json"))
    return parser.parse_args()


def main() -> None:
    options = parse_arguments()
    if options.part == "setup":
        setup(options.venv)
        return
    needed = {"milvus": "vectors", "reopened": "vectors", "scifact": "data"}[options.part]
    if getattr(options, needed) is None:
        raise SystemExit(f"--{needed} is needed")
    options.work = options.work.absolute()
    report: dict[str, Any] = {
        "date": date.today().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
    }
    if options.part == "milvus" and options.rows is None:
        options.rows = 1_000_000
    report |= {"milvus": milvus, "reopened": reopened, "scifact": scifact}[options.part](options)
    existing = json.loads(options.json.read_text()) if options.json.exists() else {}
    if options.part == "reopened":
        # Several collections are kept side by side.
        label = f"{options.vectors.stem}, {report['rows']:,} rows, {options.index}"
        report = {**existing.get("reopened", {}), label: report, "ratios": report["ratios"]}
    options.json.write_text(
        json.dumps(existing | {options.part: report}, indent=1, ensure_ascii=False) + "\n"
    )
    for name, value in report["ratios"].items():
        print(f"{name:>44}: {value:8.3f}")


if __name__ == "__main__":
    main()
