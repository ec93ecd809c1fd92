"""Outcomes as rows: means, 95 % intervals, and the share of the reference's quality that is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final

import numpy as np

from nestvec.evaluate.dataset import Dataset
from nestvec.evaluate.measures import (
    FOUND,
    MEASURES,
    RESAMPLES,
    Measure,
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

BOTH = "both"
"""The direction in rows that are means over texts that find pictures and pictures that find texts."""


@dataclass(frozen=True)
class _Scored:
    """A row, and by column the bootstrap's draws that its intervals come from, (draws,) float64 each."""

    setting: Setting
    row: Row
    draws: Mapping[str, Scores]


def reference(outcomes: Sequence[Outcome]) -> Outcome:
    """What the others are compared with: the first encoder's whole float vector at its deepest exit, of fp32
    weights where they are measured, before its rotation where it has one; of a sparse one all weights."""
    whole = [
        one
        for one in outcomes
        if one.setting.form in ("float", "sparse") and one.setting.exit == one.setting.query_exit
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
    reached = weights @ whole
    found = []
    for outcome in outcomes:
        draws: dict[str, Scores] = {measure: weights @ outcome.scores[measure] for measure in _DRAWN}
        draws["kept"] = ratio(draws["ndcg@10"], reached)
        share = float(outcome.scores["ndcg@10"].mean() / whole.mean())
        row = {
            "dataset": name,
            "language": dataset.language,
            "direction": dataset.direction,
            "queries": len(dataset.ids),
            "through": through,
        }
        scored = row | _row(outcome, share) | _intervals(draws)
        found.append(_Scored(outcome.setting, scored, draws))
    return found


def _intervals(draws: Mapping[str, Scores]) -> Row:
    """``…_low`` and ``…_high`` of each column."""
    ends: Row = {}
    for name, values in draws.items():
        ends[f"{name}_low"], ends[f"{name}_high"] = interval(values)
    return ends


def _row(outcome: Outcome, kept: float) -> Row:
    before = outcome.unrescored
    shape = outcome.isotropy
    return {
        **asdict(outcome.setting),
        **mean_of(outcome.scores),
        "ndcg@10_unrescored": None if before is None else float(before.mean()),
        "kept": kept,
        "ms_per_text": outcome.ms_per_text,
        "ms_per_query": outcome.ms_per_query,
        "mean_cosine": None if shape is None else shape.mean_cosine,
        "effective_rank": None if shape is None else shape.effective_rank,
    }


_DRAWN: Final[tuple[Measure, ...]] = ("ndcg@10", *FOUND)
_AVERAGED: Final = (
    *MEASURES,
    "ndcg@10_unrescored",
    "kept",
    "ms_per_text",
    "ms_per_query",
    "mean_cosine",
    "effective_rank",
)


def _mean_rows(scored: Sequence[Sequence[_Scored]]) -> list[Row]:
    """Means over datasets, each counting the same; intervals from the means of their draws."""
    by_setting = [{_apart(one.setting): one for one in some} for some in scored]
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
        draws = {
            name: sum((one.draws[name] for one in same), np.zeros(RESAMPLES)) / len(same)
            for name in first.draws
        }
        sizes = {name: round(np.mean([int(str(one.row[name])) for one in same])) for name in _SIZES}
        over = {"language": _common(same, "language"), "direction": _common(same, "direction", BOTH)}
        rows.append(row | over | sizes | {"dataset": MEAN, "queries": queries} | _intervals(draws))
    return rows


_SIZES: Final = ("bytes", "stored_bytes")


def _apart(setting: Setting) -> Setting:
    """A setting without its bytes: how many words a text has depends on the dataset."""
    return replace(setting, bytes=0, stored_bytes=0)


def _common(scored: Sequence[_Scored], column: str, several: str | None = None) -> object:
    """What a column has in all rows; ``several`` where it has something in each, and not the same."""
    values = {one.row[column] for one in scored}
    return values.pop() if len(values) == 1 else (None if None in values else several)
