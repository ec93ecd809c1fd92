"""Texts to train on, from the columns of a file's rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from nestvec.datasets.readers import open_source
from nestvec_schemas.errors import FileUnreadable, RowRejected, TrainingDataUnusable, nearest

Kind = Literal["texts", "pairs", "triplets"]

TEXTS_PER_ROW: Final[dict[Kind, int]] = {"texts": 1, "pairs": 2, "triplets": 3}

_COMMON_COLUMNS: Final[dict[Kind, tuple[tuple[str, ...], ...]]] = {
    "texts": (
        ("title", "text"),
        ("title", "abstract"),
        ("text",),
        ("abstract",),
        ("document",),
        ("sentence",),
    ),
    "pairs": (
        ("query", "document"),
        ("query", "positive"),
        ("anchor", "positive"),
        ("question", "answer"),
        ("sentence1", "sentence2"),
        ("title", "text"),
        ("title", "abstract"),
    ),
    "triplets": (("query", "positive", "negative"), ("anchor", "positive", "negative")),
}
_MAX_LINE_BYTES = 1 << 20


@dataclass(frozen=True)
class TrainingRows:
    """Rows to train on."""

    rows: tuple[tuple[str, ...], ...]
    """One, two or three texts each."""

    scores: tuple[float, ...] | None
    """One per row; None without a column of scores."""


@dataclass(frozen=True)
class TrainingColumns:
    """Which columns to read."""

    texts: tuple[str, ...] | None = None
    """Those of texts; None selects the usual names. For the kind ``texts`` they are joined with a space."""

    scores: str | None = None
    """That of scores, if any."""


def read_rows(path: Path, kind: Kind, columns: TrainingColumns) -> TrainingRows:
    """Read a JSONL, CSV or Parquet file, or for texts a .txt with one per line; nulls become empty texts.

    Raises FileUnreadable, and TrainingDataUnusable for a column that is missing or of another type.
    """
    if columns.texts is not None and kind != "texts" and len(columns.texts) != TEXTS_PER_ROW[kind]:
        raise TrainingDataUnusable(
            f"{kind} need {TEXTS_PER_ROW[kind]} columns",
            value=",".join(columns.texts),
            next_step=f"Name {TEXTS_PER_ROW[kind]} with --columns: {','.join(_COMMON_COLUMNS[kind][0])}.",
        )
    if kind == "texts" and path.suffix.lower() == ".txt":
        return TrainingRows(tuple((line,) for line in _lines(path)), None)
    text_columns: tuple[str, ...] = ()
    rows: list[tuple[str, ...]] = []
    scores: list[float] = []
    for place, row in iter_rows(path):
        text_columns = text_columns or _select_columns(row, kind, columns, path.name)
        texts = tuple(_text(row, name, f"{path.name}, {place}") for name in text_columns)
        rows.append((" ".join(filter(None, texts)),) if kind == "texts" else texts)
        if columns.scores is not None:
            scores.append(_score(row, columns.scores, f"{path.name}, {place}"))
    return TrainingRows(tuple(rows), None if columns.scores is None else tuple(scores))


def detect_kind(path: Path) -> Kind:
    """``pairs`` if a file has the usual columns of pairs, else ``texts``. Raises as ``read_rows``."""
    if path.suffix.lower() == ".txt":
        return "texts"
    first: Mapping[str, object] = next((row for _, row in iter_rows(path)), {})
    return (
        "pairs"
        if any(all(column in first for column in columns) for columns in _COMMON_COLUMNS["pairs"])
        else "texts"
    )


def iter_rows(path: Path) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Each row with its place. Raises FileUnreadable, and TrainingDataUnusable for a malformed row."""
    for item in open_source(path).items():
        if isinstance(item.value, RowRejected):
            raise TrainingDataUnusable(
                f"{path.name}, {item.place}: {item.value.cause}",
                value=item.raw or item.value.value,
                next_step=item.value.next_step,
            )
        yield item.place, item.value


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            while line := file.readline(_MAX_LINE_BYTES):
                yield line.strip()
    except OSError as error:
        raise FileUnreadable(
            f"{path} cannot be read", value=error.strerror or str(error), next_step="Check the file."
        ) from error


def _select_columns(
    row: Mapping[str, object], kind: Kind, columns: TrainingColumns, name: str
) -> tuple[str, ...]:
    """The columns of texts, by the first row. Raises TrainingDataUnusable."""
    required = (*(columns.texts or ()), *([columns.scores] if columns.scores else []))
    for column in required:
        if column not in row:
            raise TrainingDataUnusable(
                f"{name} has no column of this name",
                value=column,
                next_step=f"Available: {', '.join(row) or 'none'}.{nearest(column, row)}",
            )
    if columns.texts is not None:
        return columns.texts
    for common in _COMMON_COLUMNS[kind]:
        if all(column in row for column in common):
            return common
    text_columns = tuple(
        column for column, cell in row.items() if isinstance(cell, str) and column != columns.scores
    )
    if len(text_columns) == TEXTS_PER_ROW[kind]:
        return text_columns
    raise TrainingDataUnusable(
        f"cannot determine which columns of {name} hold the {kind}",
        value=", ".join(row) or "no columns",
        next_step=f"Name them with --columns, for example {','.join(_COMMON_COLUMNS[kind][0])}.",
    )


def _text(row: Mapping[str, object], column: str, place: str) -> str:
    cell = row.get(column)
    if cell is None:
        return ""
    if not isinstance(cell, str):
        raise TrainingDataUnusable(
            f"{place}: {column} is not a text", value=cell, next_step="Name columns of texts with --columns."
        )
    return cell


def _score(row: Mapping[str, object], column: str, place: str) -> float:
    cell = row.get(column)
    try:
        score = float(cell) if isinstance(cell, (int, float, str)) else math.nan
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise TrainingDataUnusable(
            f"{place}: {column} is not a finite number",
            value=cell,
            next_step="Score the row again, or remove it.",
        )
    return score
