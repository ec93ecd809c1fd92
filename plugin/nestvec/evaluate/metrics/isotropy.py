"""How evenly vectors fill their space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nestvec_schemas.vectors import Vectors, cosines, nest

SAMPLE_SIZE = 4096
"""Vectors that are sampled, and random pairs of them."""


@dataclass(frozen=True)
class Isotropy:
    """Two measures of isotropy."""

    mean_cosine: float
    """Of random pairs (Ethayarajh 2019): 0 without a preferred direction, 1 if all vectors are the same."""

    effective_rank: float
    """How many dims are used (Roy & Vetterli 2007), from 1 to dim."""


def sample_vectors(vectors: Vectors, seed: int) -> Vectors:
    """At most SAMPLE_SIZE of the vectors, in their order; (n, d) float32 to (m, d) float32."""
    count = len(vectors)
    if count <= SAMPLE_SIZE:
        return np.asarray(vectors)
    chosen = np.random.default_rng(seed).choice(count, SAMPLE_SIZE, replace=False)
    return np.asarray(vectors[np.sort(chosen)])


def isotropy(vectors: Vectors, dim: int, seed: int) -> Isotropy:
    """Of the first ``dim`` numbers of ``vectors``, (n, full) float32, normalised."""
    cut = nest(vectors, dim).astype(np.float64)
    count = len(cut)
    random = np.random.default_rng(seed)
    first = random.integers(0, count, SAMPLE_SIZE)
    second = (first + random.integers(1, max(count, 2), SAMPLE_SIZE)) % count
    spectrum = np.sqrt(np.clip(np.linalg.eigvalsh(cut.T @ cut), 0, None))
    return Isotropy(float(cosines(cut[first], cut[second]).mean()), _effective_rank(spectrum))


def _effective_rank(singular_values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    total = singular_values.sum()
    if total == 0:
        return 0.0
    shares = singular_values[singular_values > 0] / total
    return float(np.exp(-(shares * np.log(shares)).sum()))
