"""Searches: their targets as vectors, Milvus's search by one column, and its hybrid search by several."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from pymilvus import AnnSearchRequest, Function, FunctionType, MilvusClient, RRFRanker, WeightedRanker
from pymilvus.client.abstract import BaseRanker

from nestvec.client.http import EmbeddingRequest
from nestvec.client.service_client import SparseVector, embed
from nestvec.client.service_key import environment_api_key
from nestvec.milvus.rerank import check_rerank_column, rerank_params
from nestvec.milvus.steps import BlockingCall, Steps, call
from nestvec.sql.bind.query import MAX_WINDOW
from nestvec.sql.bind.vectors.targets import (
    EmbeddedText,
    StoredVector,
    Target,
    Term,
    VectorLiteral,
    VectorSum,
)
from nestvec.sql.execute.evaluate import ScoredRow
from nestvec.sql.execute.read import ReadRequest, query_rows, with_dynamic_fields
from nestvec.sql.plan.filter import render_filter
from nestvec.sql.plan.nodes import HybridSearch, VectorSearch
from nestvec.sql.session import Session
from nestvec_schemas.errors import SqlTypeMismatch
from nestvec_schemas.vectors import Vectors

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
    nearest = node.nearest
    hit_lists = yield call(
        f"searching collection {node.collection}",
        "search",
        node.collection,
        data=(yield from resolve_targets(session, targets)),
        anns_field=nearest.column,
        filter=node.filter,
        limit=node.limit,
        output_fields=list(node.fields),
        search_params={
            "metric_type": nearest.metric,
            "offset": node.offset,
            **session.search_params(node.limit + node.offset),
        },
        **({"group_by_field": node.group} if node.group else {}),
        **session.read_options(),
    )
    to_distance = DISTANCE_OF_SCORE[nearest.metric]
    return [_scored_rows(session, node, hits, to_distance) for hits in hit_lists]


def _scored_rows(
    session: Session,
    node: VectorSearch | HybridSearch,
    hits: Sequence[Any],
    to_distance: Callable[[float], float],
) -> list[ScoredRow]:
    rows = with_dynamic_fields(session, node.collection, node.fields, [hit["entity"] for hit in hits])
    return [ScoredRow(row, to_distance(float(hit["distance"]))) for row, hit in zip(rows, hits, strict=True)]


def run_hybrid(session: Session, node: HybridSearch) -> Steps[list[ScoredRow]]:
    """The fused rows of several searches; their ``distance`` is the score, where higher is better."""
    if node.limit <= 0:
        return []
    search_data = yield from resolve_targets(session, [part.nearest.target for part in node.parts])
    ranker = yield from _ranker(session, node)
    hit_lists = yield call(
        f"searching collection {node.collection}",
        "hybrid_search",
        node.collection,
        [_request(session, part, data) for part, data in zip(node.parts, search_data, strict=True)],
        ranker,
        limit=node.limit,
        output_fields=list(node.fields),
        offset=node.offset,
        **session.read_options(),
    )
    return _scored_rows(session, node, hit_lists[0], float)


def _ranker(session: Session, node: HybridSearch) -> Steps[BaseRanker | Function]:
    """What merges the candidates of all parts into one order."""
    ranking, rerank = node.ranking, node.rerank
    if rerank is None:
        return WeightedRanker(*ranking.weights) if ranking.weights else RRFRanker(ranking.k)
    version = yield from session.server_version()
    check_rerank_column(rerank.column, version, nullable=rerank.nullable)
    candidates = sum(part.limit for part in node.parts)
    params = {
        **rerank_params(version, rerank.service, rerank.encoder, candidates),
        # A list: Milvus takes one text per query.
        "queries": [rerank.query],
    }
    return Function("rerank", FunctionType.RERANK, [rerank.column], params=params)


def _request(session: Session, part: VectorSearch, search_data: SearchData) -> AnnSearchRequest:
    param: dict[str, Any] = {"metric_type": part.nearest.metric, **session.search_params(part.limit)}
    return AnnSearchRequest([search_data], part.nearest.column, param, part.limit, expr=part.filter)


SearchData = str | list[float] | bytes | SparseVector


def resolve_targets(session: Session, targets: Sequence[Target]) -> Steps[list[SearchData]]:
    """What Milvus is sent for each target; the texts of one encoder are embedded in one request.

    Raises SqlTypeMismatch if a subquery does not have one row or a sum has no direction; StoreError,
    ServiceError.
    """
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
        return list(target)
    if isinstance(target, EmbeddedText):
        data: SearchData = vectors[target]
        return data
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
    values: list[float] = total.tolist()
    return values
