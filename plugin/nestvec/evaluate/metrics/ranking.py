"""Metrics of a ranking, computed by trec_eval, and their bootstrap over queries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from nestvec.datasets.beir import Dataset
from nestvec.evaluate.search.exact import Ranking

Metric = Literal["ndcg@10", "recall@100", "mrr@10", "r@1", "r@5", "r@10"]
Scores = NDArray[np.float64]

METRICS: Final[tuple[Metric, ...]] = ("ndcg@10", "recall@100", "mrr@10", "r@1", "r@5", "r@10")
HIT_METRICS: Final[tuple[Metric, ...]] = ("r@1", "r@5", "r@10")
"""Of captioned images: whether a relevant result is among the first k."""

RANKING_DEPTH = 100
"""Documents of a ranking that count."""

RESAMPLES = 1000


def per_query_metrics(dataset: Dataset, ranking: Ranking) -> dict[Metric, Scores]:
    """nDCG@10 (linear gains), Recall@100, MRR@10 and R@1, 5, 10 of each query, (q,) float64 each.

    By pytrec_eval (Van Gysel & de Rijke 2018), which wraps trec_eval. MRR@10 is ``recip_rank`` of the first
    ten; R@k is ``success``: 1 if a relevant document is among the first k.
    """
    import pytrec_eval  # noqa: PLC0415 - the extra `evaluate`

    gains = pytrec_eval.RelevanceEvaluator(
        dataset.queries.qrels, {"ndcg_cut.10", "recall.100", "success.1,5,10"}
    )
    reciprocal_rank = pytrec_eval.RelevanceEvaluator(dataset.queries.qrels, {"recip_rank"})
    results = gains.evaluate(_trec_run(dataset, ranking[:, :RANKING_DEPTH]))
    first_ten = reciprocal_rank.evaluate(_trec_run(dataset, ranking[:, :10]))
    return {
        "ndcg@10": np.array([results[query_id]["ndcg_cut_10"] for query_id in dataset.queries.ids]),
        "recall@100": np.array([results[query_id]["recall_100"] for query_id in dataset.queries.ids]),
        "mrr@10": np.array([first_ten[query_id]["recip_rank"] for query_id in dataset.queries.ids]),
        "r@1": np.array([results[query_id]["success_1"] for query_id in dataset.queries.ids]),
        "r@5": np.array([results[query_id]["success_5"] for query_id in dataset.queries.ids]),
        "r@10": np.array([results[query_id]["success_10"] for query_id in dataset.queries.ids]),
    }


def _trec_run(dataset: Dataset, ranking: Ranking) -> dict[str, dict[str, float]]:
    """A ranking in trec_eval's format: by ranks, because trec_eval would reorder equal similarities."""
    return {
        query_id: {str(number): float(-rank) for rank, number in enumerate(row) if number >= 0}
        for query_id, row in zip(dataset.queries.ids, ranking, strict=True)
    }


def bootstrap_weights(queries: int, seed: int, draws: int = RESAMPLES) -> Scores:
    """Weights of the bootstrap (Efron 1979), (draws, q) float64 with rows that sum to 1.

    Using the same weights for every setting of a dataset makes their differences paired.
    """
    random = np.random.default_rng(seed)
    share = np.full(queries, 1 / queries)
    return random.multinomial(queries, share, size=draws) / queries


def confidence_interval(replicates: Scores) -> tuple[float, float]:
    """The 95% percentile interval of (draws,) replicates."""
    low, high = np.percentile(replicates, (2.5, 97.5))
    return float(low), float(high)


def ratio(above: Scores, below: Scores) -> Scores:
    """``above`` / ``below`` sample by sample; 0 if ``below`` is 0."""
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


def metric_means(scores: Mapping[Metric, Scores]) -> dict[str, float]:
    """The mean of each metric over the queries."""
    return {name: float(scores[name].mean()) for name in METRICS}
