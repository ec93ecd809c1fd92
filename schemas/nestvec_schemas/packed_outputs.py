"""Several outputs of one pass of an encoder, packed into one array per text: BGE-M3's vector of the text, the
weights of its words, and the vectors of its tokens (Chen et al. 2024, arXiv:2402.03216).

A text's array is (t, dim + 2) float32. Row 0 begins with the vector of the text. Each further row is a token:
its vector of length ``dim``, its weight, and its id. Rows of padding are zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from nestvec_schemas.preprocessing.collate import Array
from nestvec_schemas.towers import OutputKind

EXTRA_COLUMNS: Final = 2
"""A token's weight and its id, which float32 holds exactly up to 16,777,216."""

SUFFIXES: Final[Mapping[OutputKind, str]] = {"sparse": "sparse", "multivector": "colbert"}
"""What names an output besides the first: ``NAME.sparse``."""

SPARSE_DTYPE: Final = np.dtype([("index", "<i4"), ("value", "<f4")])
"""One weight of a sparse vector, and the index of its word in the vocabulary."""


def _vector(packed: Array) -> Array:
    return np.array(packed[0, :-EXTRA_COLUMNS], np.float32)


def _word_weights(packed: Array) -> Array:
    """The largest weight of each word, (k,) SPARSE_DTYPE, in the order of the vocabulary."""
    weights, ids = packed[1:, -2], packed[1:, -1].astype(np.int32)
    order = np.lexsort((-weights, ids))
    order = order[weights[order] > 0]
    words, first = np.unique(ids[order], return_index=True)
    pairs = np.empty(len(words), SPARSE_DTYPE)
    pairs["index"], pairs["value"] = words, weights[order][first]
    return pairs


def _token_vectors(packed: Array) -> Array:
    return np.array(packed[1:, :-EXTRA_COLUMNS], np.float32)


_UNPACK: Final[Mapping[OutputKind, Callable[[Array], Array]]] = {
    "dense": _vector,
    "sparse": _word_weights,
    "multivector": _token_vectors,
}


def unpack(packed: Array, kind: OutputKind) -> Array:
    """The output of a kind: (dim,), (k,) SPARSE_DTYPE, or (t - 1, dim), from a text's array, (t, dim + 2)."""
    return _UNPACK[kind](packed)
