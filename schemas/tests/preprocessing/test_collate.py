from __future__ import annotations

import numpy as np

from nestvec_schemas.preprocessing.collate import pad_rows


def test_rows_without_a_mask_have_ones_and_others_their_own() -> None:
    rows = [
        {"input_ids": np.array([4, 5, 6])},
        {"input_ids": np.array([7, 8]), "attention_mask": np.array([2, 2])},
        {"input_ids": np.array([], np.int64)},
    ]
    arrays = pad_rows(rows)
    assert arrays["input_ids"].tolist() == [[4, 5, 6], [7, 8, 0], [0, 0, 0]]
    assert arrays["attention_mask"].tolist() == [[1, 1, 1], [2, 2, 0], [0, 0, 0]]
    assert pad_rows([rows[2], rows[0]])["attention_mask"].tolist() == [[0, 0, 0], [1, 1, 1]]
    assert pad_rows(rows[2:])["attention_mask"].tolist() == [[0]]
