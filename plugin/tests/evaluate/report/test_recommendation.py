from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nestvec.evaluate.report.recommendation import headline_rows, knee, recommend, recommendation_sentence
from nestvec.evaluate.rows import ResultRow


def row(dim: int, kept: float, **others: object) -> ResultRow:
    plain: ResultRow = {
        "dataset": "d", "encoder": "e", "precision": "fp32", "nesting": "rotated", "form": "float",
        "dim": dim, "exit": 6, "query_exit": 6, "kept": kept, "bytes": 4 * dim, "stored_bytes": 4 * dim,
        "rescore_dim": None, "candidates": None,
    }  # fmt: skip
    return plain | others


SHORTLIST: dict[str, object] = {
    "form": "shortlist",
    "stored_bytes": 1792,
    "rescore_dim": 384,
    "candidates": 100,
}


def test_the_smallest_to_store_and_to_search() -> None:
    rows = [row(384, 1.0), row(128, 0.991), row(64, 0.93), row(64, 0.997, **SHORTLIST)]
    chosen = recommend(rows)
    assert chosen is not None
    assert (chosen.stored, chosen.searched) == (rows[1], rows[3])
    said = recommendation_sentence(rows)
    assert said.startswith(
        "The smallest setting that keeps 99% of nDCG@10 on d: e, 128 dims, float, exit 6, 512 bytes"
    )
    assert "64 dims, shortlist, 100 candidates rescored at 384, exit 6, 256 bytes searched" in said
    assert "256 bytes searched of 1,792 stored" in said


def test_what_the_encoder_does_not_give_is_not_chosen() -> None:
    rows = [row(384, 1.0), row(32, 1.0, nesting="plain")]
    chosen = recommend(rows)
    assert chosen is not None
    assert chosen.stored is rows[0]
    alone = recommend([row(32, 1.0, nesting="plain")])
    assert alone is not None


def test_of_equal_sizes_the_shallower_one() -> None:
    rows = [row(64, 1.0), row(64, 0.995, exit=3, query_exit=3)]
    chosen = recommend(rows)
    assert chosen is not None
    assert chosen.stored is rows[1]


def test_none_may_be_good_enough() -> None:
    assert recommend([row(64, 0.9)]) is None
    assert recommendation_sentence([row(64, 0.9)]).startswith(
        "No setting keeps 99% of nDCG@10 on d; the best one, e, 64 dims"
    )


def test_the_headline_is_the_mean_where_there_is_one() -> None:
    rows = [row(8, 1.0), row(8, 1.0, dataset="f")]
    assert headline_rows(rows) == rows[:1]
    mean = row(8, 1.0, dataset="mean")
    assert headline_rows([*rows, mean]) == [mean]
    assert "on average over the datasets" in recommendation_sentence([*rows, mean])


def test_a_knee_is_where_a_curve_bends() -> None:
    assert knee([32, 64, 128, 256, 384], [0.5, 0.75, 0.99, 0.995, 1.0]) == 2
    assert knee([384, 128, 32], [1.0, 0.99, 0.5]) == 1
    assert knee([1, 2], [0.1, 1.0]) is None
    assert knee([1, 2, 4], [0.1, 0.2, 0.3]) is None
    assert knee([1, 2, 4], [0.3, 0.2, 0.1]) is None


@given(st.lists(st.floats(0, 1), min_size=3, max_size=8))
def test_a_knee_is_a_point_of_the_curve(qualities: list[float]) -> None:
    at = knee(list(2.0 ** np.arange(len(qualities))), qualities)
    assert at is None or 0 < at < len(qualities) - 1
