from __future__ import annotations

import numpy as np
import pytest

from nestvec.engines.agreement import largest_difference, smallest_cosine
from nestvec_schemas.errors import EngineError


def array(*rows: list[float]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.array(rows, np.float32)


def test_the_worst_vector_counts() -> None:
    references = [array([1, 0], [0, 1]), array([3, 4])]
    assert smallest_cosine(references, references) == 1
    assert smallest_cosine([array([2, 0], [0, 5]), array([4, 3])], references) == pytest.approx(0.96)
    assert largest_difference([array([1, 0], [0, 1]), array([3, 4.4])], references) == pytest.approx(0.1)


def test_vectors_of_tokens_are_compared_one_by_one_without_padding() -> None:
    reference = np.array([[[1, 0], [0, 1], [0, 0]]], np.float32)
    turned = np.array([[[1, 0], [0.6, 0.8], [0, 0]]], np.float32)
    assert smallest_cosine([turned], [reference]) == pytest.approx(0.8)
    assert smallest_cosine([np.add(reference, [[0, 0], [0, 0], [1, 0]])], [reference]) == 0


def test_scores_are_compared_in_their_order_and_distances() -> None:
    scores = [array([1], [2]), array([3])]
    assert smallest_cosine([array([11], [12]), array([13])], scores) == pytest.approx(1)
    assert smallest_cosine([array([3], [2]), array([1])], scores) == pytest.approx(-1)


def test_ids_of_packed_tokens_must_be_the_same() -> None:
    reference = np.array([[[1, 0, 0, 0], [0.6, 0.8, 0.5, 4097]]], np.float32)
    rounded = np.array([[[1, 0, 0, 0], [0.6, 0.8, 0.5, 4096]]], np.float32)
    assert smallest_cosine([reference], [reference], packed=True) == pytest.approx(1)
    assert smallest_cosine([rounded], [reference], packed=True) == 0
    assert largest_difference([reference], [reference], packed=True) == 0
    assert largest_difference([rounded], [reference], packed=True) == float("inf")
    lighter = reference - np.array([0, 0, 0.1, 0], np.float32) * (reference[..., 2:3] > 0)
    assert largest_difference([lighter], [reference], packed=True) == pytest.approx(0.1)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite(value: float) -> None:
    assert smallest_cosine([array([value, 1])], [array([1, 1])]) == 0
    assert largest_difference([array([value, 1])], [array([1, 1])]) == float("inf")


def test_two_shapes() -> None:
    with pytest.raises(EngineError, match="has two shapes"):
        smallest_cosine([array([1, 2, 3])], [array([1, 2])])
