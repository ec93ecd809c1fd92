from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec.datasets.beir import open_dataset
from nestvec.evaluate.metrics.ranking import bootstrap_weights, confidence_interval, per_query_metrics, ratio


def test_measures_are_trec_evals(tmp_path: Path, write_data: Callable[..., Path]) -> None:
    corpus = "\n".join(json.dumps({"_id": str(n), "text": "x"}) for n in range(200))
    queries = '{"_id": "a", "text": "x"}\n{"_id": "b", "text": "x"}'
    dataset = open_dataset(write_data(corpus=corpus, queries=queries, qrels="a\t1\t3\na\t150\t1\nb\t20\t1"))
    found = np.tile(np.arange(200), (2, 1))
    scores = per_query_metrics(dataset, found)
    # a: gain 3 at rank 2, the other beyond 100; b: its only document at rank 21.
    assert scores["ndcg@10"] == pytest.approx([(3 / math.log2(3)) / (3 + 1 / math.log2(3)), 0.0])
    assert scores["recall@100"].tolist() == [0.5, 1.0]
    assert scores["mrr@10"].tolist() == [0.5, 0.0]


@given(seed=st.integers(0, 1000), queries=st.integers(1, 40))
def test_draws_are_means_over_as_many_queries_and_repeat(seed: int, queries: int) -> None:
    weights = bootstrap_weights(queries, seed, draws=20)
    assert weights.sum(axis=1) == pytest.approx(np.ones(20))
    assert (weights == bootstrap_weights(queries, seed, draws=20)).all()


def test_an_interval_holds_the_mean_and_kept_is_paired() -> None:
    scores = np.random.default_rng(0).random(300)
    draws = bootstrap_weights(300, 0) @ scores
    low, high = confidence_interval(draws)
    assert low < scores.mean() < high
    assert confidence_interval(ratio(draws * 0.9, draws)) == pytest.approx((0.9, 0.9))
    assert ratio(np.ones(2), np.zeros(2)).tolist() == [0.0, 0.0]
