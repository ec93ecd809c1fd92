"""What rows are ranked by: a distance, a similarity, or a score of several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sqlglot import exp

from nestvec.sql.bind.scope import Scope
from nestvec.sql.bind.vectors.distance import OPERATOR_METRICS, DistanceRanking, bind_distance
from nestvec.sql.bind.vectors.ranking import FusedRanking, bind_fused, is_fused
from nestvec.sql.bind.vectors.targets import parse_vector, without_parens
from nestvec.sql.parse.dialect import VectorDistance

__all__ = [
    "OPERATOR_METRICS",
    "DistanceRanking",
    "FusedRanking",
    "Measure",
    "Ranking",
    "RerankScore",
    "as_measure",
    "bind_measure",
    "parse_vector",
]

Ranking = DistanceRanking | FusedRanking
"""What rows are ordered by."""


@dataclass(frozen=True)
class RerankScore:
    """The score of RERANK BY's encoder: what the select list may hold instead of a distance."""


MeasureKind = Literal["distance", "similarity", "score"]


@dataclass(frozen=True)
class Measure:
    """A distance in the statement; its similarity, one minus the distance; or a score of several."""

    kind: MeasureKind
    node: exp.Expr


def as_measure(node: exp.Expr) -> Measure | None:
    """What ``node`` measures: ``v <=> 'text'``, ``1 - (v <=> 'text')``, ``RRF(…)``; None for the rest."""
    node = without_parens(node)
    if isinstance(node, VectorDistance):
        return Measure("distance", node)
    if is_fused(node) or _is_reranked(node):
        return Measure("score", node)
    if isinstance(node, exp.Sub) and isinstance(node.this, exp.Literal) and node.this.this == "1":
        right = without_parens(node.args["expression"])
        return Measure("similarity", right) if isinstance(right, VectorDistance) else None
    return None


def _is_reranked(node: exp.Expr) -> bool:
    called = isinstance(node, exp.Anonymous) and str(node.this).upper() == "RERANK_SCORE"
    return called and not node.expressions


def bind_measure(scope: Scope, measured: Measure) -> Ranking | RerankScore:
    """Check the columns, the operators and the targets. Raises the errors of ``bind_query``."""
    if _is_reranked(measured.node):
        return RerankScore()
    if not isinstance(measured.node, VectorDistance):
        return bind_fused(scope, measured.node)
    nearest = bind_distance(scope, measured.node)
    if measured.kind == "similarity" and nearest.metric != "COSINE":
        raise scope.source.not_supported(
            f"arithmetic on {measured.node.args['operator']}",
            measured.node.meta["start"],
            "Only 1 - (column <=> 'text') is there.",
        )
    return nearest
