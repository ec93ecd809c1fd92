"""Scores of documents with a query: as the encoder gives them, and between 0 and 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nestvec_schemas.late_interaction import maxsim
from nestvec_schemas.vectors import Vectors

Float64Array = NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """Of n documents: ``raw`` as the encoder gives them, ``relevance`` from 0 to 1, (n,) float64 each, both
    in the same order."""

    raw: Float64Array
    relevance: Float64Array

    def order(self, limit: int | None = None) -> list[int]:
        """The documents, the best first, at most so many; of equal ones the first."""
        best = np.argsort(-self.raw, kind="stable")[:limit]
        return [int(index) for index in best]


def score_logits(logits: Vectors) -> Scores:
    """A cross-encoder's logits, (n,) float32; relevance is their sigmoid, as TEI and vLLM give it.

    In float64: in float32 logits above 17 would all be 1.
    """
    raw = logits.astype(np.float64)
    # exp of what is never above 0, so that nothing overflows.
    small = np.exp(-np.abs(raw))
    return Scores(raw, np.where(raw >= 0, 1 / (1 + small), small / (1 + small)))


def score_late_interaction(query: Vectors, documents: Sequence[Vectors]) -> Scores:
    """Late interaction: ``query`` is (q, dim) float32, each document (t, dim), all of unit length.

    ``raw`` is the sum over the query's vectors of their largest cosine; relevance is its mean, brought from
    -1..1 to 0..1.
    """
    raw = maxsim(query, documents)
    return Scores(raw, np.clip((raw / max(1, len(query)) + 1) / 2, 0, 1))
