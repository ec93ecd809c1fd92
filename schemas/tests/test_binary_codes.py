from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec_schemas.binary_codes import hamming, sign_bits
from nestvec_schemas.errors import DimNotOffered
from nestvec_schemas.vectors import Vectors

widths = st.integers(1, 20)


def arrays(dim: int, least: int = 0) -> st.SearchStrategy[Vectors]:
    """Up to 5 vectors with zeros among their numbers, and whole dims of zeros."""
    return st.builds(made, st.integers(0, 2**32 - 1), st.integers(least, 5), st.just(dim))


def made(seed: int, count: int, dim: int) -> Vectors:
    generator = np.random.default_rng(seed)
    spread = np.exp(generator.uniform(-5, 5, dim)) * (generator.random(dim) < 0.9)
    vectors = generator.standard_normal((count, dim)) * spread * (generator.random((count, dim)) < 0.8)
    return vectors.astype(np.float32)


@given(widths.flatmap(lambda width: arrays(8 * width)))
def test_a_bit_says_whether_its_number_is_positive(vectors: Vectors) -> None:
    bits = sign_bits(vectors)
    assert bits.shape == (len(vectors), vectors.shape[1] // 8)
    np.testing.assert_array_equal(np.unpackbits(bits, axis=1), vectors > 0)


def test_the_first_number_is_the_most_significant_bit() -> None:
    vectors = np.float32([[1, -1, -1, -1, -1, -1, -1, 1], [0, 2, 0, 0, 0, 0, 0, 0]])
    assert sign_bits(vectors).tolist() == [[0b10000001], [0b01000000]]


@pytest.mark.parametrize("dim", [0, 1, 7, 9, 100])
def test_bits_fill_whole_bytes(dim: int) -> None:
    with pytest.raises(DimNotOffered, match=f"whole bytes: {dim}. Choose a multiple of 8"):
        sign_bits(np.ones((1, dim), np.float32))


@given(widths.flatmap(lambda width: st.tuples(arrays(8 * width), arrays(8 * width))))
def test_hamming_counts_the_signs_that_differ(pair: tuple[Vectors, Vectors]) -> None:
    a, b = pair
    differ = ((a > 0)[:, None] != (b > 0)[None]).sum(axis=2)
    np.testing.assert_array_equal(hamming(sign_bits(a), sign_bits(b)), differ)


@given(widths.flatmap(lambda width: arrays(8 * width)))
def test_hamming_is_a_distance(vectors: Vectors) -> None:
    bits = sign_bits(vectors)
    found = hamming(bits, bits)
    np.testing.assert_array_equal(np.diag(found), 0)
    np.testing.assert_array_equal(found, found.T)
    assert (found[:, :, None] <= found[:, None, :] + found.T[None, :, :]).all()
