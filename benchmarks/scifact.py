"""SQL on Milvus Lite over a judged dataset: nDCG@10 with a shortlist, and the overhead of SQL.

Documents are embedded once and kept in ``--work`` for later runs.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from parts import service
from pymilvus import DataType, MilvusClient

import nestvec
from nestvec.datasets.beir import Dataset, open_dataset
from nestvec.evaluate.metrics.ranking import bootstrap_weights, confidence_interval, per_query_metrics, ratio
from nestvec.milvus.connection import open_milvus
from nestvec.milvus.steps import drive
from nestvec.sql import Session, SessionSettings, execute
from nestvec.sql.bind.params import bind_params
from nestvec.sql.parse.parse import parse
from nestvec.sql.statements.select import plan_select
from nestvec_schemas.repository import read_manifest

TOP, BATCH = 10, 100
NAME = "papers"
QUERY = "SELECT id FROM papers ORDER BY abstract <=> :query LIMIT 10"
FILTERED = "SELECT id FROM papers WHERE id <> :own ORDER BY abstract <=> :query LIMIT 10"


@dataclass(frozen=True)
class Part:
    """The queries to ask, and the numbers of the documents to store."""

    dataset: Dataset
    numbers: frozenset[int]


def limited(dataset: Dataset, queries: int) -> Part:
    """The first queries, their judged documents, and ten more documents a query; 0 queries are all."""
    if not queries:
        return Part(dataset, frozenset(range(dataset.document_count)))
    first = dataset.queries.first(queries)
    judged = {int(number) for row in first.qrels.values() for number in row}
    more = set(range(min(dataset.document_count, 10 * queries)))
    return Part(replace(dataset, queries=first), frozenset(judged | more))


@contextmanager
def stored(options: argparse.Namespace, part: Part) -> Iterator[MilvusClient]:
    """The documents in Milvus Lite with vectors of two lengths, and the service that embeds them."""
    folder = options.work / f"{part.dataset.name}-{len(part.numbers)}-{options.dim}-{options.encoder}"
    folder.mkdir(parents=True, exist_ok=True)
    with (
        service(options.models, options.encoder, "--port", str(options.port)),
        open_milvus(str(folder / "papers.db")) as client,
    ):
        if not client.has_collection(NAME):
            create(client, options)
        client.load_collection(NAME)
        done = int(client.query(NAME, output_fields=["count(*)"])[0]["count(*)"])
        every = (
            {"id": at, "abstract": text}
            for at, text in enumerate(part.dataset.read_corpus())
            if at in part.numbers
        )
        rows = islice(every, done, None)
        while batch := list(islice(rows, BATCH)):
            client.insert(NAME, batch)
            done += len(batch)
            print(f"  {done:,} of {len(part.numbers):,} documents", flush=True)
        yield client


def create(client: MilvusClient, options: argparse.Namespace) -> None:
    schema = client.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("abstract", DataType.VARCHAR, max_length=65535)
    full_dim = read_manifest(options.models / options.encoder).dim
    address = f"http://127.0.0.1:{options.port}"
    nestvec.add_embedding(
        schema,
        "abstract",
        encoder=options.encoder,
        dims=(options.dim, full_dim),
        service=address,
        client=client,
    )
    index = client.prepare_index_params()
    for dim in (options.dim, full_dim):
        index.add_index(f"abstract_{dim}", index_type="FLAT", metric_type="COSINE")
    client.create_collection(NAME, schema=schema, index_params=index)


def scifact(options: argparse.Namespace) -> dict[str, Any]:
    """nDCG@10 with a shortlist ÷ without, query by query the same; and SQL's own cost."""
    part = limited(open_dataset(options.data), options.limit)
    with stored(options, part) as client:
        session = Session()
        analyzed = execute(client, f"ANALYZE {NAME}", session=session)
        measured = [(dim, size, recall) for _, dim, size, recall, *_ in analyzed.rows if size is not None]
        sizes = [size for dim, size, recall in measured if dim == options.dim and recall >= options.recall]
        size = min(sizes, default=max((size for _, size, _ in measured), default=TOP))
        settings = {
            "full": SessionSettings(shortlist="off"),
            f"shortlist {options.dim}:{size}": SessionSettings(shortlist=f"{options.dim}:{size}"),
            "as the planner chooses": SessionSettings(recall=options.recall),
        }
        rankings, spent = search_all(client, part.dataset, settings)
        added = overhead(client, part.dataset.queries.inputs)
    scores = {name: per_query_metrics(part.dataset, rows)["ndcg@10"] for name, rows in rankings.items()}
    weights = bootstrap_weights(len(part.dataset.queries.ids), 0)
    full = scores["full"]
    return {
        "dataset": part.dataset.name,
        "documents": len(part.numbers),
        "queries": len(part.dataset.queries.ids),
        "encoder": options.encoder,
        "nesting": read_manifest(options.models / options.encoder).nesting,
        "shortlist": f"the smallest whose recall@{TOP} in ANALYZE is {options.recall} or more, whatever the "
        "planner holds of its cost",
        "nDCG@10": {name: round(float(of.mean()), 4) for name, of in scores.items()},
        "p50 ms": {name: round(statistics.median(of), 2) for name, of in spent.items()},
        "ratios": {
            f"nDCG@10, {name} ÷ full": round(float(of.mean() / full.mean()), 4)
            for name, of in scores.items()
            if name != "full"
        },
        "95 % intervals": {
            name: [round(one, 4) for one in confidence_interval(ratio(weights @ of, weights @ full))]
            for name, of in scores.items()
            if name != "full"
        },
        f"recall@{TOP} by shortlist, ANALYZE": {f"{dim}:{size}": recall for dim, size, recall in measured},
        "SQL": added,
    }


