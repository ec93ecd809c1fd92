"""Batches of texts that are near one another: each is a hard negative of the others for free."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nestvec_exporters.training_data import Places
from nestvec_schemas.vectors import Vectors

_CLUSTERS = 4
"""That a batch is made of: near texts, and some that are not."""

_TURNS = 3


def random_batches(rows: int, size: int, draw: np.random.Generator) -> list[Places]:
    """Every row once, in batches of ``size``; the last one is dropped where it is not full."""
    order = draw.permutation(rows)
    return [order[start : start + size] for start in range(0, rows - size + 1, size)]


def near_batches(vectors: Vectors, size: int, draw: np.random.Generator) -> list[Places]:
    """Every row once, in batches of ``size`` made of a few clusters (NGAME, Dahiya et al. 2022).

    ``vectors`` is (n, d) float32 of length 1. Clusters are new with every ``draw``; the last batch is
    dropped where it is not full.
    """
    clusters = _halved(vectors, np.arange(len(vectors)), max(2, size // _CLUSTERS), draw)
    order = np.concatenate([clusters[at] for at in draw.permutation(len(clusters))])
    return [order[start : start + size] for start in range(0, len(order) - size + 1, size)]


def apart(batches: list[Places], documents: Places, size: int) -> list[Places]:
    """Batches of the same rows in about their order, with no document twice in one.

    ``documents`` names each row's document, (n,): a document that is there twice would be its own negative.
    """
    open_batches: list[list[int]] = []
    held: list[set[int]] = []
    full: list[Places] = []
    for row in np.concatenate(batches):
        document = int(documents[row])
        at = next((at for at, seen in enumerate(held) if document not in seen), None)
        if at is None:
            at = len(held)
            open_batches.append([])
            held.append(set())
        open_batches[at].append(int(row))
        held[at].add(document)
        if len(open_batches[at]) == size:
            full.append(np.asarray(open_batches.pop(at), np.intp))
            held.pop(at)
    return full


def _halved(vectors: Vectors, rows: Places, most: int, draw: np.random.Generator) -> list[Places]:
    """Clusters of at most ``most`` rows, by halving with two centres until they are so small."""
    waiting, done = [rows], []
    while waiting:
        one = waiting.pop()
        if len(one) <= most:
            done.append(one)
            continue
        order = one[np.argsort(_leaning(vectors[one], draw), kind="stable")]
        # Halves of whole clusters, so that few are left with a row or two.
        middle = (len(order) // 2 + most - 1) // most * most
        waiting += [order[:middle], order[middle:]]
    return [one for one in done if len(one)]


def _leaning(vectors: Vectors, draw: np.random.Generator) -> NDArray[np.float32]:
    """By how much each row is nearer to one of two balanced centres than to the other, (n,)."""
    first, second = draw.choice(len(vectors), 2, replace=False)
    axis = vectors[first] - vectors[second]
    for _ in range(_TURNS):
        leaning = vectors @ axis
        upper = leaning >= np.median(leaning)
        if upper.all() or not upper.any():
            break
        axis = vectors[upper].mean(axis=0) - vectors[~upper].mean(axis=0)
    found: NDArray[np.float32] = vectors @ axis
    return found
