"""Vectors in fewer bits: codes of one bit a dim, and of eight with a scale for each dim."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from nestvec_schemas.errors import DimNotOffered, SampleUnusable
from nestvec_schemas.vectors import Vectors

Bits = NDArray[np.uint8]
Codes = NDArray[np.int8]

LEVELS: Final = 127
"""The largest code: -128 is not used, so that a vector and its opposite have opposite codes."""

_WORD = 8
"""Bytes that are compared at once."""


def sign_bits(vectors: Vectors) -> Bits:
    """One bit a number, 1 where it is positive: (n, dim) float32 to (n, dim / 8) uint8.

    The first number is the most significant bit, as in Cohere's ``ubinary`` and Milvus's BINARY_VECTOR.
    Of a rotated encoder's prefix these are codes for a shortlist, which real-valued vectors rescore
    (Grzegorczyk & Kurdziel 2017, Binary Paragraph Vectors). Raises DimNotOffered unless 8 divides ``dim``.
    """
    check_bits(vectors.shape[1])
    return np.packbits(vectors > 0, axis=1)


def check_bits(dim: int) -> None:
    """Raise DimNotOffered unless codes of ``dim`` bits fill whole bytes."""
    if dim < 1 or dim % 8:
        raise DimNotOffered(
            "binary codes are made of as many dims as fill whole bytes",
            value=dim,
            next_step="Ask for a multiple of 8.",
        )


def hamming(a: Bits, b: Bits) -> NDArray[np.int32]:
    """How many bits differ, each row of ``a`` with each of ``b``: (n, w), (m, w) uint8 to (n, m) int32."""
    left, right = _words(a), _words(b)
    distances = np.zeros((len(left), len(right)), np.int32)
    for word in range(left.shape[1]):
        distances += np.bitwise_count(left[:, word, None] ^ right[None, :, word])
    return distances


def _words(bits: Bits) -> NDArray[np.uint64]:
    """Rows of bytes as rows of 64-bit words, filled up with zeros that differ from nothing."""
    filled = np.pad(bits, ((0, 0), (0, -bits.shape[1] % _WORD)))
    return np.ascontiguousarray(filled, np.uint8).view(np.uint64)


def int8_scales(sample: Vectors) -> Vectors:
    """What one step of ``to_int8`` stands for in each dim: (n, dim) float32 to (dim,) float32, all positive.

    The largest number of the sample in a dim has the code 127; a dim that is zero throughout has scale 1.
    Raises SampleUnusable for a sample without vectors, or with numbers that are not finite.
    """
    if not len(sample) or not np.isfinite(sample).all():
        raise SampleUnusable(
            "scales cannot be read off these vectors",
            value=f"{len(sample)} vectors" if not len(sample) else "numbers that are not finite",
            next_step="Give vectors of some hundred texts like those that will be stored.",
        )
    largest = np.abs(sample).max(axis=0) / np.float32(LEVELS)
    return np.where(largest > 0, largest, 1).astype(np.float32)


def to_int8(vectors: Vectors, scales: Vectors) -> Codes:
    """Each number in steps of its dim's scale, rounded and cut at 127: (n, dim), (dim,) to (n, dim) int8.

    For a search that undoes the scales, which is exact on one side: ``query * scales`` with the codes is
    the query with ``from_int8(codes, scales)``. Not for Milvus's INT8_VECTOR: it compares the codes as they
    are, and a scale for each dim distorts cosines. There ``vectors.to_int8`` belongs, whose one scale for
    each vector drops out of them.
    """
    codes: Codes = np.clip(np.rint(vectors / scales), -LEVELS, LEVELS).astype(np.int8)
    return codes


def from_int8(codes: Codes, scales: Vectors) -> Vectors:
    """What codes stand for: (n, dim) int8, (dim,) float32 to (n, dim) float32, half a scale off at most."""
    return codes.astype(np.float32) * scales
