"""Concept depth: the exit that suffices for a query, by how difficult the query is."""

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
    """``shares`` maps each tercile of difficulty to the share of its queries for which each exit is the
    shallowest that suffices. ``queries`` are counted; ``lost`` are those that the deepest exit fails."""

    shares: Mapping[str, Mapping[int, float]]
    queries: int
    failed: int


def margins(dataset: Dataset, queries: Vectors, documents: Vectors, rankings: Ranking) -> Scores:
    """How far the best relevant document is ahead of the best other one, (q,) float64 in cosines.

    ``found`` are the deepest exit's rankings; a small or negative margin is a difficult query.
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
    """From nDCG@10 of each query at each exit, the documents at the deepest, and the deepest's margins.

    An exit suffices where it reaches the deepest one's nDCG@10. Queries for which that is 0 are left out:
    every exit would suffice.
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
