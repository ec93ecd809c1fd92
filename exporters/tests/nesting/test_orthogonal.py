from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nestvec_exporters.nesting.orthogonal import (
    mean_rotation,
    nearest_orthogonal,
    pca_rotation,
    sort_within_prefixes,
)
from nestvec_schemas.vectors import Matrix

from .test_rotation import clustered

DIM = 24
PREFIXES = (4, 8, 16)


def random_rotation(seed: int, dim: int = DIM) -> Matrix:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(dim, dim)))[0]


def projections(rotation: Matrix) -> list[Matrix]:
    return [rotation[:, :prefix] @ rotation[:, :prefix].T for prefix in PREFIXES]


@given(seed=st.integers(0, 100), noise=st.floats(0, 0.05))
def test_the_polar_factor_is_the_nearest_orthogonal_matrix(seed: int, noise: float) -> None:
    draw = np.random.default_rng(seed)
    exact, _ = np.linalg.qr(draw.normal(size=(12, 12)))
    found = nearest_orthogonal(exact + noise * draw.normal(size=(12, 12)))
    assert np.abs(found.T @ found - np.eye(12)).max() < 1e-12
    assert np.abs(found - exact).max() <= 12 * noise + 1e-9


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), count=st.integers(1, 4))
def test_a_mean_is_orthogonal(seed: int, count: int) -> None:
    mean = mean_rotation([random_rotation(seed + at) for at in range(count)], PREFIXES)
    assert np.abs(mean.T @ mean - np.eye(DIM)).max() < 1e-12


@given(seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_a_mean_of_rotations_that_differ_within_prefixes_only_spans_the_same(seed: int) -> None:
    rotation = random_rotation(seed)
    turned = rotation.copy()
    for start, end in ((0, 4), (4, 8), (8, 16), (16, DIM)):
        turned[:, start:end] = rotation[:, start:end] @ random_rotation(seed + 1, end - start)
    for expected, actual in zip(
        projections(rotation), projections(mean_rotation([rotation, turned], PREFIXES)), strict=True
    ):
        np.testing.assert_allclose(actual, expected, atol=1e-9)


def test_a_mean_lies_nearer_to_what_noisy_rotations_share_than_they_do() -> None:
    shared = random_rotation(0)
    draw = np.random.default_rng(1)
    noisy = [nearest_orthogonal(shared + 0.1 * draw.normal(size=(DIM, DIM))) for _ in range(5)]
    distances = [
        sum(np.linalg.norm(a - b) for a, b in zip(projections(rotation), projections(shared), strict=True))
        for rotation in (*noisy, mean_rotation(noisy, PREFIXES))
    ]
    assert distances[-1] < 0.7 * min(distances[:-1])


def test_axes_are_sorted_within_prefixes_and_prefixes_span_the_same() -> None:
    vectors = clustered(300, DIM)
    rotation = random_rotation(3)
    ordered = sort_within_prefixes(rotation, vectors, PREFIXES)
    assert np.abs(ordered.T @ ordered - np.eye(DIM)).max() < 1e-12
    for expected, actual in zip(projections(rotation), projections(ordered), strict=True):
        np.testing.assert_allclose(actual, expected, atol=1e-9)
    squares = ((vectors @ ordered) ** 2).sum(axis=0)
    assert all((np.diff(squares[start:end]) <= 1e-6).all() for start, end in ((0, 4), (4, 8), (8, 16)))


def test_principal_axes_of_the_same_vectors_are_the_same() -> None:
    np.testing.assert_array_equal(pca_rotation(clustered(99, DIM)), pca_rotation(clustered(99, DIM)))
