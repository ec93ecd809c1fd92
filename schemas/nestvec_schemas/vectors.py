"""Nested vectors as arrays: truncate, then normalise, in that order, and only here."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nestvec_schemas.errors import DimNotOffered

Vectors = NDArray[np.float32]

Matrix = NDArray[np.float64]
"""A linear map between vectors, (dim, dim) float64."""

FLOAT_BYTES = 4


def truncate(vectors: Vectors, dim: int) -> Vectors:
    """The first ``dim`` numbers of each vector (Kusupati et al. 2022, Matryoshka Representation Learning).

    ``vectors`` is (n, full) float32; the result is a (n, dim) view.
    Raises DimNotOffered when ``dim`` is not in 1..full.
    """
    full = vectors.shape[1]
    check_prefix_dim(dim, full)
    return vectors[:, :dim]


def check_prefix_dim(dim: int, full: int) -> None:
    """Raise DimNotOffered unless ``dim`` is in 1..``full``."""
    if not 1 <= dim <= full:
        raise DimNotOffered(
            "the encoder has no vectors of this many dims",
            value=dim,
            next_step=f"Choose from 1 to {full} dims.",
        )


def normalise(vectors: Vectors) -> Vectors:
    """Each vector at length 1, (n, d) float32 to (n, d) float32; a zero vector stays zero."""
    # As np.linalg.norm computes it, without what that does besides.
    norms: Vectors = np.sqrt(np.add.reduce(vectors * vectors, axis=1, keepdims=True))
    # No length above zero is smaller than this: the square of one is at least 1e-45.
    safe: Vectors = np.maximum(norms, np.float32(1e-30))
    return np.divide(vectors, safe, dtype=np.float32)


def nest(vectors: Vectors, dim: int, *, normalised: bool = True) -> Vectors:
    """Truncate to ``dim``, then normalise (unless the length of the encoder's vectors has a meaning).

    ``vectors`` is (n, full) float32; the result is (n, dim) float32, C-contiguous.
    """
    cut = truncate(vectors, dim)
    return np.ascontiguousarray(normalise(cut) if normalised else cut, dtype=np.float32)


def to_int8(vectors: Vectors) -> NDArray[np.int8]:
    """Each vector scaled so that its largest number is 127 or -127, rounded: (n, d) float32 to (n, d) int8.

    For cosine, where a vector's own scale drops out. Milvus's INT8_VECTOR compares the numbers as they are:
    a scale for each dim, fitted on a sample, would stretch what it finds (nDCG@10 kept by rotated MiniLM at
    384 dims: 0.67 on Cranfield and 0.93 on SciFact, against 1.00 this way). Each number is off by at most
    half a step, so that 1 - cosine to the vector itself is at most (largest / root mean square)^2 / 125,000:
    below 0.0001 for the vectors of most encoders. A zero vector stays zero.
    """
    largest: Vectors = np.abs(vectors).max(axis=1, keepdims=True, initial=0)
    safe: Vectors = np.where(largest > 0, largest, np.float32(1))
    scaled: NDArray[np.int8] = np.rint(vectors / safe * np.float32(127)).astype(np.int8)
    return scaled


def cosines(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """Cosine of each row of ``a`` with the same row of ``b``: (n, d), (n, d) to (n,) float64."""
    left, right = np.asarray(a, np.float64), np.asarray(b, np.float64)
    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    products = (left * right).sum(axis=1)
    safe: NDArray[np.float64] = np.where(norms > 0, norms, 1.0)
    return np.where(norms > 0, products / safe, 0.0)
