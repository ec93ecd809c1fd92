"""A sparse encoder on a judged dataset: by SQL on Milvus Lite, exactly, and compared with BM25.

    python benchmarks/sparse.py --data FOLDER --models models [--sparse splade] [--dense minilm] [--json FILE]

The documents are embedded once and kept in ``--work``. Exactly means all inner products of the stored
weights; ``top n`` keeps only the n largest weights of each document. nDCG@10 by trec_eval.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from parts import service
from pymilvus import MilvusClient

import nestvec
from nestvec.client.http import EmbeddingRequest
from nestvec.client.service_client import embed_weights
from nestvec.datasets.beir import Dataset, open_dataset
from nestvec.evaluate.metrics.ranking import bootstrap_weights, confidence_interval, per_query_metrics
from nestvec.evaluate.search.postings import build_postings, search_postings
from nestvec.milvus.connection import open_milvus
from nestvec.service.batching.outputs import SPARSE_DTYPE, top_weights
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.preprocessing.collate import Array
from nestvec_schemas.repository import read_manifest

TOP, BATCH, FETCHED = 10, 100, 1000
KEPT = (256, 128, 64, 32)

RANKINGS = {
    "sparse": "lex <#> :q",
    "BM25": "body <@> :q",
    "dense": "v <=> :q",
    "RRF of sparse and BM25": "RRF(lex <#> :q, body <@> :q) DESC",
    "RRF of sparse and dense": "RRF(lex <#> :q, v <=> :q) DESC",
    "RRF of BM25 and dense": "RRF(body <@> :q, v <=> :q) DESC",
}
"""The ORDER BY expressions."""

Found = NDArray[np.int64]
Weights = Mapping[int, float]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--sparse", default="splade")
    parser.add_argument("--dense", default="minilm")
    parser.add_argument("--work", type=Path, default=Path(".cache/sparse"))
    parser.add_argument("--port", type=int, default=18090)
    parser.add_argument("--limit", type=int, default=0, help="number of queries; 0 for all")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    result = measure_dataset(options, limited(open_dataset(options.data), options.limit))
    print(json.dumps(result, indent=1))
    if options.json:
        there = json.loads(options.json.read_text()) if options.json.exists() else {}
        options.json.write_text(json.dumps({**there, result["dataset"]: result}, indent=1) + "\n")


def limited(dataset: Dataset, queries: int) -> Dataset:
    """The first queries, over all documents."""
    return replace(dataset, queries=dataset.queries.first(queries)) if queries else dataset


def measure_dataset(options: argparse.Namespace, dataset: Dataset) -> dict[str, Any]:
    folder = options.work / f"sparse-{dataset.name}-{options.sparse}-{options.dense}"
    folder.mkdir(parents=True, exist_ok=True)
    address = f"http://127.0.0.1:{options.port}"
    with (
        service(options.models, options.sparse, "--encoder", options.dense, "--port", str(options.port)),
        nestvec.connect(str(folder / "papers.db"), service=address) as connection,
        open_milvus(str(folder / "papers.db")) as client,
    ):
        cursor = connection.cursor()
        filled = fill(cursor, dataset, options)
        rankings, spent = search_all(cursor, dataset)
        queries = embed_weights(
            EmbeddingRequest(address, EmbeddingConfig(options.sparse, form="sparse")),
            dataset.queries.inputs,
            query=True,
        )
        stored = read(client, dataset)
    exact = {"exactly": ranked(queries, stored, dataset, None)}
    exact |= {f"exactly, top {n}": ranked(queries, stored, dataset, n) for n in KEPT}
    scores = {
        name: per_query_metrics(dataset, rows)["ndcg@10"] for name, rows in {**rankings, **exact}.items()
    }
    weights = bootstrap_weights(len(dataset.queries.ids), 0)
    return {
        "date": str(date.today()),
        "machine": "2 cores, shared with other work: times are rough",
        "dataset": dataset.name,
        "documents": dataset.document_count,
        "queries": len(dataset.queries.ids),
        "encoder": read_manifest(options.models / options.sparse).source,
        "words of a document": round(statistics.mean(map(len, stored)), 1),
        "words of a query": round(statistics.mean(map(len, queries)), 1),
        "nDCG@10": {name: round(float(of.mean()), 4) for name, of in scores.items()},
        "95 % interval of sparse less BM25": [
            round(bound, 4) for bound in confidence_interval(weights @ (scores["sparse"] - scores["BM25"]))
        ],
        "same first ten, SQL and exactly": round(overlap(rankings["sparse"], exact["exactly"]), 4),
        "p50 ms": spent,
        **filled,
    }


def fill(cursor: Any, dataset: Dataset, options: argparse.Namespace) -> dict[str, Any]:
    """Insert every document into one table; documents per second."""
    dim = read_manifest(options.models / options.dense).dim
    cursor.execute(
        "CREATE TABLE IF NOT EXISTS papers (id BIGINT PRIMARY KEY, body TEXT, "
        f"lex SPARSEVEC GENERATED ALWAYS AS (EMBED(body, '{options.sparse}')) STORED, "
        f"v VECTOR({dim}) GENERATED ALWAYS AS (EMBED(body, '{options.dense}')) STORED, "
        "words SPARSEVEC GENERATED ALWAYS AS (BM25(body)) STORED)"
    )
    cursor.execute("SELECT count(*) FROM papers")
    done, started = int(cursor.fetchone()[0]), time.perf_counter()
    already_done = done
    rows = islice(enumerate(dataset.read_corpus()), done, None)
    while batch := list(islice(rows, BATCH)):
        batch_rows = [{"id": at, "body": text or "."} for at, text in batch]
        cursor.executemany("INSERT INTO papers (id, body) VALUES (:id, :body)", batch_rows)
        done += len(batch)
        print(f"  {done:,} of {dataset.document_count:,} documents", flush=True)
    if already_done:
        return {}
    return {"documents a second, sparse and dense and BM25": round(done / (time.perf_counter() - started), 1)}


def search_all(cursor: Any, dataset: Dataset) -> tuple[dict[str, Found], dict[str, float]]:
    """The first ten of each query by each ranking, in turns, and the median times."""
    rankings = {name: np.full((len(dataset.queries.ids), TOP), -1, np.int64) for name in RANKINGS}
    spent: dict[str, list[float]] = {name: [] for name in RANKINGS}
    for line, query in enumerate(dataset.queries.inputs):
        for name, order in RANKINGS.items():
            started = time.perf_counter()
            cursor.execute(f"SELECT id FROM papers ORDER BY {order} LIMIT {TOP}", {"q": query})
            ids = [row[0] for row in cursor.fetchall()]
            spent[name].append(time.perf_counter() - started)
            rankings[name][line, : len(ids)] = ids
    return rankings, {name: round(statistics.median(of) * 1000, 1) for name, of in spent.items()}


def read(client: MilvusClient, dataset: Dataset) -> list[Weights]:
    """The stored weights of every document, in order."""
    rows: dict[int, Weights] = {}
    for start in range(0, dataset.document_count, FETCHED):
        where = f"id >= {start} and id < {start + FETCHED}"
        for row in client.query("papers", filter=where, output_fields=["lex"]):
            rows[row["id"]] = row["lex"]
    return [rows[at] for at in range(dataset.document_count)]


def ranked(queries: Sequence[Weights], stored: Sequence[Weights], dataset: Dataset, top: int | None) -> Found:
    """The ten documents with the largest inner products, among those that share a word with the query."""
    largest = [top_weights(array(weights), top) for weights in stored]
    words = 1 + max(max(weights, default=0) for weights in (*queries, *stored))
    return search_postings(
        build_postings(largest, words),
        [array(weights) for weights in queries],
        min(TOP, dataset.document_count),
    )


def array(weights: Weights) -> Array:
    """Weights as the service returns them, in the order of their words."""
    return np.array(sorted(weights.items()), SPARSE_DTYPE)


def overlap(left: Found, right: Found) -> float:
    return float(np.mean([len(set(a) & set(b)) / TOP for a, b in zip(left, right, strict=True)]))


if __name__ == "__main__":
    main()
