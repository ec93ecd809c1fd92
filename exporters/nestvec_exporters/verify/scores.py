"""Compare a reranker's scores with the checkpoint's own: as they are, not only in their order."""

from __future__ import annotations

from typing import Final

import numpy as np

from nestvec_schemas.errors import VerificationFailed
from nestvec_schemas.manifest import Precision, Verification
from nestvec_schemas.preprocessing.collate import Array
from nestvec_schemas.vectors import cosines

SCORE_ERRORS: Final[dict[Precision, float]] = {
    "fp32": 0.01,
    "fp16": 0.1,
    "int8": 1.0,
    "int8-dynamic": 1.0,
    "int8-weights": 0.5,
    "int4-weights": 1.0,
}
"""The largest difference of a score, as a share of the scores' spread."""

MEAN_SCORE_ERRORS: Final[dict[Precision, float]] = {
    "fp32": 0.005,
    "fp16": 0.05,
    "int8": 0.3,
    "int8-dynamic": 0.3,
    "int8-weights": 0.1,
    "int4-weights": 0.3,
}
"""The largest mean of these differences."""

CORRELATIONS: Final[dict[Precision, float]] = {
    "fp32": 0.9999,
    "fp16": 0.999,
    "int8": 0.95,
    "int8-dynamic": 0.95,
    "int8-weights": 0.99,
    "int4-weights": 0.95,
}
"""The smallest correlation of the scores."""

_FEWEST: Final = 8
"""Scores that have a correlation worth the name."""

_SMALLEST_SPREAD: Final = 1e-3
"""The smallest spread, as a share of the largest score: below it, differences are rounding."""


def compare_scores(source: Array, exported: Array, precision: Precision) -> Verification:
    """Compare n scores, (n,) float32, with the checkpoint's: a score that is scaled, shifted or behind an
    activation differs, although its order does not.

    The cosines in the result are those between (z, 1) and (z', 1), where z and z' are a score and the
    checkpoint's, both about the checkpoint's mean in units of the checkpoint's spread. Raises
    VerificationFailed.
    """
    spread = max(float(source.std()), _SMALLEST_SPREAD * float(np.abs(source).max()), 1e-9)
    expected, compared = (
        np.asarray(scores - source.mean(), np.float64) / spread for scores in (source, exported)
    )
    errors = np.nan_to_num(np.abs(compared - expected), nan=np.inf)
    for error, allowed, share in (
        (float(errors.max()), SCORE_ERRORS[precision], "within"),
        (float(errors.mean()), MEAN_SCORE_ERRORS[precision], "on average within"),
    ):
        if error > allowed:
            raise _failed(f"{precision} must be {share} {allowed:g} of their spread", error, precision)
    if len(source) >= _FEWEST and source.std() > 0:
        correlation = float(np.nan_to_num(np.corrcoef(expected, compared)[0, 1], nan=-1.0))
        if correlation < CORRELATIONS[precision]:
            cause = f"{precision} must reach a correlation of {CORRELATIONS[precision]}"
            raise _failed(cause, correlation, precision)
    rows = (np.stack([scores, np.ones_like(scores)], axis=1) for scores in (expected, compared))
    similarities = cosines(*rows)
    return Verification(
        sentences=len(source), cosine_min=float(similarities.min()), cosine_mean=float(similarities.mean())
    )


def _failed(requirement: str, value: float, precision: Precision) -> VerificationFailed:
    advice = "Export it with --precision fp32" if precision != "fp32" else "Choose another checkpoint"
    return VerificationFailed(
        f"the exported scores are too far from the checkpoint's: {requirement}",
        value=f"{value:.4f}",
        next_step=f"{advice}; nothing was written.",
    )
