"""Tables of the benchmarks' results, read off ``benchmarks/results``."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Final

RESULTS: Final = Path(__file__).parents[2] / "benchmarks" / "results"

_COLUMNS: Final = (
    "checkpoint",
    "class",
    "weights",
    "precision",
    "compared with",
    "worst cosine",
    "served",
    "Milvus Lite",
    "date",
)


def encoder_families() -> str:
    """What ``benchmarks/encoders.py`` measured of each family and precision."""
    rows = json.loads((RESULTS / "encoders.json").read_text("utf-8"))
    lines = [_line(_COLUMNS), _line(["---"] * len(_COLUMNS)), *(_line(_cells(row)) for row in rows)]
    return "\n".join(lines)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    start = (row["family"], f"`{row['class']}`", row["weights"], row["precision"])
    if "refused" in row:
        return (*start, f"refused: {_escaped(row['refused'])}", "", "", "", row["date"])
    reference = row["reference"] or "the checkpoint's own graph (no independent reference)"
    compared = f"{reference}, {row['inputs']} inputs" + (
        f" up to {row['tokens']} tokens" if row["tokens"] else ""
    )
    milvus = "yes" if row["milvus"] is True else f"no: {_escaped(row['milvus'] or 'another text first')}"
    return (*start, compared, _cosine(row["cosine"]), "yes" if row["served"] else "no", milvus, row["date"])


def _cosine(value: float) -> str:
    """Rounded down, so that no difference is hidden."""
    return f"{math.floor(value * 1e6) / 1e6:.6f}"


def _escaped(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _line(cells: tuple[str, ...] | list[str]) -> str:
    return f"| {' | '.join(cells)} |"
