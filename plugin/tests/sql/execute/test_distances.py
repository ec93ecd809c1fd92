"""Distances in numpy, against their definitions in Python's integers and floats."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec.sql.execute.distances import decode_vectors, distances, row_bytes

NUMBERS = st.lists(st.integers(-9, 9), min_size=8, max_size=8)
BITS = st.lists(st.integers(0, 1), min_size=8, max_size=8)


@given(NUMBERS, NUMBERS)
def test_distances_of_numbers(left: list[int], right: list[int]) -> None:
    query, rows = np.array(left, np.float32), np.array([right], np.float32)
    product = sum(a * b for a, b in zip(left, right, strict=True))
    lengths = math.hypot(*left) * math.hypot(*right)
    cosine = product / lengths if lengths else 0.0
    assert distances("IP", query, rows)[0] == -product
    assert distances("L2", query, rows)[0] == pytest.approx(math.dist(left, right), abs=1e-5)
    assert distances("COSINE", query, rows)[0] == pytest.approx(1 - cosine, abs=1e-5)


@pytest.mark.parametrize("rows", [7, 100, 4001])
@pytest.mark.parametrize("dim", [24, 100, 384])
def test_equal_vectors_have_equal_distances_wherever_they_stand(rows: int, dim: int) -> None:
    generator = np.random.default_rng(rows)
    vectors, query = generator.standard_normal((2, dim)).astype(np.float32)
    for metric in ("COSINE", "L2", "IP"):
        same = distances(metric, query, np.tile(vectors, (rows, 1)))
        assert len(set(same.tolist())) == 1, metric


def test_vectors_without_a_direction() -> None:
    query = np.ones(4, np.float32)
    rows = np.array([[0, 0, 0, 0], [np.nan, 0, 0, 0], [np.inf, 0, 0, 0]], np.float32)
    measured = distances("COSINE", query, rows)
    assert measured[0] == 1.0
    assert np.isnan(measured[1:]).all()


@given(BITS, BITS)
def test_distances_of_bits(left: list[int], right: list[int]) -> None:
    query, rows = np.array(left, np.uint8), np.array([right], np.uint8)
    either = sum(a | b for a, b in zip(left, right, strict=True))
    common = sum(a & b for a, b in zip(left, right, strict=True))
    assert distances("HAMMING", query, rows)[0] == sum(a != b for a, b in zip(left, right, strict=True))
    assert distances("JACCARD", query, rows)[0] == pytest.approx(1 - (common / either if either else 1))


@given(NUMBERS)
def test_vectors_are_read_in_every_type(values: list[int]) -> None:
    floats = np.array(values, np.float32)
    brain = (floats.view(np.uint32) >> 16).astype(np.uint16)
    for column_type, stored in (
        ("FLOAT_VECTOR", values),
        ("FLOAT16_VECTOR", floats.astype(np.float16).tobytes()),
        ("BFLOAT16_VECTOR", [brain.tobytes()]),
        ("INT8_VECTOR", [floats.astype(np.int8).tobytes()]),
        ("INT8_VECTOR", floats.astype(np.int8)),
    ):
        assert decode_vectors(column_type, [stored, stored]).tolist() == [values, values]
    bits = [value % 2 for value in values]
    packed = int("".join(map(str, bits)), 2).to_bytes(1, "big")
    assert decode_vectors("BINARY_VECTOR", [[packed]]).tolist() == [bits]


def test_bytes_of_a_row_are_known_where_distances_can_be_computed() -> None:
    assert row_bytes("FLOAT_VECTOR", 384, "COSINE") == 1536
    assert row_bytes("BFLOAT16_VECTOR", 384, "L2") == 768
    assert row_bytes("BINARY_VECTOR", 384, "HAMMING") == 48
    assert row_bytes("BINARY_VECTOR", 384, "COSINE") == 0
    assert row_bytes("SPARSE_FLOAT_VECTOR", 0, "IP") == 0
    assert row_bytes("FLOAT_VECTOR", 8, "BM25") == 0
