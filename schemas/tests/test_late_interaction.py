from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nestvec_schemas.late_interaction import KEEP_INPUT, Interaction, maxsim, token_arrays
from nestvec_schemas.vectors import normalise

QUERY, DOCUMENT, MASK = 7, 8, 9
INTERACTION = Interaction(
    query_marker=QUERY, document_marker=DOCUMENT, query_tokens=8, mask=MASK, skip=(40, 41)
)


def ids(*numbers: int) -> np.ndarray:
    return np.array([2, *numbers, 3], np.int64)


def test_a_query_is_filled_up_with_masks_that_nobody_attends_to() -> None:
    found = token_arrays(ids(QUERY, 40, 11), INTERACTION)
    assert found["input_ids"].tolist() == [2, QUERY, 40, 11, 3, MASK, MASK, MASK]
    assert found["attention_mask"].tolist() == [1, 1, 1, 1, 1, 0, 0, 0]
    assert found[KEEP_INPUT].tolist() == [1] * 8
    attending = INTERACTION.model_copy(update={"attend": True})
    assert token_arrays(ids(QUERY), attending)["attention_mask"].tolist() == [1] * 8


def test_a_query_without_a_mask_token_stays_as_short_as_it_is() -> None:
    plain = INTERACTION.model_copy(update={"mask": None})
    assert token_arrays(ids(QUERY, 11), plain)["input_ids"].tolist() == [2, QUERY, 11, 3]


def test_a_long_query_keeps_its_last_special_token() -> None:
    found = token_arrays(ids(QUERY, *range(50, 70)), INTERACTION)
    assert found["input_ids"].tolist() == [2, QUERY, 50, 51, 52, 53, 54, 3]


def test_a_document_leaves_out_punctuation_and_attends_to_it() -> None:
    found = token_arrays(ids(DOCUMENT, 11, 40, 12, 41), INTERACTION)
    assert found["attention_mask"].tolist() == [1] * 7
    assert found[KEEP_INPUT].tolist() == [1, 1, 1, 0, 1, 0, 1]


@pytest.mark.parametrize("interaction", [None, INTERACTION])
def test_a_text_without_a_marker_is_read_as_it_is(interaction: Interaction | None) -> None:
    for row in (ids(11, 40), np.array([2], np.int64), np.array([], np.int64)):
        found = token_arrays(row, interaction)
        assert found["input_ids"].tolist() == row.tolist()
        assert found[KEEP_INPUT].tolist() == found["attention_mask"].tolist() == [1] * len(row)


vectors = st.integers(1, 6).flatmap(
    lambda n: arrays(np.float32, (n, 4), elements=st.floats(-1, 1, width=32)).map(normalise)
)


@given(vectors, st.lists(vectors, max_size=4))
def test_maxsim_is_the_sum_of_each_query_vectors_best(query: np.ndarray, some: list[np.ndarray]) -> None:
    expected = [sum(max(float(q @ d) for d in one) for q in query) for one in some]
    np.testing.assert_allclose(maxsim(query, some), expected, atol=1e-5)
    # What else is scored has no part in a score.
    for first, second in pairwise(some):
        assert maxsim(query, [first, second])[1] == maxsim(query, [second])[0]


def test_a_document_without_vectors_scores_nothing() -> None:
    assert maxsim(np.ones((2, 4), np.float32), [np.zeros((0, 4), np.float32)]).tolist() == [0.0]
