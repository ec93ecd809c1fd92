"""Maps that have a closed form: orthogonal Procrustes and ridge regression."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from nestvec_exporters.space_maps.mapping import BridgeMap, PairedVectors, linear
from nestvec_schemas.vectors import Matrix, Vectors

RIDGE_WEIGHTS: Final = (1e-4, 1e-3, 1e-2)
"""Penalties as shares of the number of texts, that is, of the sum of squares."""


def procrustes(texts: PairedVectors) -> BridgeMap:
    """The matrix with orthonormal rows or columns that brings the new vectors nearest to the old ones
    (Schönemann 1966); where lengths differ it is that of the longer space, truncated."""
    left, _, right = np.linalg.svd(
        texts.new.T.astype(np.float64) @ texts.old.astype(np.float64), full_matrices=False
    )
    return linear(left @ right)


def query_start(documents: PairedVectors, near: BridgeMap, weight: float) -> BridgeMap:
    """A map of queries by which old documents are ranked as by the new encoder, halfway to ``near``, a linear
    map into the old space.

    The ranking's own map is the transposed ridge regression from old to new documents: the inner product of a
    mapped query and an old document is that of the query and what the document is predicted to be by the new
    encoder.
    """
    ranking = ridge(PairedVectors(documents.new, documents.old), weight).matrix.T
    inputs = documents.inputs[:, : near.width]
    ranking = np.pad(ranking, ((0, near.width - len(ranking)), (0, 0)))  # it reads no tokens
    near_norm, norm = (float(np.linalg.norm(inputs @ matrix)) for matrix in (near.matrix, ranking))
    return linear((near.matrix + near_norm / max(norm, 1e-9) * ranking) / 2)


def ridge(texts: PairedVectors, weight: float) -> BridgeMap:
    """Least squares from new vectors, and sums of tokens where there are any, to old ones, with a penalty of
    ``weight`` times the number of texts (Hoerl & Kennard 1970)."""
    inputs, old = texts.inputs.astype(np.float64), texts.old.astype(np.float64)
    return linear(ridge_solver(inputs, weight * len(texts) / texts.new.shape[1])(old))


def ridge_solver(inputs: Vectors | Matrix, penalty: float) -> Callable[[Vectors | Matrix], Matrix]:
    """What gives the matrix by which rows of ``inputs``, (n, d), come nearest to other rows, (n, e): least
    squares, with a penalty on the matrix's own."""
    gram = inputs.T @ inputs + penalty * np.eye(inputs.shape[1])

    def solve(rows: Vectors | Matrix) -> Matrix:
        return np.asarray(np.linalg.solve(gram, (inputs.T @ rows).astype(np.float64)), np.float64)

    return solve
