from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec_exporters.train import TrainingData
from nestvec_exporters.training_data import MIN_ROWS, prepare_texts, query_snippets
from nestvec_schemas.errors import TrainingDataUnusable


def test_every_row_is_trained_on_or_held_out_and_none_is_both(unlabelled: TrainingData) -> None:
    found = prepare_texts(unlabelled, seed=0)
    training, held = set(found.training[:, 0]), set(found.held_out[:, 0])
    assert not training & held
    assert len(training) + len(held) == len(unlabelled.rows)
    assert len(held) == 50
    assert {found.texts[at].text for at in training | held} == {row[0] for row in unlabelled.rows}


def test_rows_of_one_document_are_on_one_side(pairs: TrainingData) -> None:
    again = replace(pairs, rows=(*pairs.rows, *(("again " + query, text) for query, text in pairs.rows)))
    found = prepare_texts(again, seed=1)
    assert not set(found.training[:, 1]) & set(found.held_out[:, 1])
    assert len(found.training) + len(found.held_out) == 2 * len(pairs.rows)


def test_the_same_seed_splits_alike_and_another_does_not(unlabelled: TrainingData) -> None:
    first, second, other = (prepare_texts(unlabelled, seed) for seed in (3, 3, 4))
    assert first.texts == second.texts
    assert np.array_equal(first.held_out, second.held_out)
    assert [first.texts[at] for at in first.held_out[:, 0]] != [
        other.texts[at] for at in other.held_out[:, 0]
    ]


def test_queries_and_documents_keep_their_roles(pairs: TrainingData) -> None:
    found = prepare_texts(pairs, seed=0)
    assert {found.texts[at].role for at in found.training[:, 0]} == {"query"}
    assert {found.texts[at].role for at in found.training[:, 1]} == {"document"}


def test_blank_and_repeated_rows_are_left_out(unlabelled: TrainingData) -> None:
    more = replace(unlabelled, rows=(*unlabelled.rows, *unlabelled.rows, ("  ",), ("",)))
    found = prepare_texts(more, seed=0)
    assert len(found.training) + len(found.held_out) == len(unlabelled.rows)


@given(st.text(min_size=1).filter(str.strip), st.integers(0, 100))
def test_pieces_are_short_and_made_of_the_texts_words(text: str, seed: int) -> None:
    for piece in query_snippets(text, np.random.default_rng(seed)):
        assert piece.strip()
        assert len(piece.split()) <= 24
        assert set(piece.split()) <= set(text.split())


@pytest.mark.parametrize(
    "rows", [(), (("one text",),) * 1000, tuple((f"text {at}",) for at in range(MIN_ROWS - 1))]
)
def test_too_few_different_texts_are_refused_with_how_many_it_takes(
    rows: tuple[tuple[str, ...], ...],
) -> None:
    with pytest.raises(TrainingDataUnusable, match=f"at least {MIN_ROWS}"):
        prepare_texts(TrainingData("few.txt", "texts", rows), seed=0)


def test_pairs_that_all_have_one_document_are_refused() -> None:
    rows = tuple((f"query {at}", "the document") for at in range(1000))
    with pytest.raises(TrainingDataUnusable, match="1 distinct, of 1000 rows"):
        prepare_texts(TrainingData("same.csv", "pairs", rows), seed=0)


def test_a_row_of_another_width_is_refused(pairs: TrainingData) -> None:
    with pytest.raises(TrainingDataUnusable, match="row 301: 1"):
        prepare_texts(replace(pairs, rows=(*pairs.rows, ("alone",))), seed=0)


@pytest.mark.parametrize(
    ("scores", "says"),
    [
        ([1.0] * 300, "all the same"),
        ([math.nan, *[1.0] * 299], "row 1: nan"),
        ([1.0, math.inf, *[2.0] * 298], "row 2: inf"),
        ([1.0, 2.0], "2 scores, 300 pairs"),
    ],
)
def test_scores_that_tell_nothing_are_refused(pairs: TrainingData, scores: list[float], says: str) -> None:
    with pytest.raises(TrainingDataUnusable, match=says):
        prepare_texts(replace(pairs, scores=tuple(scores)), seed=0)


def test_texts_have_no_scores(unlabelled: TrainingData) -> None:
    with pytest.raises(TrainingDataUnusable, match="300 texts"):
        prepare_texts(replace(unlabelled, scores=tuple(map(float, range(300)))), seed=0)


def test_scores_stay_with_their_rows(pairs: TrainingData) -> None:
    scores = tuple(float(len(query)) + at for at, (query, _) in enumerate(pairs.rows))
    known = dict(zip(pairs.rows, scores, strict=True))
    found = prepare_texts(replace(pairs, scores=scores), seed=0)
    assert found.scores is not None
    for row, score in zip(found.training, found.scores, strict=True):
        query, document = (found.texts[at].text for at in row)
        assert known[query, document] == score


def test_the_digest_tells_rows_and_scores_apart(pairs: TrainingData) -> None:
    moved = replace(pairs, rows=(("ab", "c"), *pairs.rows))
    other = replace(pairs, rows=(("a", "bc"), *pairs.rows))
    scored = replace(pairs, scores=tuple(map(float, range(300))))
    assert len({one.digest() for one in (pairs, moved, other, scored)}) == 4
    assert pairs.digest() == replace(pairs, name="elsewhere.csv").digest()
