"""Rows by a ranking: Milvus's search by one column, and its hybrid search by several."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pymilvus import AnnSearchRequest, Function, FunctionType, RRFRanker, WeightedRanker
from pymilvus.client.abstract import BaseRanker

from nestvec.milvus.providers import rerank_params
from nestvec.milvus.steps import Steps, call
from nestvec.sql.bind.vectors.targets import Target
from nestvec.sql.execute.dynamic import with_dynamic_fields
from nestvec.sql.execute.evaluate import ScoredRow
from nestvec.sql.execute.targets import SearchData, resolve_targets
from nestvec.sql.plan.nodes import HybridSearch, VectorSearch
from nestvec.sql.session import Session

DISTANCE_OF_SCORE: Final[Mapping[str, Callable[[float], float]]] = {
    # Milvus answers with the similarity, or with the square of the Euclidean distance.
    "COSINE": lambda found: 1.0 - found,
    "IP": lambda found: -found,
    "L2": lambda found: math.sqrt(max(found, 0.0)),
    # Higher is better: Milvus Lite's are negative already.
    "BM25": lambda found: -abs(found),
    "HAMMING": lambda found: found,
    "JACCARD": lambda found: found,
}
"""The distance as its operator gives it, of the number that Milvus answers with."""


def run_search(session: Session, node: VectorSearch) -> Steps[list[ScoredRow]]:
    """The rows of one search. Raises StoreError, and what ``resolved`` does."""
    return (yield from search_many(session, node, [node.nearest.target]))[0]


def search_many(
    session: Session, node: VectorSearch, targets: Sequence[Target]
) -> Steps[list[list[ScoredRow]]]:
    """The rows for each of several targets, in one search that is else ``node``."""
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
    """The rows of several searches, fused; ``distance`` is the score, and higher is better."""
    if node.limit <= 0:
        return []
    search_data = yield from resolve_targets(session, [one.nearest.target for one in node.parts])
    ranker = yield from _ranker(session, node)
    hit_lists = yield call(
        f"searching collection {node.collection}",
        "hybrid_search",
        node.collection,
        [_request(session, part, one) for part, one in zip(node.parts, search_data, strict=True)],
        ranker,
        limit=node.limit,
        output_fields=list(node.fields),
        offset=node.offset,
        **session.read_options(),
    )
    return _scored_rows(session, node, hit_lists[0], float)


def _ranker(session: Session, node: HybridSearch) -> Steps[BaseRanker | Function]:
    """What puts the candidates of all parts in one order."""
    ranking, rerank = node.ranking, node.rerank
    if rerank is None:
        return WeightedRanker(*ranking.weights) if ranking.weights else RRFRanker(ranking.k)
    lite = yield from session.is_lite()
    candidates = sum(part.limit for part in node.parts)
    params = {
        **rerank_params(lite, rerank.service, rerank.encoder, candidates),
        # A list, though there is one: Milvus wants as many as there are queries.
        "queries": [rerank.query],
    }
    return Function("rerank", FunctionType.RERANK, [rerank.column], params=params)


def _request(session: Session, part: VectorSearch, search_data: SearchData) -> AnnSearchRequest:
    param: dict[str, Any] = {"metric_type": part.nearest.metric, **session.search_params(part.limit)}
    return AnnSearchRequest([search_data], part.nearest.column, param, part.limit, expr=part.filter)
