"""Batches of texts that are near one another, so that each is a hard negative of the others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nestvec_exporters.training_data import Indices
from nestvec_schemas.vectors import Vectors

_CLUSTERS_PER_BATCH = 4
"""Clusters in a batch, so that it has near texts and others."""

_CENTRE_ITERATIONS = 3


def random_batches(rows: int, size: int, rng: np.random.Generator) -> list[Indices]:
    """Every row once, in batches of ``size``; an incomplete last batch is dropped."""
    return _full_batches(rng.permutation(rows), size)


def clustered_batches(vectors: Vectors, size: int, rng: np.random.Generator) -> list[Indices]:
    """Every row once, in batches of ``size`` made of a few clusters (NGAME, Dahiya et al. 2022).

    ``vectors`` is (n, d) float32 of length 1. Clusters differ from call to call; an incomplete last batch is
    dropped.
    """
    clusters = _bisect(vectors, np.arange(len(vectors)), max(2, size // _CLUSTERS_PER_BATCH), rng)
    order = np.concatenate([clusters[index] for index in rng.permutation(len(clusters))])
    return _full_batches(order, size)


def _full_batches(order: Indices, size: int) -> list[Indices]:
    return [order[start : start + size] for start in range(0, len(order) - size + 1, size)]


def without_duplicate_documents(batches: list[Indices], documents: Indices, size: int) -> list[Indices]:
    """Full batches of the same rows in about the same order, with no document twice in a batch.

    ``documents`` has each row's document, (n,); one that is twice in a batch would be its own negative.
    sentence-transformers' NoDuplicatesBatchSampler shuffles rows, which would dissolve the clusters.
    """
    open_batches: list[list[int]] = []
    documents_by_batch: list[set[int]] = []
    full: list[Indices] = []
    for row in np.concatenate(batches):
        document = int(documents[row])
        index = next(
            (
                index
                for index, batch_documents in enumerate(documents_by_batch)
                if document not in batch_documents
            ),
            None,
        )
        if index is None:
            index = len(documents_by_batch)
            open_batches.append([])
            documents_by_batch.append(set())
        open_batches[index].append(int(row))
        documents_by_batch[index].add(document)
        if len(open_batches[index]) == size:
            full.append(np.asarray(open_batches.pop(index), np.intp))
            documents_by_batch.pop(index)
    return full


def _bisect(vectors: Vectors, rows: Indices, max_size: int, rng: np.random.Generator) -> list[Indices]:
    """Clusters of at most ``max_size`` rows, by repeated bisection with two centres."""
    waiting, done = [rows], []
    while waiting:
        cluster = waiting.pop()
        if len(cluster) <= max_size:
            done.append(cluster)
            continue
        order = cluster[np.argsort(_centre_margins(vectors[cluster], rng), kind="stable")]
        # Halves of whole clusters, so that few clusters end up with a row or two.
        middle = (len(order) // 2 + max_size - 1) // max_size * max_size
        waiting += [order[:middle], order[middle:]]
    return [cluster for cluster in done if len(cluster)]


def _centre_margins(vectors: Vectors, rng: np.random.Generator) -> NDArray[np.float32]:
    """How much nearer each row is to one of two balanced centres than to the other, (n,)."""
    first, second = rng.choice(len(vectors), 2, replace=False)
    axis = vectors[first] - vectors[second]
    for _ in range(_CENTRE_ITERATIONS):
        projections = vectors @ axis
        upper = projections >= np.median(projections)
        if upper.all() or not upper.any():
            break
        axis = vectors[upper].mean(axis=0) - vectors[~upper].mean(axis=0)
    margins: NDArray[np.float32] = vectors @ axis
    return margins
