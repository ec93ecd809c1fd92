"""Outcomes as rows: means, 95% confidence intervals, and the share of the reference's quality kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from nestvec.datasets.beir import Dataset
from nestvec.evaluate.metrics.ranking import (
    HIT_METRICS,
    METRICS,
    RESAMPLES,
    Metric,
    Scores,
    bootstrap_weights,
    confidence_interval,
    metric_means,
    ratio,
)
from nestvec.evaluate.outcomes import MeasuredSetting, Outcome, VectorSize
from nestvec_schemas.errors import DatasetUnusable

ResultRow = dict[str, object]

MEAN = "mean"
"""The dataset's name in rows that are means over several datasets."""

BOTH = "both"
"""The direction in rows that are means over both directions of captioned images."""


@dataclass(frozen=True)
class _ScoredRow:
    """A row with the bootstrap samples behind its intervals."""

    setting: MeasuredSetting
    row: ResultRow

    draws: Mapping[str, Scores]
    """By column, (draws,) float64 each."""


def reference_outcome(outcomes: Sequence[Outcome]) -> Outcome:
    """What the others are compared with: full-length float vectors of the first encoder at its deepest exit,
    or all weights of a sparse one; with fp32 weights if they are measured, and before the rotation if it has
    one."""
    full_length = [
        outcome
        for outcome in outcomes
        if outcome.setting.form in ("float", "sparse") and outcome.setting.exit == outcome.setting.query_exit
    ]
    fp32 = [outcome for outcome in full_length if outcome.setting.precision == "fp32"] or full_length
    candidates = [outcome for outcome in fp32 if outcome.setting.encoder == fp32[0].setting.encoder]
    return max(
        candidates,
        key=lambda outcome: (outcome.setting.exit, outcome.setting.dim, outcome.setting.nesting == "plain"),
    )


def make_rows(
    measured: Mapping[str, tuple[Dataset, Sequence[Outcome]]], *, seed: int, through: str
) -> list[ResultRow]:
    """A row per outcome and dataset and, for several datasets, one per setting for their mean.

    Raises DatasetUnusable if the reference finds no relevant document.
    """
    scored = {
        name: _scored(name, dataset, outcomes, seed, through)
        for name, (dataset, outcomes) in measured.items()
    }
    rows = [scored_row.row for dataset_rows in scored.values() for scored_row in dataset_rows]
    return rows + (_mean_rows(list(scored.values())) if len(scored) > 1 else [])


def _scored(
    name: str, dataset: Dataset, outcomes: Sequence[Outcome], seed: int, through: str
) -> list[_ScoredRow]:
    weights = bootstrap_weights(len(dataset.queries.ids), seed)
    reference_scores = reference_outcome(outcomes).scores["ndcg@10"]
    if not reference_scores.any():
        raise DatasetUnusable(
            f"the reference finds no relevant document of {name} for any query",
            value=f"{len(dataset.queries.ids)} queries",
            next_step="Check that the judgements belong to this corpus, and the encoder to its language.",
        )
    reference_draws = weights @ reference_scores
    rows = []
    for outcome in outcomes:
        draws: dict[str, Scores] = {measure: weights @ outcome.scores[measure] for measure in _BOOTSTRAPPED}
        draws["kept"] = ratio(draws["ndcg@10"], reference_draws)
        share = float(outcome.scores["ndcg@10"].mean() / reference_scores.mean())
        row = {
            "dataset": name,
            "language": dataset.language,
            "direction": dataset.direction,
            "queries": len(dataset.queries.ids),
            "through": through,
        }
        scored = row | _row(outcome, share) | _intervals(draws)
        rows.append(_ScoredRow(outcome.setting, scored, draws))
    return rows


def _intervals(draws: Mapping[str, Scores]) -> ResultRow:
    """The columns ``…_low`` and ``…_high`` of each column."""
    ends: ResultRow = {}
    for name, values in draws.items():
        ends[f"{name}_low"], ends[f"{name}_high"] = confidence_interval(values)
    return ends


def _row(outcome: Outcome, retention: float) -> ResultRow:
    before = outcome.unrescored
    shape = outcome.isotropy
    return {
        **_setting_columns(outcome.setting),
        **metric_means(outcome.scores),
        "ndcg@10_unrescored": None if before is None else float(before.mean()),
        "kept": retention,
        "ms_per_text": outcome.ms_per_text,
        "ms_per_query": outcome.ms_per_query,
        "mean_cosine": None if shape is None else shape.mean_cosine,
        "effective_rank": None if shape is None else shape.effective_rank,
    }


def _setting_columns(setting: MeasuredSetting) -> ResultRow:
    rescoring = setting.rescoring
    return {
        "encoder": setting.encoder,
        "precision": setting.precision,
        "nesting": setting.nesting,
        "form": setting.form,
        "dim": setting.dim,
        "exit": setting.exit,
        "query_exit": setting.query_exit,
        "bytes": setting.size.searched,
        "stored_bytes": setting.size.stored,
        "rescore_dim": rescoring and rescoring.dim,
        "candidates": rescoring and rescoring.candidates,
        "reranker": rescoring and rescoring.reranker,
    }


_BOOTSTRAPPED: Final[tuple[Metric, ...]] = ("ndcg@10", *HIT_METRICS)
_AVERAGED: Final = (
    *METRICS,
    "ndcg@10_unrescored",
    "kept",
    "ms_per_text",
    "ms_per_query",
    "mean_cosine",
    "effective_rank",
)


def _mean_rows(scored: Sequence[Sequence[_ScoredRow]]) -> list[ResultRow]:
    """Means over datasets with equal weight; intervals from the means of their bootstrap samples."""
    by_setting = [
        {_without_bytes(scored_row.setting): scored_row for scored_row in settings} for settings in scored
    ]
    rows = []
    for setting, first in by_setting[0].items():
        same = [settings[setting] for settings in by_setting if setting in settings]
        if len(same) < len(by_setting):
            continue
        row = dict(first.row)
        for name in _AVERAGED:
            values = [scored_row.row[name] for scored_row in same]
            row[name] = None if None in values else float(np.mean(np.asarray(values, np.float64)))
        queries = sum(int(str(scored_row.row["queries"])) for scored_row in same)
        draws = {
            name: sum((scored_row.draws[name] for scored_row in same), np.zeros(RESAMPLES)) / len(same)
            for name in first.draws
        }
        sizes = {
            name: round(np.mean([int(str(scored_row.row[name])) for scored_row in same])) for name in _SIZES
        }
        over = {"language": _common(same, "language"), "direction": _common(same, "direction", BOTH)}
        rows.append(row | over | sizes | {"dataset": MEAN, "queries": queries} | _intervals(draws))
    return rows


_SIZES: Final = ("bytes", "stored_bytes")


def _without_bytes(setting: MeasuredSetting) -> MeasuredSetting:
    """A setting without its bytes, which depend on the dataset if vectors are sparse."""
    return replace(setting, size=VectorSize(0, 0))


def _common(scored: Sequence[_ScoredRow], column: str, several: str | None = None) -> object:
    """A column's value if it is the same in all rows; ``several`` if they have different ones."""
    values = {scored_row.row[column] for scored_row in scored}
    return values.pop() if len(values) == 1 else (None if None in values else several)
