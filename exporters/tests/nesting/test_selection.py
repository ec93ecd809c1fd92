from __future__ import annotations

import numpy as np
import pytest

from nestvec_exporters.nesting.orthogonal import pca_rotation
from nestvec_exporters.nesting.selection import (
    MEAN,
    NO_ROTATION,
    PRINCIPAL_AXES,
    QUERY_LOG,
    QueryVectors,
    RotationChoice,
    SelectionOptions,
    _best,
    choose_rotation,
    mixtures,
)
from nestvec_schemas.vectors import Vectors, cosines, normalise

from .test_rotation import topics

COUNT = 700
HELD_OUT = np.arange(0, COUNT, 10)
OPTIONS = SelectionOptions((48, 32, 16), seed=3, steps=40)


def queries_of(documents: Vectors, noise: float = 0.12) -> QueryVectors:
    shifts = noise * np.random.default_rng(5).normal(size=documents.shape)
    return QueryVectors(normalise(np.asarray(documents + shifts, np.float32)), np.arange(len(documents)))


@pytest.fixture(scope="module")
def documents() -> Vectors:
    return topics(COUNT, noise=0.05)


@pytest.fixture(scope="module")
def choice(documents: Vectors) -> RotationChoice:
    return choose_rotation(documents, {"keywords": queries_of(documents)}, HELD_OUT, OPTIONS)


def test_the_choice_keeps_no_less_than_any_candidate(choice: RotationChoice) -> None:
    assert {NO_ROTATION, PRINCIPAL_AXES, MEAN, "documents", "documents + keywords"} == set(choice.retention)
    learned = {
        name: kept for name, kept in choice.retention.items() if name not in (NO_ROTATION, PRINCIPAL_AXES)
    }
    assert choice.retention[choice.name] >= max(learned.values())
    assert choice.retention[choice.name] >= max(choice.retention.values()) - 0.01
    assert choice.retention[choice.name] > choice.retention[NO_ROTATION] + 0.01


@pytest.mark.parametrize(("lead", "expected"), [(0.009, "documents"), (0.012, PRINCIPAL_AXES)])
def test_what_was_learned_wins_between_near_equals(lead: float, expected: str) -> None:
    assert _best({NO_ROTATION: 0.3, PRINCIPAL_AXES: 0.7 + lead, "documents": 0.7, MEAN: 0.69}) == expected


def test_the_choice_is_orthogonal_and_keeps_cosines(choice: RotationChoice, documents: Vectors) -> None:
    assert np.abs(choice.rotation.T @ choice.rotation - np.eye(48)).max() < 1e-12
    rotated = np.asarray(documents @ choice.rotation.astype(np.float32), np.float32)
    shuffled = np.random.default_rng(0).permutation(COUNT)
    difference = cosines(rotated, rotated[shuffled]) - cosines(documents, documents[shuffled])
    assert np.abs(difference).max() < 1e-5


def test_the_same_seed_chooses_the_same(choice: RotationChoice, documents: Vectors) -> None:
    again = choose_rotation(documents, {"keywords": queries_of(documents)}, HELD_OUT, OPTIONS)
    np.testing.assert_array_equal(again.rotation, choice.rotation)
    assert again.retention == choice.retention


def test_no_rotation_learns_from_what_is_held_out(choice: RotationChoice, documents: Vectors) -> None:
    """Other held-out vectors change what is measured, and no candidate."""
    changed = documents.copy()
    changed[HELD_OUT] = normalise(
        np.random.default_rng(9).normal(size=(len(HELD_OUT), 48)).astype(np.float32)
    )
    queries = queries_of(documents)
    mask = np.isin(queries.rows, HELD_OUT)
    vectors = np.where(mask[:, None], changed, queries.vectors).astype(np.float32)
    other = choose_rotation(changed, {"keywords": QueryVectors(vectors, queries.rows)}, HELD_OUT, OPTIONS)
    assert other.retention != choice.retention
    training = np.setdiff1d(np.arange(COUNT), HELD_OUT)
    if other.name == choice.name:
        np.testing.assert_array_equal(other.rotation, choice.rotation)
    np.testing.assert_array_equal(pca_rotation(changed[training]), pca_rotation(documents[training]))


def test_a_sampled_query_is_judged_by_the_document_that_it_was_taken_from(
    choice: RotationChoice, documents: Vectors
) -> None:
    queries = queries_of(documents)
    # The rows stay on their side of the split, so that the same vectors are held out.
    rows = queries.rows.copy()
    for side in (HELD_OUT, np.setdiff1d(np.arange(COUNT), HELD_OUT)):
        rows[side] = np.roll(side, 1)
    wrong = choose_rotation(documents, {"keywords": QueryVectors(queries.vectors, rows)}, HELD_OUT, OPTIONS)
    for name in (NO_ROTATION, PRINCIPAL_AXES):
        assert wrong.retention[name] < choice.retention[name] - 0.1


def test_a_log_of_queries_decides_alone(documents: Vectors) -> None:
    log = QueryVectors(queries_of(documents).vectors, np.full(COUNT, -1))
    queries = {"keywords": queries_of(documents, noise=3.0), QUERY_LOG: log}
    choice = choose_rotation(documents, queries, HELD_OUT, OPTIONS)
    assert set(choice.retention) == {
        NO_ROTATION,
        PRINCIPAL_AXES,
        MEAN,
        "documents",
        f"documents + {QUERY_LOG}",
    }
    alone = choose_rotation(documents, {QUERY_LOG: log}, HELD_OUT, OPTIONS)
    assert alone.retention == choice.retention


def test_too_few_queries_of_a_kind_are_left_out(documents: Vectors) -> None:
    few = QueryVectors(documents[:20], np.arange(20))
    steps: list[tuple[int, int]] = []
    choice = choose_rotation(
        documents, {"keywords": few}, HELD_OUT, OPTIONS, lambda done, total: steps.append((done, total))
    )
    assert set(choice.retention) == {NO_ROTATION, PRINCIPAL_AXES, "documents"}
    assert steps[-1][0] <= steps[-1][1]


def test_mixtures_are_the_documents_alone_and_with_queries() -> None:
    assert mixtures(("sentence", "keywords", "span")) == {
        "documents": (),
        "documents + sentence + keywords": ("sentence", "keywords"),
    }
    assert list(mixtures(("sentence", QUERY_LOG)).values()) == [(), (QUERY_LOG,)]
    assert list(mixtures(("span",)).values()) == [()]
