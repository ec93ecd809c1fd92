"""Distances of stored vectors in numpy, as Milvus's metrics define them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nestvec.sqltypes.vectors import pack_bits

Distances = NDArray[np.float64]

BITS_PER_NUMBER: Final[Mapping[str, int]] = {
    "FLOAT_VECTOR": 32,
    "FLOAT16_VECTOR": 16,
    "BFLOAT16_VECTOR": 16,
    "INT8_VECTOR": 8,
    "BINARY_VECTOR": 1,
}
"""By type: the bits that one dim of a vector takes, for those whose distances are computed here."""

_METRICS_BY_FORM: Final = {True: ("HAMMING", "JACCARD"), False: ("COSINE", "L2", "IP")}
"""The metrics of binary vectors, and of others."""


def row_bytes(column_type: str, dim: int, metric: str) -> int:
    """Bytes of one vector; 0 if its distances cannot be computed here."""
    if metric not in _METRICS_BY_FORM[column_type == "BINARY_VECTOR"]:
        return 0
    return -(-BITS_PER_NUMBER.get(column_type, 0) * dim // 8)


def decode_vectors(column_type: str, values: Sequence[Any]) -> NDArray[Any]:
    """Vectors as pymilvus returns them as rows: float32, or uint8 bits (0 and 1) of binary ones."""
    if column_type == "FLOAT_VECTOR":
        return np.asarray(values, np.float32)
    if column_type == "BINARY_VECTOR" and any(isinstance(value, str) for value in values):
        values = [pack_bits(value) if isinstance(value, str) else value for value in values]
    raw = [_raw_bytes(value) for value in values]
    if any(value is None for value in raw):
        return np.asarray([np.asarray(value, np.float32) for value in values], np.float32)
    blocks = np.frombuffer(b"".join(value or b"" for value in raw), np.uint8).reshape(len(raw), -1)
    if column_type == "BINARY_VECTOR":
        return np.unpackbits(blocks, axis=1)
    if column_type == "INT8_VECTOR":
        return blocks.view(np.int8).astype(np.float32)
    if column_type == "FLOAT16_VECTOR":
        return blocks.view(np.float16).astype(np.float32)
    # The upper half of a 32-bit float.
    return (blocks.view(np.uint16).astype(np.uint32) << 16).view(np.float32)


def _raw_bytes(value: Any) -> bytes | None:
    """The bytes of a vector, which pymilvus may put into a list; None for numbers."""
    inner = value[0] if isinstance(value, list) and len(value) == 1 else value
    return bytes(inner) if isinstance(inner, (bytes, bytearray)) else None


def distances(metric: str, query: NDArray[Any], vectors: NDArray[Any]) -> Distances:
    """The distances of (n, dim) vectors to a query, (n,) float64: smaller is nearer.

    As SQL's operators: 1 - cosine, the Euclidean distance, the negative inner product, the number of bits
    that differ, and 1 - the share of common bits. A vector of zeros has the cosine 0 with every other; equal
    vectors have equal distances, and those with NaN have NaN.
    """
    return _DISTANCES[metric](query, vectors)


def _cosine(query: NDArray[Any], vectors: NDArray[Any]) -> Distances:
    lengths = np.linalg.norm(vectors, axis=1).astype(np.float64) * float(np.linalg.norm(query))
    products = _products(query, vectors)
    with np.errstate(invalid="ignore"):
        shares = np.divide(products, lengths, out=np.zeros_like(products), where=lengths != 0)
    return np.asarray(1.0 - np.clip(shares, -1.0, 1.0))


def _products(query: NDArray[Any], vectors: NDArray[Any]) -> Distances:
    # Not a matrix product: BLAS adds the numbers of the last rows in another order, and equal vectors differ.
    return np.asarray(np.einsum("ij,j->i", vectors, query), np.float64)


def _euclidean(query: NDArray[Any], vectors: NDArray[Any]) -> Distances:
    return np.asarray(np.linalg.norm(vectors - query, axis=1), np.float64)


def _inner_product(query: NDArray[Any], vectors: NDArray[Any]) -> Distances:
    return np.asarray(-_products(query, vectors))


def _hamming(query: NDArray[Any], vectors: NDArray[Any]) -> Distances:
    return np.asarray((vectors != query).sum(axis=1), np.float64)


def _jaccard(query: NDArray[Any], vectors: NDArray[Any]) -> Distances:
    common = np.logical_and(vectors, query).sum(axis=1).astype(np.float64)
    either = np.logical_or(vectors, query).sum(axis=1).astype(np.float64)
    return np.asarray(1.0 - np.divide(common, either, out=np.ones_like(common), where=either > 0))


_DISTANCES: Final[Mapping[str, Callable[[NDArray[Any], NDArray[Any]], Distances]]] = {
    "COSINE": _cosine,
    "L2": _euclidean,
    "IP": _inner_product,
    "HAMMING": _hamming,
    "JACCARD": _jaccard,
}
