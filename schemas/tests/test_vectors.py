from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nestvec_schemas.errors import DimNotOffered
from nestvec_schemas.vectors import Vectors, cosines, nest, normalise, to_int8, truncate

FULL = 12

numbers = st.floats(-1e3, 1e3, width=32).map(lambda value: value if abs(value) > 1e-3 else 0.0)
arrays = hnp.arrays(np.float32, st.tuples(st.integers(0, 5), st.just(FULL)), elements=numbers)
dims = st.integers(1, FULL)


@given(arrays, dims, dims)
def test_a_prefix_of_a_prefix_is_a_prefix(vectors: Vectors, a: int, b: int) -> None:
    longer, shorter = max(a, b), min(a, b)
    np.testing.assert_array_equal(truncate(truncate(vectors, longer), shorter), truncate(vectors, shorter))


@given(arrays)
def test_normalised_vectors_have_length_one_and_zero_stays_zero(vectors: Vectors) -> None:
    lengths = np.linalg.norm(normalise(vectors), axis=1)
    zero = ~vectors.any(axis=1)
    np.testing.assert_array_equal(lengths[zero], 0)
    np.testing.assert_allclose(lengths[~zero], 1, rtol=1e-5)


@given(arrays)
def test_normalising_twice_is_normalising_once(vectors: Vectors) -> None:
    once = normalise(vectors)
    np.testing.assert_allclose(normalise(once), once, atol=1e-6)


@given(arrays, dims)
def test_nesting_truncates_before_it_normalises(vectors: Vectors, dim: int) -> None:
    nested = nest(vectors, dim)
    assert nested.dtype == np.float32
    assert nested.flags.c_contiguous
    np.testing.assert_array_equal(nested, normalise(vectors[:, :dim]))
    np.testing.assert_array_equal(nest(vectors, dim, normalised=False), vectors[:, :dim])


@given(arrays, dims, dims)
def test_a_nested_vector_can_be_nested_again(vectors: Vectors, a: int, b: int) -> None:
    longer, shorter = max(a, b), min(a, b)
    again = nest(nest(vectors, longer), shorter)
    whole = vectors[:, :shorter].any(axis=1)
    np.testing.assert_allclose(again[whole], nest(vectors, shorter)[whole], atol=1e-4)


def test_nesting_leaves_its_input_alone() -> None:
    vectors = np.arange(24, dtype=np.float32).reshape(2, FULL)
    before = vectors.copy()
    nest(vectors, 3)
    np.testing.assert_array_equal(vectors, before)


@pytest.mark.parametrize("dim", [0, -1, FULL + 1])
def test_a_dim_that_is_not_there_is_refused(dim: int) -> None:
    with pytest.raises(DimNotOffered, match=f"{dim}. Choose from 1 to {FULL} dims"):
        truncate(np.zeros((1, FULL), np.float32), dim)


@given(arrays)
def test_cosines_lie_between_minus_one_and_one(vectors: Vectors) -> None:
    found = cosines(vectors, vectors[:, ::-1])
    assert found.shape == (len(vectors),)
    assert (np.abs(found) <= 1 + 1e-9).all()


def test_cosines_of_known_vectors() -> None:
    a = np.array([[1, 0], [1, 0], [1, 1], [0, 0]])
    b = np.array([[3, 0], [0, 2], [-1, -1], [1, 0]])
    np.testing.assert_allclose(cosines(a, b), [1, 0, -1, 0], atol=1e-12)


@given(st.integers(0, 2**32 - 1), st.integers(32, 1024))
def test_int8_keeps_the_cosine(seed: int, dim: int) -> None:
    vectors = normalise(np.random.default_rng(seed).standard_normal((4, dim), dtype=np.float32))
    assert cosines(vectors, to_int8(vectors)).min() >= 0.999


@given(arrays)
def test_int8_is_as_near_as_its_docstring_says(vectors: Vectors) -> None:
    whole = vectors[vectors.any(axis=1)].astype(np.float64)
    spread = np.abs(whole).max(axis=1, initial=0) ** 2 / (whole**2).mean(axis=1)
    assert (1 - cosines(whole, to_int8(whole.astype(np.float32))) <= spread / 125_000).all()


@given(arrays)
def test_int8_is_symmetric_and_uses_its_whole_range(vectors: Vectors) -> None:
    quantised = to_int8(vectors)
    assert quantised.dtype == np.int8
    np.testing.assert_array_equal(to_int8(-vectors), -quantised)
    np.testing.assert_array_equal(np.abs(quantised).max(axis=1, initial=0), vectors.any(axis=1) * 127)
