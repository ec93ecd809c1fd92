"""How far vectors agree, and how far those of one text must, by form and precision."""

from __future__ import annotations

import numpy as np
import pytest

from nestvec.collections.vector_agreement import agreement, has_content, min_agreement, read_vector
from nestvec_schemas.embedding_config import Form


@pytest.mark.parametrize(
    ("form", "precision", "other", "least"),
    [
        ("float", "fp32", "fp32", 0.9995),
        ("float", "fp32", None, 0.999),
        ("float", "int8", "int8", 0.999),
        ("float", "fp32", "int8", 0.98),
        ("float", "int8-dynamic", "int8-dynamic", 0.98),
        ("int8", "fp32", "fp32", 0.999),
        ("sparse", "fp32", "fp32", 0.999),
        ("binary", "fp32", "fp32", 0.97),
        ("binary", "fp32", "int8-dynamic", 0.9),
    ],
)
def test_the_least_agreement_of_two_vectors_of_a_text(
    form: Form, precision: str, other: str | None, least: float
) -> None:
    assert min_agreement(form, precision, other) == least


def test_a_vector_as_milvus_gives_it() -> None:
    assert np.asarray(read_vector([0.5, -1.25, 3, 0], "float")).tolist() == [0.5, -1.25, 3, 0]


def test_bytes_are_bits_or_small_numbers() -> None:
    assert np.asarray(read_vector([b"\x81"], "binary")).tolist() == [1, 0, 0, 0, 0, 0, 0, 1]
    assert np.asarray(read_vector(np.asarray([-3, 4], np.int8).tobytes(), "int8")).tolist() == [-3, 4]


def test_agreement_of_each_form() -> None:
    assert agreement(read_vector([1, 0], "float"), read_vector([2, 0], "float"), "float") == 1
    assert agreement(read_vector([1, 0], "float"), read_vector([1, 0, 0], "float"), "float") == 0
    assert agreement(read_vector(b"\x0f", "binary"), read_vector(b"\x1f", "binary"), "binary") == 7 / 8
    first, second = read_vector({1: 3.0, 2: 4.0}, "sparse"), read_vector({2: 2.0, 9: 0.0}, "sparse")
    assert agreement(first, second, "sparse") == pytest.approx(0.8)


def test_zeros_are_of_no_text() -> None:
    assert not has_content(read_vector([0.0, 0.0], "float"), "float")
    assert not has_content(read_vector({}, "sparse"), "sparse")
    assert not has_content(read_vector(None, "float"), "float")
    assert has_content(read_vector(b"\x00", "binary"), "binary")


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_nothing_agrees_with_what_is_no_number(number: float) -> None:
    for first, second in (([number, 1], [1, 1]), ([number, 1], [number, 1])):
        assert agreement(read_vector(first, "float"), read_vector(second, "float"), "float") == 0
    assert agreement({1: number}, {1: 1.0}, "sparse") == 0
