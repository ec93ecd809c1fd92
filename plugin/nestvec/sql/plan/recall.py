"""Recall of shortlists, measured by comparing searches by the full vectors with searches by shorter ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nestvec.sql.plan.statistics import (
    ANSWER_COUNTS,
    MIN_QUERIES,
    RECALL_LEVELS,
    SHORTLIST_SIZES,
    ShortlistRecall,
)

Ranked = Sequence[tuple[int | str, float]]
"""Primary keys and distances, nearest first."""

_Shares = NDArray[np.float64]

_Z_ONE_SIDED_95 = 1.6449
"""Standard errors from a mean to the lower bound of its one-sided 95 % confidence interval."""

_DISTANCE_TOLERANCE = 1e-6
"""Rows whose distances differ by less are taken to have the same text: any of them is right."""


@dataclass(frozen=True)
class RankedPair:
    """The rows that one query found."""

    exact: Ranked
    """By the longest vectors."""
    shortened: Ranked
    """By the shorter vectors."""


def measure_recall(pairs: Sequence[RankedPair], rows: int) -> tuple[ShortlistRecall, ...]:
    """Recall for each count and size of shortlist that is smaller than the collection of ``rows``."""
    return tuple(
        _measure_one_size(pairs, count, size)
        for count in ANSWER_COUNTS
        for size in SHORTLIST_SIZES
        if count <= size < rows and pairs
    )


def lower_bound(shares: _Shares) -> float:
    """Lower bound of the one-sided 95 % confidence interval of a mean, from (q,) float64."""
    if len(shares) < 2:
        return 0.0
    return max(0.0, float(shares.mean() - _Z_ONE_SIDED_95 * shares.std(ddof=1) / math.sqrt(len(shares))))


def _measure_one_size(pairs: Sequence[RankedPair], count: int, size: int) -> ShortlistRecall:
    shares = np.array([_shortlist_share(pair, count, size) for pair in pairs])
    in_place = np.array([_in_place_share(pair, count) for pair in pairs])
    gaps = np.array([_gap(pair, count, size) for pair in pairs])
    return ShortlistRecall(
        count=count,
        size=size,
        mean=_round_down(float(shares.mean())),
        floor=_round_down(lower_bound(shares)),
        easy=tuple(learn_early_stop(gaps, in_place, shares, level) for level in RECALL_LEVELS),
    )


def _shortlist_share(pair: RankedPair, count: int, size: int) -> float:
    """The share of the exact result that is in the shortlist, and so in the rescored result."""
    top = pair.exact[:count]
    if not top:
        return 1.0
    reach = top[-1][1] + _DISTANCE_TOLERANCE
    listed = {key for key, _ in pair.shortened[:size]}
    good = sum(key in listed for key, distance in pair.exact if distance <= reach)
    return min(good, len(top)) / len(top)


def _in_place_share(pair: RankedPair, count: int) -> float:
    """The share of places of the exact result that hold an equally good row without rescoring."""
    top = pair.exact[:count]
    if not top:
        return 1.0
    exact_distances = dict(pair.exact)
    right = sum(
        abs(exact_distances.get(key, math.inf) - distance) <= _DISTANCE_TOLERANCE
        for (key, _), (_, distance) in zip(pair.shortened, top, strict=False)
    )
    return right / len(top)


def _gap(pair: RankedPair, count: int, size: int) -> float:
    """How far the end of the shortlist is beyond the last row of the result; 0 if unknown."""
    if len(pair.shortened) < size or size <= count:
        return 0.0
    return pair.shortened[size - 1][1] - pair.shortened[count - 1][1]


def learn_early_stop(gaps: _Shares, in_place: _Shares, shares: _Shares, target: float) -> float | None:
    """The smallest gap from which queries may stop without rescoring; None if there is none.

    The lower bounds of two means reach ``target``: of the shares in place of the queries that stop, and of
    the shares of all queries, stopped or rescored. ``gaps``, ``in_place`` and ``shares`` are (q,) float64.
    """
    order = np.argsort(-gaps, kind="stable")
    gaps, in_place, shares = gaps[order], in_place[order], shares[order]
    for stopped in range(int((gaps > 0).sum()), MIN_QUERIES - 1, -1):
        mixed = np.concatenate([in_place[:stopped], shares[stopped:]])
        last = stopped == len(gaps) or gaps[stopped] < gaps[stopped - 1]
        if last and lower_bound(in_place[:stopped]) >= target and lower_bound(mixed) >= target:
            return float(gaps[stopped - 1])
    return None


def _round_down(share: float) -> float:
    """Rounded down to four decimals."""
    return math.floor(share * 10_000 + 1e-9) / 10_000
