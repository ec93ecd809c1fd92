from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nestvec.service.preprocess.inputs import ModelInput, collate, collate_ids, text_input


def test_padding_is_hidden_by_the_mask() -> None:
    batch = collate_ids([np.array([7, 8, 9]), np.array([5])])
    assert batch.arrays["input_ids"].tolist() == [[7, 8, 9], [5, 0, 0]]
    assert batch.arrays["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert (batch.tokens, batch.padded, len(batch)) == (4, 6, 2)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=20))
def test_every_row_is_found_again_where_its_mask_is(sizes: list[int]) -> None:
    rows = [text_input(np.arange(1, size + 1)) for size in sizes]
    batch = collate(rows, exit=3, part="image")
    for row, ids, mask in zip(rows, *batch.arrays.values(), strict=True):
        assert np.array_equal(ids[mask > 0], row.arrays["input_ids"])
        assert not ids[mask == 0].any()
    assert (batch.exit, batch.part) == (3, "image")


def test_images_lie_side_by_side_without_a_mask() -> None:
    rows = [ModelInput({"pixels": np.full((2, 2, 3), shade, np.uint8)}, 4, 4) for shade in (1, 2)]
    batch = collate(rows)
    assert set(batch.arrays) == {"pixels"}
    assert batch.arrays["pixels"].shape == (2, 2, 2, 3)
    assert batch.arrays["pixels"].dtype == np.uint8
    assert (batch.tokens, batch.padded) == (8, 8)


def test_a_mask_that_rows_bring_is_kept() -> None:
    rows = [ModelInput({"input_ids": np.arange(3), "attention_mask": np.array([1, 0, 1])}, 3, 3)]
    assert collate(rows).arrays["attention_mask"].tolist() == [[1, 0, 1]]


def test_a_batch_is_parted_in_order() -> None:
    batch = collate_ids([np.array([n]) for n in range(5)])
    parts = list(batch.parts(2))
    assert [len(part) for part in parts] == [2, 2, 1]
    assert np.concatenate([part.arrays["input_ids"] for part in parts]).ravel().tolist() == list(range(5))
