"""Scores of documents with a query: as the encoder gives them, and between 0 and 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

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


EMPTY_LOGIT: Final = -1000.0
"""The logit of an empty document: below that of any text, and its sigmoid is 0."""


def score_logits(logits: NDArray[Any]) -> Scores:
    """Scores from a cross-encoder's logits, (n,) float; relevance is their sigmoid, as in TEI and vLLM.

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
    return score_token_sums(maxsim(query, documents), len(query))


def score_token_sums(raw: Float64Array, query_tokens: int) -> Scores:
    """The scores of late interaction by their sums, (n,), over a query's ``query_tokens`` vectors."""
    return Scores(raw, np.clip((raw / max(1, query_tokens) + 1) / 2, 0, 1))


def score_cosines(raw: Float64Array) -> Scores:
    """Scores from cosines, (n,); relevance is rescaled from -1..1 to 0..1."""
    return Scores(raw, np.clip((raw + 1) / 2, 0, 1))
