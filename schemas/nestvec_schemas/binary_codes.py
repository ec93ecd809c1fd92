"""Vectors as binary codes of one bit per dim."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nestvec_schemas.errors import DimNotOffered
from nestvec_schemas.vectors import Vectors

Bits = NDArray[np.uint8]

_WORD_BYTES = 8
"""Bytes of one comparison."""


def sign_bits(vectors: Vectors) -> Bits:
    """One bit per number, 1 if it is positive: (n, dim) float32 to (n, dim / 8) uint8.

    The first number is the most significant bit, as in Cohere's ``ubinary`` and Milvus's BINARY_VECTOR.
    The codes of a rotated encoder's prefix give a shortlist, which real-valued vectors rescore
    (Grzegorczyk & Kurdziel 2017, Binary Paragraph Vectors). Raises DimNotOffered unless 8 divides ``dim``.
    """
    check_binary_dim(vectors.shape[1])
    return np.packbits(vectors > 0, axis=1)


def check_binary_dim(dim: int) -> None:
    """Raise DimNotOffered unless codes of ``dim`` bits fill whole bytes."""
    if dim < 1 or dim % 8:
        raise DimNotOffered(
            "the dims of binary codes must fill whole bytes",
            value=dim,
            next_step="Choose a multiple of 8.",
        )


def hamming(a: Bits, b: Bits) -> NDArray[np.int32]:
    """The number of different bits of each row of ``a`` and each of ``b``: (n, w), (m, w) uint8 to (n, m)
    int32."""
    left, right = _words(a), _words(b)
    distances = np.zeros((len(left), len(right)), np.int32)
    for word in range(left.shape[1]):
        distances += np.bitwise_count(left[:, word, None] ^ right[None, :, word])
    return distances


def _words(bits: Bits) -> NDArray[np.uint64]:
    """Rows of bytes as rows of 64-bit words, padded with zeros."""
    filled = np.pad(bits, ((0, 0), (0, -bits.shape[1] % _WORD_BYTES)))
    return np.ascontiguousarray(filled, np.uint8).view(np.uint64)
