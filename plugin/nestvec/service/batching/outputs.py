"""What the engine gives for a batch, as one answer an input: a row for each kind of encoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from nestvec_schemas.errors import EngineError
from nestvec_schemas.preprocessing.collate import Array
from nestvec_schemas.towers import Kind

SPARSE_DTYPE: Final = np.dtype([("index", "<i4"), ("value", "<f4")])
"""One weight of a sparse vector, and the word of the vocabulary that has it."""


@dataclass(frozen=True)
class OutputSpec:
    """``axes`` of the engine's array, the first for inputs and the last of ``dim`` numbers; ``take`` makes an
    input's answer, an array of its own, of its part of it."""

    axes: int
    take: Callable[[Array], Array]


def _nonzero_weights(row: Array) -> Array:
    """(dim,) float32 to its weights above zero, (k,) SPARSE, in the order of their words."""
    index = np.flatnonzero(row > 0)
    weights = np.empty(len(index), SPARSE_DTYPE)
    weights["index"], weights["value"] = index, row[index]
    return weights


def top_weights(weights: Array, top: int | None) -> Array:
    """The ``top`` largest of (k,) SPARSE, in the order of their words; all of them where it is None."""
    if top is None or len(weights) <= top:
        return weights
    largest: Array = weights[np.sort(np.argsort(-weights["value"], kind="stable")[:top])]
    return largest


def _token_vectors(row: Array) -> Array:
    """(t, dim) float32 without the rows of padding, which are zero."""
    vectors: Array = row[row.any(axis=1)]
    return vectors


OUTPUT_SPECS: dict[Kind, OutputSpec] = {
    "dense": OutputSpec(2, np.copy),
    "sparse": OutputSpec(2, _nonzero_weights),
    "multivector": OutputSpec(3, _token_vectors),
    "reranker": OutputSpec(2, np.copy),
}


def check_output(outputs: Array, kind: Kind, count: int, dim: int) -> None:
    """Raise EngineError unless an engine's answer is ``count`` of a ``kind``, of ``dim`` finite numbers."""
    axes = OUTPUT_SPECS[kind].axes
    if outputs.ndim != axes or (len(outputs), outputs.shape[-1]) != (count, dim):
        expected_shape = (count, dim) if axes == 2 else (count, "tokens", dim)
        raise EngineError(
            "the engine's answer has the wrong shape",
            value=outputs.shape,
            next_step=f"It must be {expected_shape}: export the encoder again.",
        )
    if not np.isfinite(outputs).all():
        raise EngineError(
            "the engine answered with numbers that are not finite",
            next_step="Export the encoder again, in fp32 if it was not.",
        )
