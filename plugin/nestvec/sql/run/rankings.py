"""Rows by a ranking: Milvus's search by one column, and its hybrid search by several."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pymilvus import AnnSearchRequest, Function, FunctionType, RRFRanker, WeightedRanker
from pymilvus.client.abstract import BaseRanker

from nestvec.providers import rerank_params
from nestvec.sql.bind.targets import Target
from nestvec.sql.plan.nodes import Hybrid, Search
from nestvec.sql.run.dynamic import with_dynamic
from nestvec.sql.run.evaluate import Found
from nestvec.sql.run.targets import Sent, resolved
from nestvec.sql.session import Session
from nestvec.steps import Steps, call

DISTANCES: Final[Mapping[str, Callable[[float], float]]] = {
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


def run_search(session: Session, node: Search) -> Steps[list[Found]]:
    """The rows of one search. Raises StoreError, and what ``resolved`` does."""
    return (yield from searched(session, node, [node.nearest.target]))[0]


def searched(session: Session, node: Search, targets: Sequence[Target]) -> Steps[list[list[Found]]]:
    """The rows for each of several targets, in one search that is else ``node``."""
    if node.limit <= 0:
        return [[] for _ in targets]
    nearest = node.nearest
    found = yield call(
        f"searching collection {node.collection}",
        "search",
        node.collection,
        data=(yield from resolved(session, targets)),
        anns_field=nearest.column,
        filter=node.filter,
        limit=node.limit,
        output_fields=list(node.fields),
        search_params={
            "metric_type": nearest.metric,
            "offset": node.offset,
            **session.searching(node.limit + node.offset),
        },
        **({"group_by_field": node.group} if node.group else {}),
        **session.reading(),
    )
    measured = DISTANCES[nearest.metric]
    return [_found(session, node, hits, measured) for hits in found]


def _found(
    session: Session, node: Search | Hybrid, hits: Sequence[Any], measured: Callable[[float], float]
) -> list[Found]:
    rows = with_dynamic(session, node.collection, node.fields, [hit["entity"] for hit in hits])
    return [Found(row, measured(float(hit["distance"]))) for row, hit in zip(rows, hits, strict=True)]


def run_hybrid(session: Session, node: Hybrid) -> Steps[list[Found]]:
    """The rows of several searches, fused; ``distance`` is the score, and higher is better."""
    if node.limit <= 0:
        return []
    sent = yield from resolved(session, [one.nearest.target for one in node.parts])
    ranker = yield from _ranker(session, node)
    found = yield call(
        f"searching collection {node.collection}",
        "hybrid_search",
        node.collection,
        [_request(session, part, one) for part, one in zip(node.parts, sent, strict=True)],
        ranker,
        limit=node.limit,
        output_fields=list(node.fields),
        offset=node.offset,
        **session.reading(),
    )
    return _found(session, node, found[0], float)


def _ranker(session: Session, node: Hybrid) -> Steps[BaseRanker | Function]:
    """What puts the candidates of all parts in one order."""
    ranking, rerank = node.ranking, node.rerank
    if rerank is None:
        return WeightedRanker(*ranking.weights) if ranking.weights else RRFRanker(ranking.k)
    lite = yield from session.lite()
    most = sum(part.limit for part in node.parts)
    params = {
        **rerank_params(lite, rerank.service, rerank.encoder, most),
        # A list, though there is one: Milvus wants as many as there are queries.
        "queries": [rerank.query],
    }
    return Function("rerank", FunctionType.RERANK, [rerank.column], params=params)


def _request(session: Session, part: Search, sent: Sent) -> AnnSearchRequest:
    param: dict[str, Any] = {"metric_type": part.nearest.metric, **session.searching(part.limit)}
    return AnnSearchRequest([sent], part.nearest.column, param, part.limit, expr=part.filter)
