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
    """The scores of n documents, in their order."""

    raw: Float64Array
    """(n,) as the encoder gives them"""
    relevance: Float64Array
    """(n,) from 0 to 1"""

    def order(self, limit: int | None = None) -> list[int]:
        """The indices of the documents, the best first, at most ``limit``; equal ones keep their order."""
        best = np.argsort(-self.raw, kind="stable")[:limit]
        return [int(index) for index in best]


def score_logits(logits: Vectors) -> Scores:
    """Scores from a cross-encoder's logits, (n,) float32; relevance is their sigmoid, as in TEI and vLLM.

    In float64: in float32, logits above 17 would all be 1.
    """
    raw = logits.astype(np.float64)
    # exp of numbers that are never above 0, so that nothing overflows.
    small = np.exp(-np.abs(raw))
    return Scores(raw, np.where(raw >= 0, 1 / (1 + small), small / (1 + small)))


def score_late_interaction(query: Vectors, documents: Sequence[Vectors]) -> Scores:
    """Late interaction: ``query`` is (q, dim) float32, each document (t, dim), all of unit length.

    ``raw`` is the sum over the query's vectors of their largest cosine; relevance is its mean, rescaled from
    -1..1 to 0..1.
    """
    raw = maxsim(query, documents)
    return Scores(raw, np.clip((raw / max(1, len(query)) + 1) / 2, 0, 1))
