"""Relevance judgements (``qrels``) in BEIR's format: query, document and an integer, separated by tabs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nestvec_schemas.errors import DatasetUnusable

Qrels = Mapping[str, Mapping[str, int]]
"""Query id to document to relevance, which is relevant above 0."""

HEADER = ("query-id", "corpus-id", "score")

_MAX_RELEVANCE = 1000
"""trec_eval has a counter for each level of relevance."""

_LINE_FORMAT = "Write QUERY, DOCUMENT and a whole number on each line, separated by tabs."


@dataclass(frozen=True)
class ParsedQrels:
    """The judgements of a file."""

    qrels: Qrels

    queries: Mapping[str, int]
    """By id, the first line that names it."""

    documents: Mapping[str, int]
    """By id, the first line that names it."""


def read_qrels(path: Path) -> ParsedQrels:
    """Read and check the judgements. Raises DatasetUnusable with the line."""
    qrels: dict[str, dict[str, int]] = {}
    queries: dict[str, int] = {}
    documents: dict[str, int] = {}
    try:
        content = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetUnusable(f"{path} cannot be read", value=str(error), next_step=_LINE_FORMAT) from error
    # Not splitlines, which ends lines at characters of ids, too.
    for line_number, raw in enumerate(content.split("\n"), start=1):
        cells = tuple(cell.strip() for cell in raw.split("\t"))
        if not raw.strip() or (line_number == 1 and cells == HEADER):
            continue
        query, document, score = _judgement(path, line_number, raw, cells)
        if qrels.setdefault(query, {}).setdefault(document, score) != score:
            raise DatasetUnusable(
                f"{path} judges a document twice for one query; line {line_number} differs",
                value=raw,
                next_step="Keep one of the two lines.",
            )
        queries.setdefault(query, line_number)
        documents.setdefault(document, line_number)
    if not any(score > 0 for row in qrels.values() for score in row.values()):
        raise DatasetUnusable(
            f"{path} judges no document as relevant",
            value=f"{sum(map(len, qrels.values()))} judgements",
            next_step=f"{_LINE_FORMAT} At least one must be above 0.",
        )
    return ParsedQrels(qrels, queries, documents)


def _judgement(path: Path, number: int, raw: str, cells: tuple[str, ...]) -> tuple[str, str, int]:
    if len(cells) != 3 or not cells[0] or not cells[1]:
        raise DatasetUnusable(
            f"line {number} of {path} is not a judgement", value=raw, next_step=_LINE_FORMAT
        )
    try:
        score = int(cells[2])
    except ValueError:
        header = "\\t".join(HEADER)
        hint = f" A header is {header}." if number == 1 else ""
        raise DatasetUnusable(
            f"line {number} of {path}: the score is not a whole number",
            value=cells[2],
            next_step=_LINE_FORMAT + hint,
        ) from None
    if abs(score) > _MAX_RELEVANCE:
        raise DatasetUnusable(
            f"line {number} of {path}: the score is out of range",
            value=score,
            next_step=f"Grade relevance from 0 to {_MAX_RELEVANCE}.",
        )
    return cells[0], cells[1], score
