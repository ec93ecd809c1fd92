"""Recall of shortlists, from the rows that a whole search and a search by shorter vectors found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nestvec.sql.plan.statistics import COUNTS, ENOUGH, LEVELS, SIZES, Recall

Ranked = Sequence[tuple[int | str, float]]
"""Keys and distances, nearest first."""

_Shares = NDArray[np.float64]

_ONE_SIDED = 1.6449
"""Standard errors from a mean to the lower end of its one-sided 95 % interval."""

_SAME = 1e-6
"""Distances that differ by less are those of rows with the same text, any of which will do."""


@dataclass(frozen=True)
class Pair:
    """What one query found: by the longest vectors, and by the shorter ones."""

    whole: Ranked
    short: Ranked


def measure(pairs: Sequence[Pair], rows: int) -> tuple[Recall, ...]:
    """Recall for each count and size that a collection of ``rows`` has a shortlist of."""
    return tuple(
        _recall(pairs, count, size) for count in COUNTS for size in SIZES if count <= size < rows and pairs
    )


def floor(shares: _Shares) -> float:
    """The lower end of the one-sided 95 % interval of a mean, (q,) float64, by its standard error."""
    if len(shares) < 2:
        return 0.0
    return max(0.0, float(shares.mean() - _ONE_SIDED * shares.std(ddof=1) / math.sqrt(len(shares))))


def _recall(pairs: Sequence[Pair], count: int, size: int) -> Recall:
    found = np.array([_found(one, count, size) for one in pairs])
    placed = np.array([_placed(one, count) for one in pairs])
    gaps = np.array([_gap(one, count, size) for one in pairs])
    return Recall(
        count=count,
        size=size,
        mean=_rounded(float(found.mean())),
        floor=_rounded(floor(found)),
        easy=tuple(easy_from(gaps, placed, found, level) for level in LEVELS),
    )


def _found(pair: Pair, count: int, size: int) -> float:
    """The share of a whole answer that is in the shortlist, and so in what is made of it."""
    wanted = pair.whole[:count]
    if not wanted:
        return 1.0
    reach = wanted[-1][1] + _SAME
    listed = {key for key, _ in pair.short[:size]}
    good = sum(key in listed for key, distance in pair.whole if distance <= reach)
    return min(good, len(wanted)) / len(wanted)


def _placed(pair: Pair, count: int) -> float:
    """The share of places of a whole answer where the shorter vectors, left alone, have as good a row."""
    wanted = pair.whole[:count]
    if not wanted:
        return 1.0
    known = dict(pair.whole)
    right = sum(
        abs(known.get(key, math.inf) - distance) <= _SAME
        for (key, _), (_, distance) in zip(pair.short, wanted, strict=False)
    )
    return right / len(wanted)


def _gap(pair: Pair, count: int, size: int) -> float:
    """How far the end of the shortlist is from the rows wanted, by the shorter vectors; 0 where unknown."""
    if len(pair.short) < size or size <= count:
        return 0.0
    return pair.short[size - 1][1] - pair.short[count - 1][1]


def easy_from(gaps: _Shares, placed: _Shares, found: _Shares, target: float) -> float | None:
    """The least gap from which queries may do without rescoring; None where there is none.

    Of those beyond it, the rows are in their places as often as ``target`` asks, and the answers of all
    queries, rescored or not, keep it too: by the floors of both means. ``gaps``, ``placed`` and ``found`` are
    (q,) float64, a query each.
    """
    order = np.argsort(-gaps, kind="stable")
    gaps, placed, found = gaps[order], placed[order], found[order]
    for easy in range(int((gaps > 0).sum()), ENOUGH - 1, -1):
        mixed = np.concatenate([placed[:easy], found[easy:]])
        last = easy == len(gaps) or gaps[easy] < gaps[easy - 1]
        if last and floor(placed[:easy]) >= target and floor(mixed) >= target:
            return float(gaps[easy - 1])
    return None


def _rounded(share: float) -> float:
    """Cut to four decimals, never up."""
    return math.floor(share * 10_000 + 1e-9) / 10_000
