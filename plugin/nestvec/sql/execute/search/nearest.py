"""Milvus's search by one vector column, wider until it finds all rows that there are."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from nestvec.milvus.steps import Steps, call
from nestvec.sql.bind.query import MAX_SCAN_ROWS
from nestvec.sql.bind.vectors.embed import request_for
from nestvec.sql.bind.vectors.targets import (
    EmbeddedText,
    SearchData,
    Target,
    sent_data,
)
from nestvec.sql.execute.choose_search import ChosenSearch, choose_search, count_groups
from nestvec.sql.execute.exact_scan import ScannedColumn, scan_nearest
from nestvec.sql.execute.highlights import highlighter_of, with_highlights
from nestvec.sql.execute.read import ReadRequest, ids_filter, query_rows, with_dynamic_fields
from nestvec.sql.execute.rows import ScoredRow
from nestvec.sql.execute.search.targets import resolve_targets
from nestvec.sql.execute.timing import note_done
from nestvec.sql.plan.nodes import HybridSearch, VectorSearch
from nestvec.sql.plan.search_method import SearchMethod, by_index, may_scan, widened
from nestvec.sql.session import Session
from nestvec_schemas.errors import ServiceError

logger = logging.getLogger(__name__)

DISTANCE_OF_SCORE: Final[Mapping[str, Callable[[float], float]]] = {
    # Milvus returns a similarity, or the square of the Euclidean distance.
    "COSINE": lambda score: 1.0 - score,
    "IP": lambda score: -score,
    "L2": lambda score: math.sqrt(max(score, 0.0)),
    # Higher is better; Milvus Lite's scores are negative already.
    "BM25": lambda score: -abs(score),
    "HAMMING": lambda score: score,
    "JACCARD": lambda score: score,
}
"""By metric: the distance that the SQL operator returns, from the score that Milvus returns."""


def run_search(session: Session, node: VectorSearch) -> Steps[list[ScoredRow]]:
    """The rows of one search. Raises StoreError, and what ``resolve_targets`` raises."""
    return (yield from search_many(session, node, [node.nearest.target]))[0]


def search_many(
    session: Session, node: VectorSearch, targets: Sequence[Target]
) -> Steps[list[list[ScoredRow]]]:
    """The rows for each of several targets, from one search that is otherwise ``node``."""
    if node.limit <= 0:
        return [[] for _ in targets]
    results = yield from _search_vectors(session, node, targets)
    if not node.null_filter or min(map(len, results)) >= node.limit:
        return results
    return (yield from _add_null_rows(session, node, targets, results))


def _add_null_rows(
    session: Session, node: VectorSearch, targets: Sequence[Target], results: list[list[ScoredRow]]
) -> Steps[list[list[ScoredRow]]]:
    """The results with the rows whose vector is NULL after them, as far as LIMIT and OFFSET reach."""
    end = node.offset + node.limit
    if node.offset:
        results = yield from _search_vectors(session, replace(node, limit=end, offset=0), targets)
    doing = f"reading the rows of {node.collection} without a vector"
    request = ReadRequest(doing, node.collection, node.null_filter, node.fields, session.read_options())
    rows = yield from query_rows(session, request, MAX_SCAN_ROWS if node.group else end)
    nulls = [ScoredRow(row) for row in with_dynamic_fields(session, node.collection, node.fields, rows)]
    return [
        [*nearest, *(_new_groups(node.group, nearest, nulls) if node.group else nulls)][node.offset : end]
        for nearest in results
    ]


def _new_groups(group: str, nearest: list[ScoredRow], nulls: list[ScoredRow]) -> Iterator[ScoredRow]:
    """The first of the rows with each value of a column that no row before them has."""
    values = {row.row[group] for row in nearest}
    for row in nulls:
        if row.row[group] not in values:
            values.add(row.row[group])
            yield row


def _search_vectors(
    session: Session, node: VectorSearch, targets: Sequence[Target]
) -> Steps[list[list[ScoredRow]]]:
    chosen = yield from choose_search(session, node)
    if chosen.method.scan:
        scanned = yield from _scan(session, node, targets, chosen)
        if scanned is not None:
            return scanned
        chosen = replace(chosen, method=by_index(chosen.index, chosen.workload, session.settings.index))
        _note_unreachable(node, chosen)
    search_data = yield from resolve_targets(session, targets)
    if chosen.method.candidates and not node.group and not any(isinstance(data, str) for data in search_data):
        results = yield from _refine(session, node, search_data, chosen)
    else:
        results = yield from _search_index(session, node, search_data, chosen.method)
    # A sparse search returns rows that share an entry with its target, be the index exact or not.
    complete = chosen.method.exact or bool(chosen.index.drop_ratio)
    if complete or min(map(len, results)) >= node.limit:
        return results
    if session.settings.index.iterative_scan == "off":
        return results
    return (yield from _fill(session, node, targets, results))


def _note_unreachable(node: VectorSearch, chosen: ChosenSearch) -> None:
    """Say that the search is not the one of the plan."""
    embedding = chosen.table.embedding(node.nearest.column)
    service = embedding.service if embedding is not None else "the service"
    text = f"{service} does not answer nestvec, only Milvus: {chosen.method.described}"
    note_done(text)
    logger.warning("the search of %s by %s: %s", node.collection, node.nearest.column, text)


def _search_index(
    session: Session, node: VectorSearch, search_data: Sequence[SearchData], method: SearchMethod
) -> Steps[list[list[ScoredRow]]]:
    """The rows of Milvus's search for each target."""
    nearest, highlighting = node.nearest, dict[str, Any]()
    if node.highlight is not None:
        highlighting["highlighter"] = yield from highlighter_of(session, node.highlight)
    hit_lists = yield call(
        f"searching collection {node.collection}",
        "search",
        node.collection,
        data=list(map(sent_data, search_data)),
        anns_field=nearest.column,
        filter=node.filter,
        limit=node.limit,
        output_fields=list(node.fields),
        search_params={
            "metric_type": nearest.metric,
            "offset": node.offset,
            **({"params": dict(method.params)} if method.params else {}),
        },
        **({"group_by_field": node.group} if node.group else {}),
        **highlighting,
        **session.read_options(),
    )
    to_distance = DISTANCE_OF_SCORE[nearest.metric]
    return [scored_rows(session, node, hits, to_distance) for hits in hit_lists]


