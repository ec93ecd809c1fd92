from __future__ import annotations

import numpy as np
import pytest

from nestvec.evaluate.metrics.concept_depth import concept_depth
from nestvec.evaluate.metrics.isotropy import SAMPLE_SIZE, isotropy, sample_vectors


def test_even_vectors_are_isotropic_and_a_point_is_not() -> None:
    even = np.random.default_rng(0).standard_normal((4000, 8)).astype(np.float32)
    found = isotropy(even, 8, seed=0)
    assert abs(found.mean_cosine) < 0.02
    assert found.effective_rank == pytest.approx(8, rel=0.01)
    point = isotropy(np.ones((50, 8), np.float32), 8, seed=0)
    assert point.mean_cosine == pytest.approx(1)
    assert point.effective_rank == pytest.approx(1, abs=1e-3)
    assert isotropy(np.zeros((1, 4), np.float32), 4, seed=0).effective_rank == 0


def test_a_sample_is_bounded_and_repeats() -> None:
    many = np.arange(SAMPLE_SIZE * 3, dtype=np.float32).reshape(-1, 1)
    assert len(sample_vectors(many, 0)) == SAMPLE_SIZE
    assert (sample_vectors(many, 0) == sample_vectors(many, 0)).all()
    assert sample_vectors(many[:5], 0).tolist() == many[:5].tolist()


def test_a_query_needs_the_shallowest_exit_that_is_as_good() -> None:
    deepest = np.array([0.5, 0.5, 0.5, 0.0])
    ndcg = {2: np.array([0.6, 0.1, 0.1, 0.0]), 3: np.array([0.1, 0.5, 0.4, 1.0]), 6: deepest}
    depth = concept_depth(ndcg, margin=np.array([0.3, 0.2, -0.1, -0.5]))
    assert (depth.queries, depth.failed) == (3, 1)
    assert [depth.shares[name] for name in ("easy", "medium", "hard")] == [
        {2: 1.0, 3: 0.0, 6: 0.0},
        {2: 0.0, 3: 1.0, 6: 0.0},
        {2: 0.0, 3: 0.0, 6: 1.0},
    ]
