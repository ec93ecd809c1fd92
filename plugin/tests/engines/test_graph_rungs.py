from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec.engines.graph_rungs import (
    MAX_PADDED_TOKENS,
    RUNGS,
    Rung,
    can_capture,
    cut_rows,
    pad_to_rung,
    rung_of,
)


@pytest.mark.parametrize(
    ("batch", "tokens", "rung"),
    [
        (1, 1, Rung(1, 16)),
        (1, 16, Rung(1, 16)),
        (1, 17, Rung(1, 32)),
        (3, 64, Rung(4, 64)),
        (33, 64, Rung(64, 64)),
        (32, 128, Rung(32, 128)),
        (33, 128, None),
        (1, 129, None),
        (65, 1, None),
    ],
)
def test_the_smallest_shape_that_a_batch_fits_in(batch: int, tokens: int, rung: Rung | None) -> None:
    assert rung_of(batch, tokens) == rung


@given(st.integers(1, 100), st.integers(1, 200))
def test_a_rung_holds_the_batch_and_wastes_less_than_it_could(batch: int, tokens: int) -> None:
    rung = rung_of(batch, tokens)
    if rung is None:
        assert all(other.batch < batch or other.tokens < tokens for other in RUNGS)
        return
    assert rung.batch >= batch
    assert rung.tokens >= tokens
    assert rung.batch * rung.tokens <= MAX_PADDED_TOKENS
    assert rung.batch < 2 * batch
    assert rung.tokens < max(17, 2 * tokens)


def test_no_two_rungs_share_a_graph() -> None:
    ids = [rung.graph_id for rung in RUNGS]
    assert len(set(ids)) == len(ids)
    assert not {"0", "-1"} & set(ids)


@given(st.integers(1, 9), st.integers(1, 40), st.data())
def test_padding_adds_no_text_without_tokens(batch: int, tokens: int, data: st.DataObject) -> None:
    lengths = data.draw(st.lists(st.integers(1, tokens), min_size=batch, max_size=batch))
    mask = (np.arange(tokens) < np.array(lengths)[:, None]).astype(np.int64)
    arrays = {"input_ids": mask * 7, "attention_mask": mask}
    rung = rung_of(batch, tokens)
    assert rung is not None
    padded = pad_to_rung(arrays, rung)
    assert {array.shape for array in padded.values()} == {(rung.batch, rung.tokens)}
    assert {array.dtype for array in padded.values()} == {np.dtype(np.int64)}
    for name, array in padded.items():
        np.testing.assert_array_equal(array[:batch, :tokens], arrays[name])
    assert padded["attention_mask"].sum(axis=1).min() >= 1
    assert not padded["attention_mask"][:, tokens:].any()


def test_what_is_cut_is_a_copy() -> None:
    output = np.ones((4, 2), np.float32)
    rows = cut_rows(output, 3)
    output[:] = 0
    assert rows.tolist() == [[1, 1]] * 3


@pytest.mark.parametrize(
    ("inputs", "capturable"),
    [
        (("input_ids", "attention_mask"), True),
        (("input_ids", "attention_mask", "token_type_ids"), True),
        (("input_ids", "attention_mask", "exit"), False),
        (("pixels",), False),
        (("input_ids", "attention_mask", "pixels"), False),
    ],
)
def test_images_and_exits_are_not_captured(inputs: tuple[str, ...], capturable: bool) -> None:
    assert can_capture(inputs) is capturable
