"""What ranks the rows: one distance, or RRF or WEIGHTED over several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlglot import exp

from nestvec.sql.bind.params import PARAMETER_NODES
from nestvec.sql.bind.scope import Scope
from nestvec.sql.bind.vectors.distance import DistanceRanking, bind_distance
from nestvec.sql.parse.construct_names import construct_name
from nestvec.sql.parse.dialect import VectorDistance
from nestvec.sql.parse.source import identifier_name, without_parens

DEFAULT_RRF_K: Final = 60.0
"""The default constant of RRF (Cormack et al. 2009)."""

_MAX_K: Final = 16_384
_MAX_CANDIDATES: Final = 16_384

_FUNCTIONS: Final = ("RRF", "WEIGHTED")


@dataclass(frozen=True)
class FusedRanking:
    """Ranks the rows by several distances: by their ranks, or by weighted scores."""

    parts: tuple[DistanceRanking, ...]
    k: float = DEFAULT_RRF_K
    """The constant of RRF."""
    weights: tuple[float, ...] = ()
    """One weight per part for WEIGHTED; empty for RRF."""
    candidates: int | None = None
    """How many rows of each part count; None leaves it to the planner."""


Ranking = DistanceRanking | FusedRanking
"""What ranks the rows."""


@dataclass(frozen=True)
class RerankScore:
    """``RERANK_SCORE()``: the score by the encoder of RERANK BY."""


MeasureKind = Literal["distance", "similarity", "score"]


@dataclass(frozen=True)
class Measure:
    """A distance in the statement, its similarity (1 - distance), or a fused score."""

    kind: MeasureKind
    node: exp.Expr


def as_measure(node: exp.Expr) -> Measure | None:
    """The measure that ``node`` is: ``v <=> 'text'``, ``1 - (v <=> 'text')``, ``RRF(…)``; else None."""
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
    """Bind its columns, operators and targets. Raises the errors of ``bind_query``."""
    if _is_reranked(measured.node):
        return RerankScore()
    if not isinstance(measured.node, VectorDistance):
        return bind_fused(scope, measured.node)
    ranking = bind_distance(scope, measured.node)
    if measured.kind == "similarity" and ranking.metric != "COSINE":
        raise scope.source.not_supported(
            f"arithmetic on {measured.node.args['operator']}",
            measured.node.meta["start"],
            "Only 1 - (column <=> 'text') is supported.",
        )
    return ranking


def is_fused(node: exp.Expr) -> bool:
    """Whether a node is a call of RRF or WEIGHTED."""
    return isinstance(node, exp.Anonymous) and str(node.this).upper() in _FUNCTIONS


def bind_fused(scope: Scope, node: exp.Expr) -> FusedRanking:
    """Bind the distances and the options. Raises the errors of ``bind_query``."""
    source, name = scope.source, str(node.this).upper()
    weighted = name == "WEIGHTED"
    parts: list[DistanceRanking] = []
    options: dict[str, exp.Expr] = {}
    for argument in node.expressions:
        if isinstance(argument, exp.Kwarg):
            option = identifier_name(argument.this)
            if option not in _OPTIONS[name]:
                raise source.unknown_name(
                    f"{name} has no such option", option, argument, f"Available: {', '.join(_OPTIONS[name])}."
                )
            options[option] = argument.args["expression"]
            continue
        distance = without_parens(argument)
        if not isinstance(distance, VectorDistance):
            raise source.not_supported(
                f"{construct_name(distance)} in {name}",
                argument,
                f"Write {name}(v <=> 'text', body <@> 'text').",
            )
        # Fusion needs whole rankings, so it does not use shortlists by shorter vectors.
        bound = bind_distance(scope, distance)
        parts.append(DistanceRanking(bound.column, bound.metric, bound.target))
    if len(parts) < 2:
        raise source.syntax_error(
            f"{name} takes at least two distances", node, "Order by one distance directly."
        )
    weights = _weights(scope, options.get("weights"), len(parts), node) if weighted else ()
    k = _number(scope, options["k"], 0, _MAX_K) if "k" in options else DEFAULT_RRF_K
    candidates = (
        _number(scope, options["candidates"], 0, _MAX_CANDIDATES) if "candidates" in options else None
    )
    return FusedRanking(tuple(parts), k, weights, int(candidates) if candidates is not None else None)


_OPTIONS: Final = {"RRF": ("k", "candidates"), "WEIGHTED": ("weights", "candidates")}


def _weights(scope: Scope, node: exp.Expr | None, count: int, call: exp.Expr) -> tuple[float, ...]:
    source = scope.source
    if node is None:
        raise source.syntax_error("WEIGHTED needs weights", call, "Add weights => ARRAY[0.7, 0.3].")
    weights: list[float] | None = None
    if isinstance(node, exp.Array):
        weights = [_number(scope, item, None, 1) for item in node.expressions]
    elif isinstance(node, PARAMETER_NODES):
        value = scope.params.value(source, node)
        if isinstance(value, (list, tuple)):
            weights = [_checked(scope, item, node, None, 1) for item in value]
    if weights is None or len(weights) != count:
        supplied = "not a list" if weights is None else len(weights)
        raise source.type_mismatch(
            f"WEIGHTED has {count} distances", supplied, node, f"Pass {count} weights, from 0 to 1."
        )
    return tuple(weights)


def _number(scope: Scope, node: exp.Expr, above: float | None, maximum: float) -> float:
    if isinstance(node, PARAMETER_NODES):
        return _checked(scope, scope.params.value(scope.source, node), node, above, maximum)
    value = float(str(node.this)) if isinstance(node, exp.Literal) and not node.is_string else None
    return _checked(scope, value, node, above, maximum)


def _checked(scope: Scope, value: Any, node: exp.Expr, above: float | None, maximum: float) -> float:
    """A number above ``above`` (from 0 if that is None), up to ``maximum``."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if is_number and value <= maximum and (value >= 0 if above is None else value > above):
        return float(value)
    bounds = f"from 0 to {maximum:,}" if above is None else f"above {above:g} and at most {maximum:,}"
    raise scope.source.type_mismatch(
        f"this option takes a number {bounds}",
        value if isinstance(value, (int, float)) else construct_name(node),
        node,
        "Use another value.",
    )
