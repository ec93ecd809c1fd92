"""Sparse encoders: exact products by postings, the largest weights, and their rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nestvec.datasets.beir import Dataset
from nestvec.evaluate.evaluation import Evaluation
from nestvec.evaluate.measure_sparse import measure_sparse
from nestvec.evaluate.outcomes import EvaluateOptions, VectorSize
from nestvec.evaluate.report.page import render_page
from nestvec.evaluate.report.recommendation import describe_setting, recommend, recommendation_sentence
from nestvec.evaluate.rows import make_rows
from nestvec.evaluate.search.postings import SparseVectors, build_postings, search_postings
from nestvec.evaluate.variants import RequestedSizes, choose_variants
from nestvec.service.batching.outputs import SPARSE_DTYPE, top_weights

WORDS = 16


def weights(dense: NDArray[np.float32]) -> list[Any]:
    found = []
    for row in dense:
        index = np.flatnonzero(row)
        one = np.empty(len(index), SPARSE_DTYPE)
        one["index"], one["value"] = index, row[index]
        found.append(one)
    return found


@given(seed=st.integers(0, 2**32 - 1), documents=st.integers(1, 40), k=st.integers(1, 12))
def test_the_nearest_are_those_of_every_product(seed: int, documents: int, k: int) -> None:
    random = np.random.default_rng(seed)
    # Small whole numbers: products are exact, and many of them equal.
    left = random.integers(0, 3, (5, WORDS)) * (random.random((5, WORDS)) < 0.3)
    right = random.integers(0, 3, (documents, WORDS)) * (random.random((documents, WORDS)) < 0.3)
    index = build_postings(weights(right.astype(np.float32)), WORDS)
    found = search_postings(index, weights(left.astype(np.float32)), k)
    for row, products in zip(found, left @ right.T, strict=True):
        expected = [at for at in np.argsort(-products, kind="stable") if products[at] > 0][:k]
        assert row.tolist() == expected + [-1] * (k - len(expected))


def test_without_any_word_nothing_is_found() -> None:
    nothing = weights(np.zeros((2, WORDS), np.float32))
    assert search_postings(build_postings(nothing, WORDS), nothing, 1).tolist() == [[-1], [-1]]


def measured(dataset: Dataset, folder: Path) -> Any:
    (subject,) = choose_variants(folder.parent, ["words"], (), RequestedSizes(top=(4, 1)))
    random = np.random.default_rng(3)
    right = (
        random.random((dataset.document_count, WORDS))
        * (random.random((dataset.document_count, WORDS)) < 0.6)
    ).astype("f4")
    left = right[: len(dataset.queries.ids) * 5 : 5]
    queries, documents = SparseVectors(weights(left), 0.002), SparseVectors(weights(right), 0.001)
    steps: list[int] = []
    found = measure_sparse(dataset, subject, queries, documents, EvaluateOptions(()), steps.append)
    assert steps == [1, 1, 1]
    return found, documents


@pytest.fixture
def folder(write_encoder: Callable[..., Path]) -> Path:
    return write_encoder("words", kind="sparse", dims=(WORDS,), layers=(4,))


def test_all_weights_then_the_largest_alone(dataset: Dataset, folder: Path) -> None:
    found, documents = measured(dataset, folder)
    settings = [one.setting for one in found.outcomes]
    assert [(one.form, one.dim) for one in settings] == [("sparse", WORDS), ("sparse", 4), ("sparse", 1)]
    sizes = [
        round(8 * np.mean([len(top_weights(one, top)) for one in documents.weights])) for top in (None, 4, 1)
    ]
    assert [one.size for one in settings] == [VectorSize(size, size) for size in sizes]
    scores = [one.scores["ndcg@10"].mean() for one in found.outcomes]
    assert scores[0] > scores[1] > scores[2]
    assert found.outcomes[0].ms_per_query == 2
    assert found.full_length.outcome is found.outcomes[0]


def test_rows_a_choice_and_a_page_without_any_dense_vector(dataset: Dataset, folder: Path) -> None:
    found, _ = measured(dataset, folder)
    both = {"small": (dataset, found.outcomes), "other": (replace(dataset, name="other"), found.outcomes)}
    fewer = [replace(one, setting=replace(one.setting, size=VectorSize(8, 8))) for one in found.outcomes]
    both["other"] = (both["other"][0], fewer)
    rows = make_rows(both, seed=0, through="exact")
    means = [row for row in rows if row["dataset"] == "mean"]
    # How many bytes a text takes depends on the dataset, and a setting is one all the same.
    assert [row["dim"] for row in means] == [WORDS, 4, 1]
    assert means[0]["bytes"] == round((found.outcomes[0].setting.size.searched + 8) / 2)
    chosen = recommend(means)
    assert chosen is not None
    assert describe_setting(chosen.stored).startswith("words, ")
    assert "at most 16 weights" in recommendation_sentence(rows)
    written = render_page(Evaluation(rows))
    assert "Isotropy" not in written
    assert "Only the largest weights of each document" in written
    assert "sparse: all inner products" in written
