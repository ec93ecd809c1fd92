"""What Milvus is sent to order the candidates of a search, and the decays that nestvec applies itself."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final

from pymilvus import Function, FunctionScore, FunctionType, RRFRanker, WeightedRanker
from pymilvus.client.abstract import BaseRanker

from nestvec.milvus.rerank import check_ranker, check_rerank_column, rerank_params
from nestvec.milvus.steps import Steps
from nestvec.sql.bind.vectors.rankers import BoostRanker, DecayRanker
from nestvec.sql.bind.vectors.rerank import ModelReranker
from nestvec.sql.execute.timing import RunNode
from nestvec.sql.plan.filter import render_filter
from nestvec.sql.plan.nodes import DecayScores, HybridSearch
from nestvec.sql.session import Session
from nestvec.sqltypes import is_mapped, to_stored

if TYPE_CHECKING:
    from nestvec.sql.execute.rows import ScoredRow

_LITE_CANDIDATES: Final = 10
"""Milvus Lite scores this many times the rows of a search whose ranker is a model or a decay."""


def hybrid_ranker(session: Session, node: HybridSearch) -> Steps[BaseRanker | Function]:
    """What merges the candidates of all parts of Milvus's hybrid search into one order."""
    ranking = node.ranking
    if node.reranker is None:
        return WeightedRanker(*ranking.weights) if ranking.weights else RRFRanker(ranking.k)
    return (yield from _reranker(session, node.reranker, sum(part.limit for part in node.parts)))


def search_ranker(session: Session, node: HybridSearch) -> Steps[FunctionScore]:
    """The boosts of a search, and the model or the decay after them.

    Raises StoreRefused for a server that would leave them out.
    """
    boosts = node.boosts
    if boosts is None:
        raise AssertionError("a search without boosts is sent as a hybrid search")
    version = yield from session.server_version()
    check_ranker("BOOST", version)
    functions = [_boost(boost, number) for number, boost in enumerate(boosts.boosts, 1)]
    if node.reranker is not None:
        functions.append((yield from _reranker(session, node.reranker, node.parts[0].limit)))
    modes = {"boost_mode": boosts.boost_mode.title(), "function_mode": boosts.function_mode.title()}
    return FunctionScore(functions, params=modes)


def boosted_limit(session: Session, node: HybridSearch) -> Steps[int]:
    """Rows that a search with boosts is sent for, so that its rankers score the candidates."""
    candidates = node.parts[0].limit
    if node.reranker is None or not (yield from session.is_lite()):
        return candidates
    return max(node.limit + node.offset, math.ceil(candidates / _LITE_CANDIDATES))


def _reranker(session: Session, reranker: ModelReranker | DecayRanker, candidates: int) -> Steps[Function]:
    version = yield from session.server_version()
    if isinstance(reranker, DecayRanker):
        check_ranker("DECAY", version)
        check_rerank_column(reranker.column.name, version, nullable=reranker.column.nullable)
        return _decay(reranker)
    check_rerank_column(reranker.column, version, nullable=reranker.nullable)
    params = {
        **rerank_params(version, reranker.service, reranker.encoder, candidates),
        # A list: Milvus takes one text per query.
        "queries": [reranker.query],
    }
    return Function("rerank", FunctionType.RERANK, [reranker.column], params=params)


def _decay(decay: DecayRanker) -> Function:
    params = {
        "reranker": "decay",
        "function": decay.function,
        "origin": _plain(decay.origin),
        "scale": _plain(decay.scale),
        "offset": _plain(decay.offset),
        "decay": decay.decay,
    }
    return Function("decay", FunctionType.RERANK, [decay.column.name], params=params)


def _boost(boost: BoostRanker, number: int) -> Function:
    params: dict[str, Any] = {"reranker": "boost", "weight": _plain(boost.weight)}
    where = render_filter(boost.where)
    if where:
        params["filter"] = where
    if boost.seed is not None:
        random = {"seed": boost.seed} | ({"field": boost.by} if boost.by else {})
        params["random_score"] = json.dumps(random)
    return Function(f"boost_{number}", FunctionType.RERANK, [], params=params)


def _plain(number: float) -> float | int:
    """Whole numbers without a fraction: microseconds since 1970 lose no digit."""
    return int(number) if number.is_integer() else number


def run_decay_scores(run: RunNode, session: Session, node: DecayScores) -> Steps[list[ScoredRow]]:
    """The candidates by their scores times the decays' factors; ``distance`` is the product."""
    rows = yield from run(session, node.input, node.input)
    scored = [row._replace(distance=(row.distance or 0.0) * _factor(node, row)) for row in rows]
    scored.sort(key=lambda row: -(row.distance or 0.0))
    return scored[node.offset : node.offset + node.limit]


def _factor(node: DecayScores, row: ScoredRow) -> float:
    return math.prod(decay.factor(_stored(decay, row)) for decay in node.decays)


def _stored(decay: DecayRanker, row: ScoredRow) -> float | None:
    """The column's value as it is stored: rows have dates and decimals as Python's."""
    value: Any = row.row[decay.column.name]
    if value is not None and is_mapped(decay.column.type_params.sql_type):
        value = to_stored(decay.column, value)
    return None if value is None else float(value)
