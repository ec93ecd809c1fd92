"""The recommended settings, in words too, and the knee of a curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nestvec.evaluate.rows import MEAN, ResultRow

RETENTION_TARGET = 0.99
"""The share of the reference's nDCG@10 that a recommended setting keeps."""


@dataclass(frozen=True)
class Recommendation:
    """The smallest settings that keep RETENTION_TARGET."""

    stored: ResultRow
    """The one with the fewest bytes stored."""

    searched: ResultRow
    """The one with the fewest bytes searched."""


def headline_rows(rows: Sequence[ResultRow]) -> list[ResultRow]:
    """The rows that charts and sentences are about: the means, or those of the first dataset."""
    names = [row["dataset"] for row in rows]
    name = MEAN if MEAN in names else names[0]
    return [row for row in rows if row["dataset"] == name]


def standalone_rows(rows: Sequence[ResultRow]) -> list[ResultRow]:
    """The rows that an encoder achieves alone: neither reranked, nor of vectors before its rotation."""
    own = [row for row in rows if row["form"] != "reranked"]
    rotated = {row["encoder"] for row in own if row["nesting"] == "rotated"}
    return [row for row in own if not (row["nesting"] == "plain" and row["encoder"] in rotated)]


def recommend(rows: Sequence[ResultRow]) -> Recommendation | None:
    """The smallest of ``rows`` that keep RETENTION_TARGET, None if none does. Of equals, the faster one."""
    sufficient = [row for row in standalone_rows(rows) if as_float(row, "kept") >= RETENTION_TARGET]
    if not sufficient:
        return None
    return Recommendation(
        stored=min(sufficient, key=lambda row: _order(row, "stored_bytes", "bytes")),
        searched=min(sufficient, key=lambda row: _order(row, "bytes", "stored_bytes")),
    )


def _order(row: ResultRow, *names: str) -> tuple[float, ...]:
    # Depth, not time, so that every run recommends the same.
    depths = as_float(row, "exit"), as_float(row, "query_exit")
    return (*(as_float(row, name) for name in names), *depths, -as_float(row, "kept"))


def recommendation_sentence(rows: Sequence[ResultRow]) -> str:
    """The recommendation in words."""
    headline = headline_rows(rows)
    recommendation = recommend(headline)
    where = (
        "on average over the datasets" if headline[0]["dataset"] == MEAN else f"on {headline[0]['dataset']}"
    )
    if recommendation is None:
        best = max(standalone_rows(headline), key=lambda row: as_float(row, "kept"))
        return (
            f"No setting keeps {RETENTION_TARGET:.0%} of nDCG@10 {where}; "
            f"the best one, {describe_setting(best)}, keeps {as_float(best, 'kept'):.1%}."
        )
    stored, searched = recommendation.stored, recommendation.searched
    text = (
        f"The smallest setting that keeps {RETENTION_TARGET:.0%} of nDCG@10 {where}: "
        f"{describe_setting(stored)}, {stored['stored_bytes']:,} bytes per vector, "
        f"keeps {as_float(stored, 'kept'):.1%}"
    )
    if as_float(searched, "bytes") < as_float(stored, "bytes"):
        text += (
            f"; the smallest to search: {describe_setting(searched)}, "
            f"{searched['bytes']:,} bytes searched of {searched['stored_bytes']:,} stored, "
            f"keeps {as_float(searched, 'kept'):.1%}"
        )
    return f"{text}."


def describe_setting(row: ResultRow) -> str:
    """A setting in a few words."""
    weights = "" if row["precision"] == "fp32" else f" ({row['precision']} weights)"
    if row["form"] == "sparse":
        return f"{row['encoder']}{weights}, at most {row['dim']} weights"
    forms = {"float": "float", "int8": "int8", "binary": "binary codes", "shortlist": "shortlist"}
    setting = f"{row['encoder']}{weights}, {row['dim']} dims, {forms[str(row['form'])]}"
    if row["rescore_dim"] is not None:
        setting += f", {row['candidates']} candidates rescored at {row['rescore_dim']}"
    exits = f", exit {row['exit']}" if row["exit"] == row["query_exit"] else ""
    return setting + (exits or f", queries at exit {row['query_exit']}, documents at {row['exit']}")


def knee(sizes: Sequence[float], qualities: Sequence[float]) -> int | None:
    """Where a rising curve bends most (Kneedle: Satopaa et al. 2011), over the logarithm of ``sizes``.

    The position of the point farthest above the straight line between both ends; None with fewer than
    three points, or if no point is above the line.
    """
    if len(sizes) < 3:
        return None
    order = np.argsort(sizes)
    x, y = np.log(np.asarray(sizes, np.float64)[order]), np.asarray(qualities, np.float64)[order]
    if x[-1] <= x[0] or y[-1] <= y[0]:
        return None
    above = (y - y[0]) / (y[-1] - y[0]) - (x - x[0]) / (x[-1] - x[0])
    best = int(above.argmax())
    return int(order[best]) if above[best] > 1e-9 else None


def as_float(row: ResultRow, name: str) -> float:
    """The number in a row's column ``name``."""
    value: Any = row[name]
    return float(value)
