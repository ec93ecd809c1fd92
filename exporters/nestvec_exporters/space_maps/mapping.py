"""A map from one encoder's space into another's: linear, with a residual of one hidden layer if it helps."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nestvec_schemas.vectors import Matrix, Vectors, normalise

Rows = NDArray[np.intp]

TokenTable = NDArray[np.float16]
"""(vocabulary, e): a vector of the old space for each token of the new encoder, shorter for frequent ones."""


@dataclass(frozen=True)
class PairedVectors:
    """The same texts embedded by both encoders, row by row, each vector of length 1."""

    old: Vectors
    """(n, d_old) float32."""

    new: Vectors
    """(n, d_new) float32."""

    tokens: Vectors | None = None
    """(n, e) float32: the sum of the old encoder's vectors of each text's tokens, of length 1; None where
    they are not read."""

    @property
    def inputs(self) -> Vectors:
        """What a map of the new encoder may read: its vectors, and the sums of tokens behind them."""
        return self.new if self.tokens is None else np.concatenate([self.new, self.tokens], axis=1)

    def __len__(self) -> int:
        return len(self.old)

    def at(self, rows: Rows) -> PairedVectors:
        """Some of the texts."""
        tokens = None if self.tokens is None else self.tokens[rows]
        return PairedVectors(self.old[rows], self.new[rows], tokens)


def join(parts: list[PairedVectors]) -> PairedVectors:
    """All texts of several, in order."""
    tokens = [part.tokens for part in parts if part.tokens is not None]
    return PairedVectors(
        np.concatenate([part.old for part in parts]),
        np.concatenate([part.new for part in parts]),
        np.concatenate(tokens) if tokens else None,
    )


@dataclass(frozen=True)
class HiddenLayer:
    """A residual: relu(x W + b) V, as in Drift-Adapter (Vejendla 2025)."""

    weights: Matrix
    """(d, h) float32."""

    bias: Matrix
    """(h,) float32."""

    output: Matrix
    """(h, d_old) float32."""


@dataclass(frozen=True)
class BridgeMap:
    """Maps vectors of the new encoder into the old encoder's space.

    It reads the first d values of ``PairedVectors.inputs``: the vector alone, or the sum of tokens behind it
    too.
    """

    matrix: Matrix
    """(d, d_old) float32; multiplies rows."""

    bias: Matrix
    """(d_old,) float32."""

    hidden: HiddenLayer | None = None

    @property
    def dim(self) -> int:
        """Length of the mapped vectors."""
        return int(self.matrix.shape[1])

    @property
    def width(self) -> int:
        """The number of values that it reads."""
        return len(self.matrix)

    def __call__(self, inputs: Vectors) -> Vectors:
        """The vectors of ``inputs``, (n, at least d) float32, in the old space: (n, d_old) float32 of
        length 1."""
        vectors = inputs[:, : self.width]
        mapped = vectors @ self.matrix + self.bias
        if self.hidden is not None:
            mapped = mapped + np.maximum(vectors @ self.hidden.weights + self.hidden.bias, 0) @ (
                self.hidden.output
            )
        return normalise(np.asarray(mapped, np.float32))


@dataclass(frozen=True)
class BridgeMaps:
    """The maps of a bridge. Queries may have their own, which ranks better, less near to the old vectors."""

    documents: BridgeMap
    """Of documents, and of texts of which is not known whether they are queries."""

    own_queries: BridgeMap | None = None
    """Of queries; None where they have the one of documents."""

    tokens: TokenTable | None = None
    """What maps that are wider than the new encoder's vectors read of each token."""

    @property
    def queries(self) -> BridgeMap:
        """What maps queries."""
        return self.own_queries or self.documents

    @property
    def width(self) -> int:
        """The number of values that the wider of them reads."""
        return max(self.documents.width, self.queries.width)


def linear(matrix: Matrix) -> BridgeMap:
    """The map that is a matrix, (d, d_old)."""
    return BridgeMap(np.asarray(matrix, np.float32), np.zeros(matrix.shape[1], np.float32))


def between(start: BridgeMap, end: BridgeMap, share: float) -> BridgeMap:
    """The map whose outputs, before they are brought to length 1, are ``share`` of the way from those of
    ``start``, a linear map, to those of ``end``."""
    layer = end.hidden
    return BridgeMap(
        (1 - share) * start.matrix + share * end.matrix,
        (1 - share) * start.bias + share * end.bias,
        layer and replace(layer, output=share * layer.output),
    )
