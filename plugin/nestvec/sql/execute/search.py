"""Searches: their targets as vectors, Milvus's search by one column, and its hybrid search by several."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from pymilvus import AnnSearchRequest, MilvusClient

from nestvec.client.http import EmbeddingRequest
from nestvec.client.service_client import embed
from nestvec.client.service_key import environment_api_key
from nestvec.milvus.steps import BlockingCall, Steps, call
from nestvec.sql.bind.query import MAX_WINDOW
from nestvec.sql.bind.vectors.embed import request_for
from nestvec.sql.bind.vectors.targets import (
    EmbeddedText,
    SearchData,
    ShortLiteral,
    SparseLiteral,
    StoredVector,
    Target,
    Term,
    VectorLiteral,
    VectorSum,
    sent_data,
)
from nestvec.sql.execute.choose_search import ChosenSearch, choose_search, count_groups, count_matching
from nestvec.sql.execute.exact_scan import ScannedColumn, scan_nearest
from nestvec.sql.execute.highlights import highlighter_of, with_highlights
from nestvec.sql.execute.rankers import boosted_limit, hybrid_ranker, search_ranker
from nestvec.sql.execute.read import ReadRequest, ids_filter, query_rows, with_dynamic_fields
from nestvec.sql.execute.rows import ScoredRow
from nestvec.sql.execute.timing import note_done
from nestvec.sql.plan.filter import render_filter
from nestvec.sql.plan.nodes import HybridSearch, VectorSearch
from nestvec.sql.plan.search_method import SearchMethod, by_index, may_scan, widened
from nestvec.sql.session import Session
from nestvec_schemas.errors import ServiceError, SqlTypeMismatch
from nestvec_schemas.vectors import Vectors

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
    return [_scored_rows(session, node, hits, to_distance) for hits in hit_lists]


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


def _scored_rows(
    session: Session,
    node: VectorSearch | HybridSearch,
    hits: Sequence[Any],
    to_distance: Callable[[float], float],
) -> list[ScoredRow]:
    hits = list(hits)  # pymilvus decodes its rows each time
    rows = with_dynamic_fields(session, node.collection, node.fields, [hit["entity"] for hit in hits])
    if isinstance(node, VectorSearch) and node.highlight is not None:
        rows = with_highlights(node.highlight, hits, rows)
    return [ScoredRow(row, to_distance(float(hit["distance"]))) for row, hit in zip(rows, hits, strict=True)]


def run_hybrid(session: Session, node: HybridSearch) -> Steps[list[ScoredRow]]:
    """The fused rows of several searches; their ``distance`` is the score, where higher is better."""
    if node.limit <= 0:
        return []
    search_data = yield from resolve_targets(session, [part.nearest.target for part in node.parts])
    chosen: list[ChosenSearch] = []
    for part in node.parts:
        chosen.append((yield from choose_search(session, part, own_rows=False)))
    rows = yield from _search_parts(session, node, search_data, chosen)
    vector_parts = [search for search in chosen if not search.index.kind.exact]
    fewest = min(node.limit, max(part.limit for part in node.parts) - node.offset)
    while vector_parts and len(rows) < fewest and session.settings.index.iterative_scan != "off":
        # Each part finds its own limit of rows where that number exists, so at least as many exist in all.
        matching = yield from count_matching(session, node.collection, node.filter, fresh=True)
        if len(rows) >= min(fewest, max(0, matching - node.offset)):
            break
        wider = [
            replace(search, method=widened(search.index, search.workload, search.method) or search.method)
            for search in chosen
        ]
        if wider == chosen:
            short = f"the indexes found {len(rows):,} of {matching:,} rows"
            note_done(short)
            logger.warning("%s of %s", short, node.collection)
            break
        chosen = wider
        note_done(f"the indexes found {len(rows):,} of {matching:,} rows: widened")
        rows = yield from _search_parts(session, node, search_data, chosen)
    return rows


def _search_parts(
    session: Session,
    node: HybridSearch,
    search_data: Sequence[SearchData],
    chosen: Sequence[ChosenSearch],
) -> Steps[list[ScoredRow]]:
    """The rows of Milvus's hybrid search, or of its search where there are boosts."""
    if node.boosts is not None:
        return (yield from _search_boosted(session, node, search_data[0], chosen[0]))
    ranker = yield from hybrid_ranker(session, node)
    parts = zip(node.parts, search_data, chosen, strict=True)
    hit_lists = yield call(
        f"searching collection {node.collection}",
        "hybrid_search",
        node.collection,
        [_request(part, data, search.method) for part, data, search in parts],
        ranker,
        limit=node.limit,
        output_fields=list(node.fields),
        offset=node.offset,
        **session.read_options(),
    )
    return _scored_rows(session, node, hit_lists[0], float)


