"""The nearest of vectors that are compared page by page, against doubles over all of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec.sql.execute.distances import distances
from nestvec.sql.execute.exact_scan import Nearest

PAGE = 7


def nearest(
    metric: str, query: np.ndarray, vectors: np.ndarray, keep: int, *, group: str = ""
) -> list[tuple[float, int]]:
    """Distances and numbers of the nearest rows, of pages that come one after the other."""
    ranked = Nearest(query, metric, keep, group)
    for start in range(0, len(vectors), PAGE):
        page = vectors[start : start + PAGE]
        ranked.add(page, [{"id": start + at, "g": (start + at) % 3} for at in range(len(page))])
    return [(distance, row["id"]) for distance, row in ranked.nearest()]


@pytest.mark.parametrize("metric", ["L2", "COSINE", "IP"])
@given(seed=st.integers(0, 1 << 20))
def test_distances_are_those_of_doubles(metric: str, seed: int) -> None:
    generator = np.random.default_rng(seed)
    vectors, query = generator.standard_normal((2, 40, 5)).astype(np.float32)
    exact = distances(metric, query[0].astype(np.float64), vectors.astype(np.float64))
    order = np.argsort(exact, kind="stable")[:9].tolist()
    assert nearest(metric, query[0], vectors, 9) == [(exact[at], at) for at in order]
    groups = {group: min(exact[at] for at in range(group, 40, 3)) for group in range(3)}
    best = nearest(metric, query[0], vectors, 9, group="g")
    assert [distance for distance, _ in best] == sorted(groups.values())


def test_numbers_whose_squares_are_beyond_32_bits_are_told_apart() -> None:
    vectors = np.array([[3e38, 0], [2e38, 0], [-3e38, 1]], np.float32)
    found = nearest("L2", np.array([1e38, 0], np.float32), vectors, 2)
    assert [at for _, at in found] == [1, 0]
    assert [distance for distance, _ in found] == pytest.approx([1e38, 2e38])
