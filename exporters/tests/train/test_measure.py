from __future__ import annotations

import numpy as np
import pytest

from nestvec_exporters.train.measure import (
    HeldOutFigures,
    HeldOutRows,
    held_out_figures,
    with_teacher_neighbours,
)
from nestvec_schemas.vectors import Vectors, normalise


@pytest.fixture
def vectors() -> Vectors:
    """Sixty vectors: thirty queries, then the documents that they are almost the same as."""
    draw = np.random.default_rng(0)
    documents = draw.standard_normal((30, 16))
    return normalise(np.concatenate([documents + 0.01, documents]).astype(np.float32))


ROWS = np.stack([np.arange(30), np.arange(30, 60)], axis=1)


def held(name: str, rows: np.ndarray, documents: np.ndarray, scores: np.ndarray | None = None) -> HeldOutRows:
    return HeldOutRows(name, np.arange(60), rows, documents, scores)


def test_queries_that_find_their_documents_first_have_a_rank_of_one(vectors: Vectors) -> None:
    found = held_out_figures(held("mrr@10", ROWS, np.arange(30, 60)), {1: vectors}, (16,))
    assert found == HeldOutFigures({1: {16: 1.0}}, {})


def test_queries_that_find_all_others_first_have_none(vectors: Vectors) -> None:
    away = np.concatenate([-vectors[30:], vectors[30:]])
    found = held_out_figures(held("mrr@10", ROWS, np.arange(30, 60)), {1: away}, (16,))
    assert found.alike[1][16] == 0


def test_an_exit_is_measured_by_itself_and_against_full_depth(vectors: Vectors) -> None:
    shallow = vectors.copy()
    shallow[30:] = -shallow[30:]
    found = held_out_figures(held("mrr@10", ROWS, np.arange(30, 60)), {2: vectors, 1: shallow}, (16, 8))
    assert found.alike[2][16] == 1 and found.across[1][16] == 1
    assert found.alike[1][16] == 0
    assert set(found.across) == {1} and set(found.across[1]) == {16, 8}
    assert found.mean == pytest.approx(
        np.mean([*found.alike[2].values(), *found.alike[1].values(), *found.across[1].values()])
    )


def test_the_checkpoints_own_vectors_keep_all_and_a_prefix_less(vectors: Vectors) -> None:
    rows = np.stack([np.arange(30, 60), np.arange(30)], axis=1)
    task = with_teacher_neighbours(held("retention@10", rows, np.arange(30, 60)), vectors)
    found = held_out_figures(task, {1: vectors}, (16, 4))
    assert found.alike[1][16] == 1
    assert 0 < found.alike[1][4] < 1


def test_scores_are_compared_by_rank(vectors: Vectors) -> None:
    cosines = (vectors[:30] * np.roll(vectors[30:], 3, axis=0)).sum(axis=1)
    rows = np.stack([np.arange(30), 30 + (np.arange(30) - 3) % 30], axis=1)
    for sign in (1, -1):
        task = held("spearman", rows, np.arange(30, 60), (sign * np.exp(cosines)).astype(np.float32))
        assert held_out_figures(task, {1: vectors}, (16,)).alike[1][16] == pytest.approx(sign)
