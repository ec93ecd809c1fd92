"""The figure of held-out images, by which the best weights are chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nestvec_schemas.vectors import Vectors, nest

RECALL_FIGURE: Final = "mean of R@1, R@5 and R@10"
"""R@10 alone would be too coarse for few held-out images."""

_TOPS = (1, 5, 10)
_TIE = 1e-6
"""Cosines that differ by less are equal, up to rounding."""

Recalls = dict[str, dict[int, float]]
"""By direction, ``text→image`` and ``image→text``, then by dim."""


def recalls(images: Vectors, texts: Vectors, matches: NDArray[np.bool_], dims: Sequence[int]) -> Recalls:
    """RECALL_FIGURE at each dim: R@k is the share of captions with one of their images among the first k, and
    in the other direction of images with one of their captions.

    ``images`` are (n, d) and ``texts`` (m, d), all distinct; ``matches`` is (n, m).
    """
    by_direction: Recalls = {"text→image": {}, "image→text": {}}
    for dim in dims:
        cosines = nest(texts, dim) @ nest(images, dim).T
        by_direction["text→image"][dim] = _share(cosines, matches.T)
        by_direction["image→text"][dim] = _share(cosines.T, matches)
    return by_direction


def mean_recall(by_direction: Recalls) -> float:
    """The mean over directions and dims, by which weights are compared."""
    return float(np.mean([value for row in by_direction.values() for value in row.values()]))


def _share(cosines: NDArray[np.float32], matches: NDArray[np.bool_]) -> float:
    """The mean over k of the share of rows with fewer than k columns above the best match."""
    best = np.where(matches, cosines, -np.inf).max(axis=1)
    before = (cosines > best[:, None] + _TIE).sum(axis=1)
    return float(np.mean([(before < top).mean() for top in _TOPS]))