def search_all(
    client: MilvusClient, dataset: Dataset, settings: dict[str, SessionSettings]
) -> tuple[dict[str, NDArray[np.int64]], dict[str, list[float]]]:
    """The ten rows of every query under each setting, (q, 10) with -1 for none, and the milliseconds."""
    sessions = {name: Session(settings=setting) for name, setting in settings.items()}
    rankings = {name: np.full((len(dataset.queries.ids), TOP), -1, np.int64) for name in settings}
    spent: dict[str, list[float]] = {name: [] for name in settings}
    for line, (text, own) in enumerate(
        zip(dataset.queries.inputs, dataset.queries.own_documents, strict=True)
    ):
        # What the service remembers is remembered for all of them.
        execute(client, QUERY, {"query": text}, session=sessions["full"])
        for name, session in sessions.items():
            started = time.perf_counter()
            statement, parameters = (
                (QUERY, {"query": text}) if own < 0 else (FILTERED, {"query": text, "own": int(own)})
            )
            rows = execute(client, statement, parameters, session=session).rows
            spent[name].append((time.perf_counter() - started) * 1000)
            rankings[name][line, : len(rows)] = [row[0] for row in rows]
    return rankings, spent


def overhead(client: MilvusClient, queries: Sequence[str]) -> dict[str, float]:
    """Medians in ms: a search in SQL, the same by hand, the difference, and parsing and planning alone."""
    session = Session(settings=SessionSettings(shortlist="off"))
    table = drive(client, _table(session))
    column = max(table.embeddings, key=lambda embedding: embedding.dim).column

    def by_hand(text: str) -> object:
        more = {"metric_type": "COSINE"}
        return client.search(
            NAME, data=[text], anns_field=column, limit=TOP, output_fields=["id"], search_params=more
        )

    works: dict[str, Callable[[str], object]] = {
        "by hand": by_hand,
        "SQL": lambda text: execute(client, QUERY, {"query": text}, session=session),
        "parse and plan": lambda text: drive(client, _planned(session, text)),
    }
    spent: dict[str, list[float]] = {name: [] for name in works}
    for text in [*queries[:5], *queries]:
        for name, work in works.items():
            started = time.perf_counter()
            work(text)
            spent[name].append((time.perf_counter() - started) * 1000)
    middle = {f"{name}, p50 ms": round(statistics.median(of[5:]), 3) for name, of in spent.items()}
    pairs = list(zip(spent["SQL"], spent["by hand"], strict=True))[5:]
    middle["SQL ÷ by hand"] = round(statistics.median(sql / hand for sql, hand in pairs), 3)
    middle["SQL - by hand, ms"] = round(statistics.median(sql - hand for sql, hand in pairs), 3)
    return middle


def _planned(session: Session, text: str) -> Any:
    # A text never seen is parsed: trees are remembered.
    statement = QUERY.replace(":query", "'" + text.replace("'", "''") + "'")
    parse.cache_clear()
    return plan_select(session, parse(statement), bind_params(None))


def _table(session: Session) -> Any:
    parsed = parse(QUERY)
    return session.table(parsed.source, parsed.tree.args["from_"].this)