def _search_boosted(
    session: Session, node: HybridSearch, data: SearchData, chosen: ChosenSearch
) -> Steps[list[ScoredRow]]:
    """The rows of a search whose scores Milvus changes: it ignores boosts of a hybrid search."""
    (part,) = node.parts
    request = _request(part, data, chosen.method)
    hit_lists = yield call(
        f"searching collection {node.collection}",
        "search",
        node.collection,
        data=[sent_data(data)],
        anns_field=request.anns_field,
        filter=part.filter,
        limit=(yield from boosted_limit(session, node)),
        output_fields=list(node.fields),
        search_params=request.param,
        ranker=(yield from search_ranker(session, node)),
        **session.read_options(),
    )
    # Milvus Lite's scores by words are negative, unless another ranker follows.
    negative = part.nearest.metric == "BM25" and node.reranker is None and (yield from session.is_lite())
    rows = _scored_rows(session, node, hit_lists[0], (lambda score: -score) if negative else float)
    return rows[node.offset : node.offset + node.limit]


def _request(part: VectorSearch, search_data: SearchData, method: SearchMethod) -> AnnSearchRequest:
    param: dict[str, Any] = {"metric_type": part.nearest.metric}
    if method.params:
        param["params"] = dict(method.params)
    return AnnSearchRequest(
        [sent_data(search_data)], part.nearest.column, param, part.limit, expr=part.filter
    )


def resolve_targets(session: Session, targets: Sequence[Target]) -> Steps[list[SearchData]]:
    """What Milvus is sent for each target; the texts of one encoder are embedded in one request.

    Raises SqlTypeMismatch if a subquery does not have one row or a sum has no direction; StoreError,
    ServiceError.
    """
    if all(isinstance(target, tuple) for target in targets):
        return [_search_data(target, {}) for target in targets]
    terms = list(dict.fromkeys(_terms(targets)))
    embedded = [term for term in terms if isinstance(term, EmbeddedText)]
    vectors: dict[Term, Any] = {
        term: np.asarray(term.vector, np.float32) for term in terms if isinstance(term, VectorLiteral)
    }
    if embedded:
        yield from session.ensure_served(dict.fromkeys(term.request.service for term in embedded))
        vectors |= yield BlockingCall(lambda client: _embed_texts(client, embedded))
    for term in terms:
        if isinstance(term, StoredVector):
            vectors[term] = yield from _read_stored(session, term)
    return [_search_data(target, vectors) for target in targets]


def _terms(targets: Iterable[Target]) -> Iterator[Term]:
    for target in targets:
        if isinstance(target, VectorSum):
            yield from (term for _, term in target.terms)
        elif isinstance(target, EmbeddedText):
            yield target


def _embed_texts(client: MilvusClient, embedded: Sequence[EmbeddedText]) -> dict[EmbeddedText, Any]:
    """The vectors, binary codes or sparse weights of texts: one request per encoder."""
    by_request: dict[EmbeddingRequest, list[EmbeddedText]] = {}
    for term in embedded:
        by_request.setdefault(term.request, []).append(term)
    vectors: dict[EmbeddedText, Any] = {}
    for request, group in by_request.items():
        answers = embed(request, [term.text for term in group], environment_api_key(), query=True)
        vectors.update(zip(group, answers, strict=True))
    return vectors


def _read_stored(session: Session, term: StoredVector) -> Steps[Vectors]:
    yield from session.ensure_loaded(term.collection)
    doing = f"querying collection {term.collection}"
    request = ReadRequest(
        doing, term.collection, render_filter(term.where), (term.column,), session.read_options()
    )
    rows = yield from query_rows(session, request, MAX_WINDOW + 1 if term.aggregate else 2)
    named = f"{term.collection}.{term.column}"
    if len(rows) > MAX_WINDOW or (not term.aggregate and len(rows) != 1):
        most = f"at most {MAX_WINDOW:,} rows" if term.aggregate else "exactly one row"
        raise SqlTypeMismatch(
            f"the subquery for a vector of {named} must return {most}",
            value="none" if not rows else "more" if term.aggregate else "several",
            next_step="Select one row by its primary key, or combine several with avg() or sum().",
        )
    vectors = [row[term.column] for row in rows if row[term.column] is not None]
    if not vectors:
        raise SqlTypeMismatch(
            f"the subquery returns no vector of {named}", value="NULL", next_step="Select other rows."
        )
    summed = np.asarray(vectors, np.float64).sum(axis=0)
    vector: Vectors = (summed / len(vectors) if term.aggregate == "avg" else summed).astype(np.float32)
    return vector


def _search_data(target: Target, vectors: Mapping[Term, Any]) -> SearchData:
    if isinstance(target, tuple):
        return target if isinstance(target, ShortLiteral) else list(target)
    if isinstance(target, EmbeddedText):
        data: SearchData = vectors[target]
        return data
    if isinstance(target, SparseLiteral):
        return dict(target.entries)
    if not isinstance(target, VectorSum):
        return target
    total = np.zeros_like(vectors[target.terms[0][1]])
    with np.errstate(over="ignore", invalid="ignore"):
        for weight, term in target.terms:
            total += np.float32(weight) * vectors[term]
    if not np.isfinite(total).all() or not total.any():
        raise SqlTypeMismatch(
            "the sum of the vectors has no direction",
            value="zero" if np.isfinite(total).all() else "numbers beyond 32 bits",
            next_step="Change the vectors or their weights.",
        )
    return list(map(float, total))
