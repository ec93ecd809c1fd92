"""What to choose: the smallest setting that keeps enough, and the knee of a curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nestvec.evaluate.rows import MEAN, Row

ENOUGH = 0.99


@dataclass(frozen=True)
class Choice:
    """The row that keeps ``ENOUGH`` with the fewest bytes stored, and with the fewest searched."""

    stored: Row
    searched: Row


def headline(rows: Sequence[Row]) -> list[Row]:
    """The rows that plots and sentences are about: the means, or those of the first dataset."""
    names = [row["dataset"] for row in rows]
    name = MEAN if MEAN in names else names[0]
    return [row for row in rows if row["dataset"] == name]


def usable(rows: Sequence[Row]) -> list[Row]:
    """Rows whose vectors the encoder gives alone: those before its rotation are there to compare, and what
    is reranked depends on another encoder."""
    own = [row for row in rows if row["form"] != "reranked"]
    rotated = {row["encoder"] for row in own if row["nesting"] == "rotated"}
    return [row for row in own if not (row["nesting"] == "plain" and row["encoder"] in rotated)]


def choose(rows: Sequence[Row]) -> Choice | None:
    """The smallest of ``rows`` that keep ``ENOUGH``, None where none does. Of equals, the faster one."""
    enough = [row for row in usable(rows) if number(row, "kept") >= ENOUGH]
    if not enough:
        return None
    return Choice(
        stored=min(enough, key=lambda row: _order(row, "stored_bytes", "bytes")),
        searched=min(enough, key=lambda row: _order(row, "bytes", "stored_bytes")),
    )


def _order(row: Row, *names: str) -> tuple[float, ...]:
    # Depth, not time: the choice is then the same in every run.
    depths = number(row, "exit"), number(row, "query_exit")
    return (*(number(row, name) for name in names), *depths, -number(row, "kept"))


def sentence(rows: Sequence[Row]) -> str:
    """The choice in words, for people."""
    shown = headline(rows)
    chosen = choose(shown)
    where = "on average over the datasets" if shown[0]["dataset"] == MEAN else f"on {shown[0]['dataset']}"
    if chosen is None:
        best = max(usable(shown), key=lambda row: number(row, "kept"))
        return (
            f"No setting keeps {ENOUGH:.0%} of nDCG@10 {where}; "
            f"the best one, {describe(best)}, keeps {number(best, 'kept'):.1%}."
        )
    row, other = chosen.stored, chosen.searched
    said = (
        f"The smallest setting that keeps {ENOUGH:.0%} of nDCG@10 {where}: {describe(row)}, "
        f"{row['stored_bytes']:,} bytes a vector, keeps {number(row, 'kept'):.1%}"
    )
    if number(other, "bytes") < number(row, "bytes"):
        said += (
            f"; the smallest to search: {describe(other)}, {other['bytes']:,} bytes searched of "
            f"{other['stored_bytes']:,} stored, keeps {number(other, 'kept'):.1%}"
        )
    return f"{said}."


def describe(row: Row) -> str:
    """A setting in a few words."""
    weights = "" if row["precision"] == "fp32" else f" ({row['precision']} weights)"
    if row["form"] == "sparse":
        return f"{row['encoder']}{weights}, {row['dim']} words' weights at most"
    forms = {"float": "float", "int8": "int8", "binary": "binary codes", "shortlist": "shortlist"}
    words = f"{row['encoder']}{weights}, {row['dim']} dims, {forms[str(row['form'])]}"
    if row["rescore_dim"] is not None:
        words += f" of {row['candidates']} scored again at {row['rescore_dim']}"
    leaves = f", exit {row['exit']}" if row["exit"] == row["query_exit"] else ""
    return words + (leaves or f", queries leave at exit {row['query_exit']}, documents at {row['exit']}")


def knee(sizes: Sequence[float], qualities: Sequence[float]) -> int | None:
    """Where a rising curve bends most (Kneedle: Satopaa et al. 2011), over the logarithm of ``sizes``.

    The position of the point farthest above the straight line between both ends; None for fewer than
    three points or a curve that nowhere lies above it.
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


def number(row: Row, name: str) -> float:
    """A row's number under ``name``."""
    value: Any = row[name]
    return float(value)
