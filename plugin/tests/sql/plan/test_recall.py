"""Recall of shortlists, early stops, and queries sampled from texts."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nestvec.sql.execute.sampling import as_query
from nestvec.sql.plan.recall import RankedPair, learn_early_stop, lower_bound, measure_recall
from nestvec.sql.plan.statistics import SHORTLIST_SIZES


def pairs(queries: int, rows: int, noise: float) -> list[RankedPair]:
    draw = np.random.default_rng(0)
    whole = draw.normal(size=(rows, 16))
    found = []
    for query in draw.normal(size=(queries, 16)):
        true, short = ((whole - query)[:, :dim] for dim in (16, 12))
        both = [np.linalg.norm(one, axis=1) for one in (true, short + draw.normal(size=short.shape) * noise)]
        listed = [[(int(at), float(one[at])) for at in np.argsort(one)] for one in both]
        found.append(RankedPair(listed[0][:200], listed[1]))
    return found


def test_recall_counts_the_rows_found() -> None:
    some = pairs(40, 500, 0.1)
    found = {(one.count, one.size): one for one in measure_recall(some, 500)}
    assert sorted({size for _, size in found}) == [size for size in SHORTLIST_SIZES if size < 500]
    for (count, size), one in found.items():
        shares = [
            len({key for key, _ in pair.exact[:count]} & {key for key, _ in pair.shortened[:size]}) / count
            for pair in some
        ]
        assert one.mean == pytest.approx(np.mean(shares), abs=1e-4)
        assert one.floor <= one.mean
    same = measure_recall([RankedPair(pair.exact, pair.exact) for pair in some], 100)
    assert {one.mean for one in same} == {1.0}
    assert all(gap is not None for one in same if one.size > one.count for gap in one.easy)


def test_rows_with_the_same_text_are_interchangeable() -> None:
    whole = [(0, 0.1), (1, 0.5), (2, 0.5)]
    found = measure_recall(
        [RankedPair([*whole], [(0, 0.1), (2, 0.5), *((n, 0.6) for n in range(3, 12))])] * 2, 12
    )
    assert [one.mean for one in found if one.count == 1] == [1.0]


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.8, 0.95, 0.99]))
@settings(max_examples=60, deadline=None)
def test_stopping_early_keeps_the_target_on_the_sample(seed: int, target: float) -> None:
    draw = np.random.default_rng(seed)
    gaps = draw.uniform(0, 1, 120).round(1)
    placed = np.where(draw.uniform(0, 1, 120) < gaps + 0.4, 1.0, 0.7)
    found = np.where(draw.uniform(0, 1, 120) < 0.99, 1.0, 0.9)
    least = learn_early_stop(gaps, placed, found, target)
    if least is not None:
        easy = gaps >= least
        assert easy.sum() >= 30
        assert lower_bound(placed[easy]) >= target
        assert lower_bound(np.where(easy, placed, found)) >= target


def test_queries_are_shorter_than_texts() -> None:
    draw = random.Random(0)
    text = "Read rows from a CSV file. Write a row to a spreadsheet file. Open it."
    assert as_query(text, draw) in (
        "Read rows from a CSV file.",
        "Write a row to a spreadsheet file.",
        "Open it.",
    )
    assert as_query("csv files", draw) == "csv files"
    half = as_query("one two three four five six seven eight", draw)
    assert len(half.split()) == 4
    assert len(as_query("word " * 5000, draw)) <= 300
