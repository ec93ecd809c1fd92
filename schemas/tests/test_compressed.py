from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec_schemas.compressed import from_int8, hamming, int8_scales, sign_bits, to_int8
from nestvec_schemas.errors import DimNotOffered, SampleUnusable
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
    with pytest.raises(DimNotOffered, match=f"whole bytes: {dim}. Ask for a multiple of 8"):
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


@given(widths.flatmap(lambda dim: arrays(dim, least=1)))
def test_a_number_of_the_sample_is_off_by_half_a_step_at_most(vectors: Vectors) -> None:
    scales = int8_scales(vectors)
    codes = to_int8(vectors, scales)
    assert codes.dtype == np.int8
    assert (scales > 0).all()
    assert (np.abs(from_int8(codes, scales) - vectors) <= scales * 0.5001).all()
    np.testing.assert_array_equal(np.abs(codes).max(axis=0), vectors.any(axis=0) * 127)


@given(widths.flatmap(lambda dim: st.tuples(arrays(dim, least=1), arrays(dim))))
def test_what_is_outside_the_sample_is_cut(pair: tuple[Vectors, Vectors]) -> None:
    sample, others = pair
    scales = int8_scales(sample)
    codes = to_int8(others, scales)
    np.testing.assert_array_equal(to_int8(-others, scales), -codes)
    outside = np.abs(others) > 127.5 * scales
    np.testing.assert_array_equal(np.abs(codes.astype(int))[outside], 127)


@given(st.integers(0, 2**32 - 1))
def test_a_query_that_carries_the_scales_searches_the_codes(seed: int) -> None:
    generator = np.random.default_rng(seed)
    spread = np.linspace(2, 0.05, 64, dtype=np.float32)
    vectors = generator.standard_normal((50, 64), dtype=np.float32) * spread
    query = generator.standard_normal(64, dtype=np.float32) * spread
    scales = int8_scales(vectors)
    codes = to_int8(vectors, scales)
    asymmetric = codes.astype(np.float32) @ (query * scales)
    np.testing.assert_allclose(asymmetric, from_int8(codes, scales) @ query, rtol=1e-3, atol=1e-3)
    assert (np.abs(asymmetric - vectors @ query) <= 0.51 * np.abs(query) @ scales + 1e-3).all()


@pytest.mark.parametrize(
    ("sample", "said"),
    [(np.zeros((0, 4), np.float32), "0 vectors"), (np.float32([[1, np.nan]]), "not finite")],
)
def test_scales_of_no_sample(sample: Vectors, said: str) -> None:
    with pytest.raises(SampleUnusable, match=said):
        int8_scales(sample)
