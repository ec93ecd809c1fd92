"""The engine's output for a batch, as one array for each input: a row for each kind of encoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from nestvec_schemas.errors import EngineError
from nestvec_schemas.packed_outputs import SPARSE_DTYPE as SPARSE_DTYPE
from nestvec_schemas.preprocessing.collate import Array
from nestvec_schemas.towers import OutputKind


@dataclass(frozen=True)
class OutputSpec:
    """How the output of an encoder of one kind is read."""

    axes: int
    """Of the engine's array: the first is the batch's, the last has ``dim`` numbers."""
    extract: Callable[[Array], Array]
    """Makes an array that owns its data from one input's part of the engine's array."""


def _nonzero_weights(row: Array) -> Array:
    """(dim,) float32 to its weights above zero, (k,) SPARSE_DTYPE, in the order of the vocabulary."""
    index = np.flatnonzero(row > 0)
    weights = np.empty(len(index), SPARSE_DTYPE)
    weights["index"], weights["value"] = index, row[index]
    return weights


def top_weights(weights: Array, top: int | None) -> Array:
    """The ``top`` largest of (k,) SPARSE_DTYPE in the order of the vocabulary, or all of them for None."""
    if top is None or len(weights) <= top:
        return weights
    largest: Array = weights[np.sort(np.argsort(-weights["value"], kind="stable")[:top])]
    return largest


def _token_vectors(row: Array) -> Array:
    """(t, dim) float32 without the rows of padding, which are zero."""
    vectors: Array = row[row.any(axis=1)]
    return vectors


OUTPUT_SPECS: dict[OutputKind, OutputSpec] = {
    "dense": OutputSpec(2, np.ndarray.copy),
    "sparse": OutputSpec(2, _nonzero_weights),
    "multivector": OutputSpec(3, _token_vectors),
    "reranker": OutputSpec(2, np.ndarray.copy),
}


def zero_output(kind: OutputKind, dim: int) -> Array:
    """What stands for an input that could not be read: (dim,) zeros, no weight if sparse, or no token."""
    if kind == "sparse":
        return np.empty(0, SPARSE_DTYPE)
    return np.zeros((0, dim) if kind == "multivector" else dim, np.float32)


PACKED: Final = OutputSpec(3, _token_vectors)
"""Several outputs of one pass (``nestvec_schemas.packed_outputs``)."""


@dataclass(frozen=True)
class PartSpec:
    """One part of an encoder, and what it outputs."""

    encoder: str
    part: str
    kind: OutputKind
    dim: int
    """Length of the last axis of the engine's array."""
    max_tokens: int
    """Of one input."""
    packed: bool = False
    """Whether several outputs of one pass are in that array."""
    generation: int = 0
    """Which opening of the encoder the engine is to run."""

    @property
    def output(self) -> OutputSpec:
        """How the engine's array is read."""
        return PACKED if self.packed else OUTPUT_SPECS[self.kind]


def check_engine_output(output: Array, spec: OutputSpec, count: int, dim: int) -> None:
    """Raise EngineError unless an engine's output is ``count`` of a ``spec``, of ``dim`` finite numbers."""
    axes = spec.axes
    if output.ndim != axes or (len(output), output.shape[-1]) != (count, dim):
        expected = (count, dim) if axes == 2 else (count, "tokens", dim)
        raise EngineError(
            "the engine's output has the wrong shape",
            value=output.shape,
            next_step=f"It must be {expected}: export the encoder again.",
        )
    if not np.isfinite(output).all():
        raise EngineError(
            "the engine's output has numbers that are not finite",
            next_step="Export the encoder again, in fp32 if it was not.",
        )
