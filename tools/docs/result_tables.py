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


_HOSTILE_COLUMNS: Final = (
    "attack",
    "answer",
    "lone query, p99",
    "bound",
    "longest `/livez`",
    "memory added",
    "allowed",
)


def hostile_clients() -> str:
    """What ``benchmarks/hostile.py`` measured of a service under attack."""
    result = json.loads((RESULTS / "hostile.json").read_text("utf-8"))
    rows = [_line(_hostile_cells(row)) for row in result["attacks"]]
    later = [f"{row['attack']} on {row['date']}" for row in result["attacks"] if "date" in row]
    measured = f"Measured on {result['date']}, {result['cores']} cores, the attacking processes included"
    measured += f"; {', '.join(later)}." if later else "."
    return "\n".join([_line(_HOSTILE_COLUMNS), _line(["---"] * len(_HOSTILE_COLUMNS)), *rows, "", measured])


_UPGRADE_COLUMNS: Final = (
    "set",
    "old",
    "new",
    "seeds",
    "dims",
    "old by itself",
    "new by itself",
    "new queries, old vectors",
    "half the vectors by the new one",
    "recall@10",
)

_COMPATIBLE: Final = "compatible"

_COMPATIBLE_COLUMNS: Final = (
    "set",
    "old",
    "new",
    "seeds",
    "dims",
    "new queries, old vectors",
    "new by itself ÷ adapted freely",
    "recall@10",
)


def bridges() -> str:
    """What ``benchmarks/upgrade.py`` measured of bridges between two encoders."""
    names = ("old", "new", "old_gallery", "half_gallery")
    rows = [
        _line(_upgrade_cells(row, dims, names))
        for row in _upgrades()
        if row["new"] != _COMPATIBLE
        for dims in ("full", "64")
    ]
    return "\n".join([_line(_UPGRADE_COLUMNS), _line(["---"] * len(_UPGRADE_COLUMNS)), *rows])


def compatible_versions() -> str:
    """What ``benchmarks/upgrade.py`` measured of versions that need no bridge."""
    names = ("old_gallery", "new_over_adapted")
    rows = [
        _line(_upgrade_cells(row, dims, names))
        for row in _upgrades()
        if row["new"] == _COMPATIBLE
        for dims in ("full", "64")
    ]
    return "\n".join([_line(_COMPATIBLE_COLUMNS), _line(["---"] * len(_COMPATIBLE_COLUMNS)), *rows])


def _upgrades() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((RESULTS / "upgrade.json").read_text("utf-8"))["summary"]
    return rows


def _upgrade_cells(row: dict[str, Any], dims: str, names: tuple[str, ...]) -> tuple[str, ...]:
    pair = (str(row[name]) for name in ("set", "old", "new", "seeds"))
    figures = (_mean(row, f"{name}@{dims}") for name in names)
    return (*pair, "all" if dims == "full" else dims, *figures, _recall(row, dims))


def _mean(row: dict[str, Any], figure: str) -> str:
    mean, error = row[figure]
    return f"{mean:.3f}" if error is None else f"{mean:.3f} ± {error:.3f}"


def _recall(row: dict[str, Any], dims: str) -> str:
    return _mean(row, "recall") if dims == "full" and "recall" in row else ""


def _hostile_cells(row: dict[str, Any]) -> tuple[str, ...]:
    answer = row["answer"].removeprefix("HTTP/1.1 ") or "none, or not read"
    milliseconds = ("p99, ms", "bound, ms", "longest /livez, ms")
    megabytes = ("peak, MB", "allowed, MB")
    return (
        row["attack"],
        _escaped(answer),
        *(f"{row[name]:,.0f} ms" for name in milliseconds),
        *(f"{row[name]:,.0f} MB" for name in megabytes),
    )


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
