from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec.evaluate.search import exact
from nestvec.evaluate.search.exact import ExactIndex, QuerySet, Ranking, drop_own_documents
from nestvec.evaluate.search.forms import (
    Coding,
    VectorForm,
    binary_form,
    int8_form,
    prepare,
    searched_bytes,
    stored_bytes,
)
from nestvec_schemas.vectors import Vectors, cosines, nest

seeds = st.integers(0, 2**32 - 1)
codings = st.sampled_from(["float", "int8", "binary"])


def vectors(seed: int, count: int, dim: int = 16) -> Vectors:
    """Of few different numbers, so that many similarities are equal."""
    return np.random.default_rng(seed).integers(-2, 3, (count, dim)).astype(np.float32)


def nearest(documents: Vectors, queries: Vectors, cut: VectorForm, k: int) -> Ranking:
    (found,) = ExactIndex(documents, None).search([QuerySet(queries, cut)], k, lambda done: None)
    assert found is not None
    return found


@given(seed=seeds, coding=codings, dim=st.integers(1, 16), count=st.integers(1, 80), k=st.integers(1, 90))
def test_the_nearest_are_found_and_equal_ones_stand_in_order(
    seed: int, coding: Coding, dim: int, count: int, k: int
) -> None:
    documents, queries = vectors(seed, count), vectors(seed + 1, 3)
    cut = VectorForm(coding, dim)
    similarities = prepare(queries, cut) @ prepare(documents, cut).T
    expected = np.argsort(-similarities, axis=1, kind="stable")[:, :k]
    found = nearest(documents, queries, cut, k)
    assert found[:, : expected.shape[1]].tolist() == expected.tolist()
    assert (found[:, expected.shape[1] :] == -1).all()


@given(seed=seeds)
def test_blocks_do_not_change_the_answer(seed: int) -> None:
    documents, queries = vectors(seed, 50), vectors(seed + 1, 9)
    whole = nearest(documents, queries, VectorForm("binary", 16), 10)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "BLOCK_DOCUMENTS", 7)
        patch.setattr(exact, "BLOCK_QUERIES", 4)
        assert nearest(documents, queries, VectorForm("binary", 16), 10).tolist() == whole.tolist()


@given(seed=seeds, dim=st.integers(1, 16))
def test_a_binary_product_is_a_hamming_distance(seed: int, dim: int) -> None:
    left, right = vectors(seed, 4)[:, :dim], vectors(seed + 1, 5)[:, :dim]
    distance = ((left > 0)[:, None] != (right > 0)[None]).sum(axis=2)
    assert (binary_form(left, dim) @ binary_form(right, dim).T == dim - 2 * distance).all()


def test_int8_stays_near_the_float_vector() -> None:
    full = np.random.default_rng(0).standard_normal((50, 64)).astype(np.float32)
    assert cosines(int8_form(full, 32), nest(full, 32)).min() > 0.9998


def test_rescoring_orders_candidates_by_whole_vectors() -> None:
    documents, queries = vectors(1, 40), vectors(2, 6)
    candidates = nearest(documents, queries, VectorForm("float", 4), 12)
    candidates[0, 5:] = -1
    again = ExactIndex(documents, None).rescore(queries, candidates)
    for row, (query, numbers) in enumerate(zip(queries, candidates, strict=True)):
        there = np.sort(numbers[numbers >= 0])
        similarity = cosines(np.tile(query, (len(there), 1)), documents[there])
        assert sorted(again[row][again[row] >= 0]) == there.tolist()
        assert np.all(np.diff(similarity[np.searchsorted(there, again[row][: len(there)])]) <= 1e-6)


def test_a_rotation_is_undone_for_plain_vectors() -> None:
    plain, queries = np.random.default_rng(1).standard_normal((2, 30, 8)).astype(np.float32)
    rotation = np.linalg.qr(np.random.default_rng(2).standard_normal((8, 8)))[0].astype(np.float32)
    index = ExactIndex(plain @ rotation, rotation)
    (found,) = index.search(
        [QuerySet(queries @ rotation, VectorForm("float", 3, unrotated=True))], 5, lambda done: None
    )
    assert found is not None
    assert found.tolist() == nearest(plain, queries, VectorForm("float", 3), 5).tolist()


def test_the_querys_own_document_is_left_out() -> None:
    found = np.array([[3, 1, 2], [1, 2, 3]])
    assert drop_own_documents(found, np.array([1, -1]), 2).tolist() == [[3, 2], [1, 2]]


def test_bytes() -> None:
    assert [searched_bytes(form, 64) for form in ("float", "int8", "binary", "shortlist")] == [
        256,
        64,
        8,
        256,
    ]
    assert [stored_bytes(form, 64, 384) for form in ("float", "int8")] == [256, 64]
    assert [stored_bytes(form, 64, 384) for form in ("binary", "shortlist")] == [1544, 1792]
