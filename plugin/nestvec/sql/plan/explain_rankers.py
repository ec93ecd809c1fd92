"""Rankers of RERANK BY in the words of EXPLAIN."""

from __future__ import annotations

from collections.abc import Iterator

from nestvec.sql.bind.vectors.rankers import Boosts, DecayRanker
from nestvec.sql.bind.vectors.rerank import ModelReranker
from nestvec.sql.plan.filter import render_filter


def describe_reranker(reranker: ModelReranker | DecayRanker) -> str:
    """What orders the candidates: ``cross's score of body``, ``score times gauss decay of year …``."""
    if isinstance(reranker, ModelReranker):
        return f"{reranker.encoder}'s score of {reranker.column}"
    offset = f" beyond {reranker.offset:g}" if reranker.offset else ""
    curve = f"{reranker.function} decay of {reranker.column.name}"
    return (
        f"score times {curve} from {reranker.origin:.12g}{offset}, {reranker.decay:g} at {reranker.scale:g}"
    )


def describe_boosts(boosts: Boosts | None) -> Iterator[str]:
    """Each boost: ``score times 2 where year > 2000``."""
    if boosts is None:
        return
    word = "times" if boosts.boost_mode == "multiply" else "plus"
    for boost in boosts.boosts:
        random = "" if boost.seed is None else f" times a random number from 0 to 1 with seed {boost.seed}"
        by = f" by {boost.by}" if boost.by else ""
        where = render_filter(boost.where)
        yield f"score {word} {boost.weight:g}{random}{by}{f' where {where}' if where else ''}"
    if len(boosts.boosts) > 1:
        joined = "multiplied" if boosts.function_mode == "multiply" else "added"
        yield f"weights of several boosts are {joined}"