def _refine(
    session: Session, node: VectorSearch, search_data: Sequence[SearchData], chosen: ChosenSearch
) -> Steps[list[list[ScoredRow]]]:
    """The candidates of a compressed index, in the order of their stored vectors."""
    column, key = chosen.table.column(node.nearest.column), chosen.table.primary.name
    wide = replace(node, fields=(key,), limit=chosen.method.candidates, offset=0)
    candidates = yield from _search_index(session, wide, search_data, chosen.method)
    if column is None:
        return candidates
    scanned, results = ScannedColumn(chosen.table, column, node.nearest.metric), []
    for data, rows in zip(search_data, candidates, strict=True):
        among = replace(node, filter=ids_filter(chosen.table, [row.row[key] for row in rows]))
        results += yield from scan_nearest(session, among, scanned, [data], len(rows))
    return results


def _scan(
    session: Session, node: VectorSearch, targets: Sequence[Target], chosen: ChosenSearch
) -> Steps[list[list[ScoredRow]] | None]:
    """The rows by comparing every vector that matches; None if a text cannot be embedded from here."""
    table, nearest = chosen.table, node.nearest
    column = table.column(nearest.column)
    if column is None:
        return None
    embedding = table.embedding(column.name)
    own_targets: list[Target] = []
    for target in targets:
        if isinstance(target, str):
            if embedding is None:
                return None
            own_targets.append(EmbeddedText(target, request_for(embedding)))
        else:
            own_targets.append(target)
    try:
        queries = yield from resolve_targets(session, own_targets)
    except ServiceError:
        if own_targets == list(targets):
            raise
        # Milvus may reach the service where this process does not.
        return None
    scanned = ScannedColumn(table, column, nearest.metric)
    matching = chosen.workload.matching
    note_done(chosen.method.reason)
    return (yield from scan_nearest(session, node, scanned, queries, matching))


def _fill(
    session: Session, node: VectorSearch, targets: Sequence[Target], results: list[list[ScoredRow]]
) -> Steps[list[list[ScoredRow]]]:
    """The results of a wider search, where one found fewer rows than there are."""
    chosen = yield from choose_search(session, node, fresh=True)
    matching = chosen.workload.matching
    available = (yield from count_groups(session, node)) if node.group else matching
    expected = min(node.limit, max(0, available - node.offset))
    if min(map(len, results)) >= expected:
        return results
    got = min(map(len, results))
    strict = session.settings.index.iterative_scan == "strict_order"
    if strict and may_scan(chosen.index, matching):
        scanned = yield from _scan(session, node, targets, chosen)
        if scanned is not None:
            note_done(f"the index found {got:,} of {expected:,} rows: all vectors that match were compared")
            return scanned
    search_data = yield from resolve_targets(session, targets)
    method = by_index(chosen.index, chosen.workload, session.settings.index)
    while min(map(len, results)) < expected:
        wider = widened(chosen.index, chosen.workload, method)
        if wider is None:
            break
        method = wider
        note_done(f"the index found {min(map(len, results)):,} of {expected:,} rows: {method.reason}")
        results = yield from _search_index(session, node, search_data, method)
    if min(map(len, results)) < expected:
        short = f"the index of {node.nearest.column} found {min(map(len, results)):,} of {expected:,} rows"
        note_done(short)
        logger.warning("%s in %s: its widest search misses rows", short, node.collection)
    return results


def scored_rows(
    session: Session,
    node: VectorSearch | HybridSearch,
    hits: Sequence[Any],
    to_distance: Callable[[float], float],
) -> list[ScoredRow]:
    """Milvus's hits as rows, each with its distance."""
    hits = list(hits)  # pymilvus decodes its rows each time
    rows = with_dynamic_fields(session, node.collection, node.fields, [hit["entity"] for hit in hits])
    if isinstance(node, VectorSearch) and node.highlight is not None:
        rows = with_highlights(node.highlight, hits, rows)
    return [ScoredRow(row, to_distance(float(hit["distance"]))) for row, hit in zip(rows, hits, strict=True)]
