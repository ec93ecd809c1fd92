"""Nearest neighbours by cosine, and the share of them that prefixes keep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nestvec_schemas.vectors import Vectors, normalise

MAX_NEIGHBOURS: Final = 10


def neighbours(queries: Vectors, rows: NDArray[np.intp], vectors: Vectors) -> NDArray[np.intp]:
    """Each query's MAX_NEIGHBOURS nearest by cosine, (m, 10), of ``queries``, (m, d), in ``vectors``, (n, d).

    ``rows``, (m,), are the queries' own rows in ``vectors``, which do not count; -1 for a query that has
    none.
    """
    scores = _similarities(queries, rows, vectors)
    count = min(MAX_NEIGHBOURS, len(vectors) - 1)
    return np.argpartition(-scores, count - 1, axis=1)[:, :count]


def relevant_gains(
    queries: Vectors,
    vectors: Vectors,
    rows: NDArray[np.intp],
    relevant: NDArray[np.intp],
    dims: Sequence[int],
) -> dict[int, float]:
    """Per dim, the mean nDCG@10 where one document is relevant to each query: ``relevant``, (m,).

    Unlike ``retention`` it weighs the first rank most, as judgements of real queries do.
    """
    gains = {}
    for dim in dims:
        scores = _similarities(queries[:, :dim], rows, vectors[:, :dim])
        ranks = (scores > np.take_along_axis(scores, relevant[:, None], axis=1)).sum(axis=1)
        gains[dim] = float(np.where(ranks < MAX_NEIGHBOURS, 1 / np.log2(ranks + 2), 0).mean())
    return gains


def nearest_rows(queries: Vectors, rows: NDArray[np.intp], vectors: Vectors) -> NDArray[np.intp]:
    """Each query's nearest in ``vectors`` by cosine, (m,), with arguments as of ``neighbours``."""
    nearest: NDArray[np.intp] = _similarities(queries, rows, vectors).argmax(axis=1)
    return nearest


def retention(
    queries: Vectors,
    vectors: Vectors,
    rows: NDArray[np.intp],
    near: NDArray[np.intp],
    dims: Sequence[int],
) -> dict[int, float]:
    """Per dim, the share of ``near`` that is among the ten nearest of the prefixes of ``queries``."""
    shares = {}
    for dim in dims:
        retrieved = neighbours(queries[:, :dim], rows, vectors[:, :dim])
        hits = (retrieved[:, :, None] == near[:, None, :]).any(axis=2)
        shares[dim] = round(float(hits.mean()), 4)
    return shares


def _similarities(queries: Vectors, rows: NDArray[np.intp], vectors: Vectors) -> Vectors:
    """Cosines, (m, n); of a query to its own row, minus infinity."""
    scores: Vectors = normalise(queries) @ normalise(vectors).T
    own = np.flatnonzero(rows >= 0)
    scores[own, rows[own]] = -np.inf
    return scores
