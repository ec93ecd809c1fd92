"""How well the outputs of a graph agree when it runs in two ways."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from nestvec_schemas.errors import EngineError
from nestvec_schemas.packed_outputs import EXTRA_COLUMNS
from nestvec_schemas.preprocessing.collate import Array


def smallest_cosine(outputs: Sequence[Array], references: Sequence[Array], *, packed: bool = False) -> float:
    """The smallest cosine between the vectors of two runs over the same batches, at most 1.

    Vectors are the rows of the last axis; where all have length 1, as a reranker's, all numbers less their
    mean are one vector. ``packed`` arrays have several outputs of one pass. 0 for vectors that are not
    finite, or not of the same token. Raises EngineError if shapes differ.
    """
    pairs = [pair for arrays in _pairs(outputs, references) for pair in _vectors(arrays, packed=packed)]
    return min((_cosine(vectors, others) for vectors, others in pairs), default=1.0)


def largest_difference(
    outputs: Sequence[Array], references: Sequence[Array], *, packed: bool = False
) -> float:
    """The largest difference of two numbers, relative to the largest of their array if that is above 1.

    Infinite if one is not finite, or the ids of tokens in a ``packed`` array differ. Raises EngineError if
    shapes differ.
    """
    largest = 0.0
    for output, reference in _pairs(outputs, references):
        if not (np.isfinite(output).all() and np.isfinite(reference).all()):
            return float("inf")
        if packed:
            if not np.array_equal(output[..., -1], reference[..., -1]):
                return float("inf")
            output, reference = output[..., :-1], reference[..., :-1]
        scale = max(1.0, float(np.abs(reference).max(initial=0.0)))
        largest = max(largest, float(np.abs(output - reference).max(initial=0.0)) / scale)
    return largest


def _pairs(outputs: Sequence[Array], references: Sequence[Array]) -> Iterator[tuple[Array, Array]]:
    scores: list[tuple[Array, Array]] = []
    for output, reference in zip(outputs, references, strict=True):
        if output.shape != reference.shape:
            raise EngineError(
                "a graph's output has two shapes, depending on what runs it",
                value=f"{output.shape}, not {reference.shape}",
                next_step="Export the encoder again.",
            )
        if output.ndim == 2 and output.shape[1] == 1:
            scores.append((output, reference))
        else:
            yield output, reference
    if scores:
        yield tuple(np.concatenate([pair[side] for pair in scores]) for side in (0, 1))  # type: ignore[misc]


def _vectors(arrays: tuple[Array, Array], *, packed: bool) -> Iterator[tuple[Array, Array]]:
    """Two arrays as vectors to compare, (n, d) each."""
    output, reference = (array.astype(np.float64) for array in arrays)
    if output.ndim == 2 and output.shape[1] == 1:
        yield (output - output.mean()).T, (reference - reference.mean()).T
        return
    if not packed:
        yield output.reshape(-1, output.shape[-1]), reference.reshape(-1, output.shape[-1])
        return
    tokens, others = (array.reshape(-1, array.shape[-1]) for array in (output, reference))
    yield tokens[:, :-EXTRA_COLUMNS], others[:, :-EXTRA_COLUMNS]
    yield tokens[:, -2:-1].T, others[:, -2:-1].T
    if not np.array_equal(tokens[:, -1], others[:, -1]):
        # The ids of tokens did not survive: a precision of 8 bits holds them only up to 256.
        yield np.zeros((1, 1)), np.ones((1, 1))


def _cosine(vectors: Array, others: Array) -> float:
    """The smallest cosine of two rows; rows that are zero in both are left out."""
    if not (np.isfinite(vectors).all() and np.isfinite(others).all()):
        return 0.0
    norms = np.linalg.norm(vectors, axis=1), np.linalg.norm(others, axis=1)
    used = (norms[0] > 0) | (norms[1] > 0)
    if not used.any():
        return 1.0
    products = np.maximum(norms[0][used] * norms[1][used], np.finfo(np.float64).tiny)
    cosines = (vectors[used] * others[used]).sum(axis=1) / products
    return float(min(1.0, cosines.min()))
