"""Orthogonal matrices: principal axes, the nearest to a matrix, and the mean of several."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from nestvec_schemas.vectors import Matrix, Vectors


def pca_rotation(vectors: Vectors) -> Matrix:
    """The rotation R, (d, d) float64, onto uncentred principal axes: rows times R.

    Axes are in the order of their share of the squared length of ``vectors``, (n, d) float32. Uncentred,
    since subtracting a mean would change every cosine. The largest component of each axis is positive.
    """
    wide = np.asarray(vectors, np.float64)
    return _leading_axes(wide.T @ wide)


def nearest_orthogonal(matrix: Matrix) -> Matrix:
    """The orthogonal matrix nearest to ``matrix``, (d, d) float64: its polar factor."""
    left, _, right = np.linalg.svd(np.asarray(matrix, np.float64))
    return np.ascontiguousarray(left @ right)


def mean_rotation(rotations: Sequence[Matrix], prefixes: Sequence[int]) -> Matrix:
    """The rotation, (d, d) float64, whose prefixes span what those of ``rotations`` span on average.

    A prefix's cosines depend on the subspace that its axes span, not on the axes, so that a mean of the
    matrices themselves would blur what is alike. The mean here is of the projections onto each of
    ``prefixes``, summed over them: a mean of flags (Draper et al. 2014, in the chordal distance).
    """
    dim = len(rotations[0])
    # An axis counts in each prefix that contains it; the last term orders axes past the longest prefix.
    counts = (np.arange(dim)[:, None] < np.array([*prefixes, dim])).sum(axis=1)
    weights = counts - 1e-3 * np.arange(dim) / dim
    projections = [(rotation * weights) @ rotation.T for rotation in rotations]
    return _leading_axes(np.sum(projections, axis=0))


def sort_within_prefixes(rotation: Matrix, vectors: Vectors, prefixes: Sequence[int]) -> Matrix:
    """``rotation`` with the axes between two prefixes turned to the principal axes of ``vectors`` there.

    What each of ``prefixes`` spans stays the same; lengths between two of them profit.
    """
    rotated = np.asarray(vectors, np.float64) @ rotation
    ordered = rotation.copy()
    for start, end in pairwise(sorted({0, *prefixes, len(rotation)})):
        block = rotated[:, start:end]
        ordered[:, start:end] = rotation[:, start:end] @ _leading_axes(block.T @ block)
    return nearest_orthogonal(ordered)


def _leading_axes(symmetric: Matrix) -> Matrix:
    """Eigenvectors by falling eigenvalue, each with its largest component positive."""
    _, axes = np.linalg.eigh(symmetric)
    axes = axes[:, ::-1]
    largest = axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])]
    return np.ascontiguousarray(axes * np.where(largest < 0, -1.0, 1.0))
