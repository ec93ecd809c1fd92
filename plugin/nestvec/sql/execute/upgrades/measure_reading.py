"""Measures what finds more while the encoder of a column is upgraded: its old vectors, or fused ones."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from nestvec.milvus.catalog import EmbeddingColumn, Table
from nestvec.milvus.fingerprints import RecordedUpgrade
from nestvec.milvus.steps import BlockingCall, Steps, call
from nestvec.sql.bind.vectors.distance import DistanceRanking
from nestvec.sql.bind.vectors.embed import request_for
from nestvec.sql.bind.vectors.targets import EmbeddedText
from nestvec.sql.execute.choose_search import count_matching
from nestvec.sql.execute.sampling import sample_queries
from nestvec.sql.execute.upgrades.dual_reading import run_vector_search
from nestvec.sql.plan.nodes import VectorSearch
from nestvec.sql.plan.reading_statistics import Reading, ReadingStatistics
from nestvec.sql.session import Session

QUERIES: Final = 100
_NEIGHBOURS: Final = 10


def measure_reading(session: Session, table: Table, column: str) -> Steps[ReadingStatistics | None]:
    """What both readings find of the rows that the queries were taken from; None where no upgrade makes the
    column's vectors anew, or none are there yet.

    Queries are sentences of rows, each embedded as a statement's text is. Raises StoreError, ServiceError.
    """
    embedding = table.embedding(column)
    upgrade = None if embedding is None else embedding.upgrade
    if embedding is None or upgrade is None or upgrade.target is None:
        return None
    yield from session.ensure_served([embedding.service])
    copied = yield from _copied_rows(session, upgrade)
    if not copied:
        return None
    sampled = yield BlockingCall(
        partial(sample_queries, table=table, source=embedding.source, queries=QUERIES)
    )
    if not sampled.queries:
        return None
    readings = {}
    for switch in ("off", "on"):
        reading = _with_dual_reading(session, switch)
        readings[switch] = yield from _measure(reading, table, embedding, sampled.queries, sampled.keys)
    return ReadingStatistics(
        column=column,
        encoder=upgrade.encoder,
        target=upgrade.target,
        started=upgrade.started,
        rows=sampled.rows,
        copied=copied,
        queries=len(sampled.queries),
        old=readings["off"],
        fused=readings["on"],
    )


def _copied_rows(session: Session, upgrade: RecordedUpgrade) -> Steps[int]:
    """Rows that have new vectors; 0 if there is no such collection."""
    target = upgrade.target or ""
    there = yield call(f"looking for {target}", "has_collection", target)
    if not there:
        return 0
    yield from session.ensure_loaded(target)
    return (yield from count_matching(session, target, "", fresh=True))


def _with_dual_reading(session: Session, switch: str) -> Session:
    """The session with another setting of dual reading."""
    reading = copy.copy(session)
    index = replace(session.settings.index, dual_reading=switch)
    reading.settings = replace(session.settings, index=index)
    return reading


def _measure(
    session: Session, table: Table, embedding: EmbeddingColumn, queries: Sequence[str], keys: Sequence[Any]
) -> Steps[Reading]:
    key, metric, request = table.primary.name, table.metrics[embedding.column], request_for(embedding)
    ranks: list[int | None] = []
    for query, own_key in zip(queries, keys, strict=True):
        ranking = DistanceRanking(embedding.column, metric, EmbeddedText(query, request))
        node = VectorSearch(table.name, ranking, "", (key,), _NEIGHBOURS)
        rows = yield from run_vector_search(session, node)
        nearest = [row.row[key] for row in rows]
        ranks.append(nearest.index(own_key) if own_key in nearest else None)
    places = [rank for rank in ranks if rank is not None]
    return Reading(
        recall=len(places) / len(ranks), reciprocal_rank=sum(1 / (rank + 1) for rank in places) / len(ranks)
    )
