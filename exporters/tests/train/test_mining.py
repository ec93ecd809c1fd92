from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nestvec_exporters.train.mining import clustered_batches, random_batches, without_duplicate_documents


@given(st.integers(8, 200), st.integers(4, 40), st.integers(0, 9))
def test_batches_are_full_and_no_row_is_there_twice(rows: int, size: int, seed: int) -> None:
    vectors = np.random.default_rng(seed).standard_normal((rows, 3)).astype(np.float32)
    for batches in (
        clustered_batches(vectors, size, np.random.default_rng(seed)),
        random_batches(rows, size, np.random.default_rng(seed)),
    ):
        assert len(batches) == rows // size
        assert all(len(batch) == size for batch in batches)
        taken = [int(row) for batch in batches for row in batch]
        assert len(set(taken)) == len(taken)
        assert set(taken) <= set(range(rows))


def test_vectors_that_are_all_the_same_are_batched_too() -> None:
    batches = clustered_batches(np.ones((50, 4), np.float32), 8, np.random.default_rng(0))
    assert len(batches) == 6


def test_rows_of_a_batch_are_nearer_than_by_chance() -> None:
    draw = np.random.default_rng(0)
    centres = draw.standard_normal((16, 8))
    vectors = (centres[np.arange(512) % 16] + 0.1 * draw.standard_normal((512, 8))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)

    def nearness(batches: list[np.ndarray]) -> float:
        return float(np.mean([(vectors[one] @ vectors[one].T).mean() for one in batches]))

    chance = nearness(random_batches(512, 32, np.random.default_rng(0)))
    assert nearness(clustered_batches(vectors, 32, np.random.default_rng(0))) > chance + 0.1


@given(st.lists(st.integers(0, 20), min_size=8, max_size=200))
def test_no_document_is_twice_in_a_batch(documents: list[int]) -> None:
    rows = np.array(documents)
    found = without_duplicate_documents([np.arange(len(rows))], rows, 4)
    taken = [int(row) for batch in found for row in batch]
    assert len(set(taken)) == len(taken)
    assert all(len(set(rows[batch])) == 4 == len(batch) for batch in found)
