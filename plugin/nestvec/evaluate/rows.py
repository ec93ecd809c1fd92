"""Outcomes as rows: means, 95 % intervals, and the share of the reference's quality that is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from nestvec.evaluate.dataset import Dataset
from nestvec.evaluate.measures import (
    RESAMPLES,
    Scores,
    interval,
    mean_of,
    ratio,
    resample,
)
from nestvec.evaluate.measuring import Outcome, Setting
from nestvec_schemas.errors import DatasetUnusable

Row = dict[str, object]

MEAN = "mean"
"""The dataset's name in rows that are means over several datasets."""


@dataclass(frozen=True)
class _Scored:
    """A row, and the bootstrap's draws that its intervals come from, (draws,) float64 each."""

    setting: Setting
    row: Row
    ndcg: Scores
    kept: Scores


def reference(outcomes: Sequence[Outcome]) -> Outcome:
    """What the others are compared with: the first encoder's whole float vector at its deepest exit, of fp32
    weights where they are measured, before its rotation where it has one."""
    whole = [
        one for one in outcomes if one.setting.form == "float" and one.setting.exit == one.setting.query_exit
    ]
    first = [one for one in whole if one.setting.precision == "fp32"] or whole
    named = [one for one in first if one.setting.encoder == first[0].setting.encoder]
    return max(named, key=lambda one: (one.setting.exit, one.setting.dim, one.setting.nesting == "plain"))


def make_rows(
    measured: Mapping[str, tuple[Dataset, Sequence[Outcome]]], *, seed: int, through: str
) -> list[Row]:
    """A row for every outcome of every dataset and, for several datasets, one of their means.

    Raises DatasetUnusable when the reference finds nothing at all.
    """
    scored = {
        name: _scored(name, dataset, outcomes, seed, through)
        for name, (dataset, outcomes) in measured.items()
    }
    rows = [one.row for some in scored.values() for one in some]
    return rows + (_mean_rows(list(scored.values())) if len(scored) > 1 else [])


def _scored(
    name: str, dataset: Dataset, outcomes: Sequence[Outcome], seed: int, through: str
) -> list[_Scored]:
    weights = resample(len(dataset.ids), seed)
    whole = reference(outcomes).scores["ndcg@10"]
    if not whole.any():
        raise DatasetUnusable(
            f"the reference finds no relevant document of {name} for any query",
            value=f"{len(dataset.ids)} queries",
            next_step="Check that the judgements belong to this corpus, and the encoder to its language.",
        )
    draws = weights @ whole
    found = []
    for outcome in outcomes:
        ndcg = weights @ outcome.scores["ndcg@10"]
        kept = ratio(ndcg, draws)
        share = float(outcome.scores["ndcg@10"].mean() / whole.mean())
        row = {"dataset": name, "queries": len(dataset.ids), "through": through}
        found.append(_Scored(outcome.setting, row | _row(outcome, ndcg, kept, share), ndcg, kept))
    return found


def _row(outcome: Outcome, ndcg: Scores, kept: Scores, share: float) -> Row:
    low, high = interval(ndcg)
    kept_low, kept_high = interval(kept)
    before = outcome.unrescored
    shape = outcome.isotropy
    measures = mean_of(outcome.scores)
    return {
        **asdict(outcome.setting),
        "ndcg@10": measures["ndcg@10"],
        "ndcg@10_low": low,
        "ndcg@10_high": high,
        "ndcg@10_unrescored": None if before is None else float(before.mean()),
        "recall@100": measures["recall@100"],
        "mrr@10": measures["mrr@10"],
        "kept": share,
        "kept_low": kept_low,
        "kept_high": kept_high,
        "ms_per_text": outcome.ms_per_text,
        "ms_per_query": outcome.ms_per_query,
        "mean_cosine": None if shape is None else shape.mean_cosine,
        "effective_rank": None if shape is None else shape.effective_rank,
    }


_AVERAGED = (
    "ndcg@10",
    "ndcg@10_unrescored",
    "recall@100",
    "mrr@10",
    "kept",
    "ms_per_text",
    "ms_per_query",
    "mean_cosine",
    "effective_rank",
)


def _mean_rows(scored: Sequence[Sequence[_Scored]]) -> list[Row]:
    """Means over datasets, each counting the same; intervals from the means of their draws."""
    by_setting = [{one.setting: one for one in some} for some in scored]
    rows = []
    for setting, first in by_setting[0].items():
        same = [some[setting] for some in by_setting if setting in some]
        if len(same) < len(by_setting):
            continue
        row = dict(first.row)
        for name in _AVERAGED:
            values = [one.row[name] for one in same]
            row[name] = None if None in values else float(np.mean(np.asarray(values, np.float64)))
        queries = sum(int(str(one.row["queries"])) for one in same)
        low, high = interval(sum((one.ndcg for one in same), np.zeros(RESAMPLES)) / len(same))
        kept_low, kept_high = interval(sum((one.kept for one in same), np.zeros(RESAMPLES)) / len(same))
        rows.append(
            row
            | {"dataset": MEAN, "queries": queries, "ndcg@10_low": low, "ndcg@10_high": high}
            | {"kept_low": kept_low, "kept_high": kept_high}
        )
    return rows
