from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from nestvec_exporters.verify.compare import compare_outputs, compare_vectors
from nestvec_exporters.verify.scores import compare_scores
from nestvec_schemas.errors import VerificationFailed
from nestvec_schemas.manifest import Precision
from nestvec_schemas.preprocessing.collate import Array

SCORES = np.random.default_rng(0).normal(-3, 2, 40).astype(np.float32)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_equal_scores_pass(precision: Precision) -> None:
    verification = compare_scores(SCORES, SCORES.copy(), precision)
    assert (verification.sentences, verification.cosine_min) == (40, pytest.approx(1))


@pytest.mark.parametrize(
    "change",
    [
        lambda scores: scores * 1.05,
        lambda scores: scores + 0.2,
        lambda scores: 1 / (1 + np.exp(-scores)),
        lambda scores: -scores,
        lambda scores: np.where(np.arange(40) == 7, np.nan, scores),
    ],
    ids=["scaled", "shifted", "sigmoid", "reversed", "not a number"],
)
def test_scores_of_the_same_order_can_be_wrong(change: Callable[[Array], Array]) -> None:
    with pytest.raises(VerificationFailed, match="scores are too far"):
        compare_scores(SCORES, np.asarray(change(SCORES), np.float32), "fp32")


def test_int8_scores_may_differ_a_little_but_not_be_unrelated() -> None:
    noise = np.random.default_rng(1).normal(0, 0.1, 40).astype(np.float32)
    assert compare_scores(SCORES, SCORES + noise, "int8").cosine_min > 0.99
    with pytest.raises(VerificationFailed, match="--precision fp32"):
        compare_scores(SCORES, SCORES[::-1].copy(), "int8")


@pytest.mark.parametrize(
    "change",
    [lambda scores: scores + 0.8, lambda scores: scores * 1.6, lambda scores: 1 / (1 + np.exp(-scores))],
)
def test_int8_scores_on_another_scale_are_refused(change: Callable[[Array], Array]) -> None:
    with pytest.raises(VerificationFailed, match="of their spread"):
        compare_scores(SCORES, np.asarray(change(SCORES), np.float32), "int8")


def test_few_scores_have_no_correlation_to_speak_of() -> None:
    assert compare_scores(SCORES[:1], SCORES[:1] + 1e-6, "fp32").sentences == 1


def test_rerankers_are_compared_as_scores() -> None:
    rows = [np.array([score], np.float32) for score in SCORES]
    with pytest.raises(VerificationFailed, match="scores are too far"):
        compare_outputs(rows, [row * np.float32(1.05) for row in rows], "reranker", "fp32")


def test_a_text_without_known_words_is_zero_in_both() -> None:
    vectors = np.eye(4, 8, dtype=np.float32)
    vectors[2] = 0
    assert compare_vectors(vectors, vectors.copy(), "fp32").cosine_min == 1
    other = vectors.copy()
    other[2, 0] = 1
    with pytest.raises(VerificationFailed):
        compare_vectors(vectors, other, "fp32")
