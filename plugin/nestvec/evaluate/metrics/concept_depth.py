"""Concept depth: the exit that suffices for a query, by the query's difficulty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nestvec.datasets.beir import Dataset
from nestvec.evaluate.metrics.ranking import Scores
from nestvec.evaluate.search.exact import Ranking
from nestvec_schemas.vectors import Vectors, normalise

TERCILES: Final = ("easy", "medium", "hard")


@dataclass(frozen=True)
class ConceptDepth:
    """How deep queries need to go."""

    shares: Mapping[str, Mapping[int, float]]
    """By tercile of difficulty and exit: the share of queries for which this exit is the shallowest that
    suffices."""

    queries: int
    """Queries that count."""

    failed: int
    """Queries for which the deepest exit finds nothing, which do not count."""


def margins(dataset: Dataset, queries: Vectors, documents: Vectors, rankings: Ranking) -> Scores:
    """How far the best relevant document is ahead of the best other one, (q,) float64 in cosines.

    ``rankings`` are the deepest exit's. A query with a small or negative margin is difficult.
    """
    margin = np.zeros(len(dataset.queries.ids))
    for row, (query_id, query) in enumerate(zip(dataset.queries.ids, normalise(queries), strict=True)):
        relevant = [int(number) for number, score in dataset.queries.qrels[query_id].items() if score > 0]
        others = [number for number in rankings[row].tolist() if number >= 0 and number not in set(relevant)]
        margin[row] = _best(documents, relevant, query) - _best(documents, others[:1], query)
    return margin


def _best(documents: Vectors, numbers: list[int], query: Vectors) -> float:
    if not numbers:
        return -1.0
    return float((normalise(np.asarray(documents[sorted(numbers)])) @ query).max())


def concept_depth(ndcg: Mapping[int, Scores], margin: Scores) -> ConceptDepth:
    """From the nDCG@10 of each query at each exit, with documents at the deepest, and the deepest's margins.

    An exit suffices if it reaches the deepest one's nDCG@10. Queries for which that is 0 do not count,
    because every exit would suffice.
    """
    exits = sorted(ndcg)
    deepest = ndcg[exits[-1]]
    answered: NDArray[np.int64] = np.flatnonzero(deepest > 0)
    suffices = np.array([np.isclose(ndcg[exit], deepest) | (ndcg[exit] > deepest) for exit in exits])
    shallowest = np.array(exits)[suffices.argmax(axis=0)]
    ordered = answered[np.argsort(-margin[answered], kind="stable")]
    parts = zip(TERCILES, np.array_split(ordered, len(TERCILES)), strict=True)
    shares = {
        name: {exit: float((shallowest[part] == exit).mean()) if len(part) else 0.0 for exit in exits}
        for name, part in parts
    }
    return ConceptDepth(shares, len(answered), len(deepest) - len(answered))
