"""The figure of held-out pictures: by it the best weights are told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nestvec_schemas.vectors import Vectors, nest

RECALL_FIGURE: Final = "mean of R@1, R@5 and R@10"
"""R@10 alone would not tell few held-out pictures apart."""

_TOPS = (1, 5, 10)
_TIE = 1e-6
"""Cosines nearer than this are alike, up to rounding."""

Recalls = dict[str, dict[int, float]]
"""By way, ``text→image`` and ``image→text``, then by dim."""


def recalls(images: Vectors, texts: Vectors, matches: NDArray[np.bool_], dims: Sequence[int]) -> Recalls:
    """FIGURE at each dim: R@k is the share of captions with a picture of theirs among the first k, and the
    other way of pictures with a caption of theirs.

    ``pictures`` are (n, d), ``texts`` (m, d), each different; ``right`` is (n, m).
    """
    by_direction: Recalls = {"text→image": {}, "image→text": {}}
    for dim in dims:
        cosines = nest(texts, dim) @ nest(images, dim).T
        by_direction["text→image"][dim] = _share(cosines, matches.T)
        by_direction["image→text"][dim] = _share(cosines.T, matches)
    return by_direction


def mean_recall(by_direction: Recalls) -> float:
    """Over ways and dims, by which weights are compared."""
    return float(np.mean([value for row in by_direction.values() for value in row.values()]))


def _share(cosines: NDArray[np.float32], matches: NDArray[np.bool_]) -> float:
    """Of the rows of ``cosines``, (n, m), whose best right column has fewer than k before it, over all k."""
    best = np.where(matches, cosines, -np.inf).max(axis=1)
    before = (cosines > best[:, None] + _TIE).sum(axis=1)
    return float(np.mean([(before < top).mean() for top in _TOPS]))
