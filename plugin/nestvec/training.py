"""Rows of a file as texts to train on: which of its columns, and what is wrong with them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from nestvec.ingest.readers import open_source
from nestvec_schemas.errors import FileUnreadable, RowRejected, TrainingDataUnusable, nearest

Kind = Literal["texts", "pairs", "triplets"]

WIDTH: Final[dict[Kind, int]] = {"texts": 1, "pairs": 2, "triplets": 3}

_USUAL: Final[dict[Kind, tuple[tuple[str, ...], ...]]] = {
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
_LINE_BYTES = 1 << 20


@dataclass(frozen=True)
class Rows:
    """``rows`` of one, two or three texts each; ``scores`` of each row where a column of them was named."""

    rows: tuple[tuple[str, ...], ...]
    scores: tuple[float, ...] | None


@dataclass(frozen=True)
class Columns:
    """Which columns hold texts (the usual ones where it is None) and scores (none where it is None).

    Rows of kind texts join theirs with a blank.
    """

    texts: tuple[str, ...] | None = None
    scores: str | None = None


def read_rows(path: Path, kind: Kind, columns: Columns) -> Rows:
    """Read a JSONL, CSV or Parquet file, or for texts a .txt of a text a line; nulls become blank texts.

    Raises FileUnreadable, and TrainingDataUnusable where a column is missing or no text or number.
    """
    if columns.texts is not None and kind != "texts" and len(columns.texts) != WIDTH[kind]:
        raise TrainingDataUnusable(
            f"{kind} are made of {WIDTH[kind]} columns",
            value=",".join(columns.texts),
            next_step=f"Name {WIDTH[kind]} with --columns, as {','.join(_USUAL[kind][0])}.",
        )
    if kind == "texts" and path.suffix.lower() == ".txt":
        return Rows(tuple((line,) for line in _lines(path)), None)
    chosen: tuple[str, ...] = ()
    rows: list[tuple[str, ...]] = []
    scores: list[float] = []
    for place, row in rows_of(path):
        chosen = chosen or _chosen(row, kind, columns, path.name)
        texts = tuple(_text(row, name, f"{path.name}, {place}") for name in chosen)
        rows.append((" ".join(filter(None, texts)),) if kind == "texts" else texts)
        if columns.scores is not None:
            scores.append(_score(row, columns.scores, f"{path.name}, {place}"))
    return Rows(tuple(rows), None if columns.scores is None else tuple(scores))


def kind_of(path: Path) -> Kind:
    """``pairs`` where a file has columns that usually hold such, else ``texts``. Raises as ``read_rows``."""
    if path.suffix.lower() == ".txt":
        return "texts"
    first: Mapping[str, object] = next((row for _, row in rows_of(path)), {})
    return "pairs" if any(all(one in first for one in usual) for usual in _USUAL["pairs"]) else "texts"


def rows_of(path: Path) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Each row with its place. Raises FileUnreadable, and TrainingDataUnusable where one is none."""
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
            while line := file.readline(_LINE_BYTES):
                yield line.strip()
    except OSError as error:
        raise FileUnreadable(
            f"{path} cannot be read", value=error.strerror or str(error), next_step="Check the file."
        ) from error


def _chosen(row: Mapping[str, object], kind: Kind, columns: Columns, name: str) -> tuple[str, ...]:
    """The columns of texts, told from the first row. Raises TrainingDataUnusable."""
    asked = (*(columns.texts or ()), *([columns.scores] if columns.scores else []))
    for column in asked:
        if column not in row:
            raise TrainingDataUnusable(
                f"{name} has no column of this name",
                value=column,
                next_step=f"There: {', '.join(row) or 'none'}.{nearest(column, row)}",
            )
    if columns.texts is not None:
        return columns.texts
    for usual in _USUAL[kind]:
        if all(column in row for column in usual):
            return usual
    written = tuple(
        column for column, cell in row.items() if isinstance(cell, str) and column != columns.scores
    )
    if len(written) == WIDTH[kind]:
        return written
    raise TrainingDataUnusable(
        f"it cannot be told which columns of {name} hold the {kind}",
        value=", ".join(row) or "no columns",
        next_step=f"Name them with --columns, as {','.join(_USUAL[kind][0])}.",
    )


def _text(row: Mapping[str, object], column: str, place: str) -> str:
    cell = row.get(column)
    if cell is None:
        return ""
    if not isinstance(cell, str):
        raise TrainingDataUnusable(
            f"{place}: {column} is no text", value=cell, next_step="Name columns of texts with --columns."
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
            f"{place}: {column} is no finite number",
            value=cell,
            next_step="Score the row again, or remove it.",
        )
    return score
