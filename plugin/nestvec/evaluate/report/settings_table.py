"""The table of all settings at the end of the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from nestvec.evaluate.report.recommendation import RETENTION_TARGET, as_float
from nestvec.evaluate.rows import ResultRow

_HEADINGS: Final = {
    "dataset": "dataset",
    "encoder": "encoder",
    "precision": "weights",
    "nesting": "nesting",
    "form": "form",
    "reranker": "by",
    "dim": "dim",
    "exit": "exit",
    "ndcg@10": "nDCG@10",
    "interval": "95%",
    "kept": "kept",
    "recall@100": "R@100",
    "mrr@10": "MRR@10",
    "r@1": "R@1",
    "r@5": "R@5",
    "r@10": "R@10",
    "bytes": "bytes",
    "stored_bytes": "stored",
    "ms_per_text": "ms",
}
"""Column to heading; ``interval`` is that of nDCG@10."""


@dataclass(frozen=True)
class TableCell:
    """A cell of the table."""

    text: str

    classes: str = ""
    """CSS classes."""

    share: float | None = None
    """The part of the cell that is coloured, 0 to 1."""


def settings_table(rows: Sequence[ResultRow]) -> tuple[list[str], list[list[TableCell]]]:
    """The headings and the cells of each row, without columns that are empty in all of them."""
    table = [{column: _cell(row, column) for column in _HEADINGS} for row in rows]
    columns = [column for column in _HEADINGS if any(cells[column].text for cells in table)]
    return [_HEADINGS[column] for column in columns], [
        [cells[column] for column in columns] for cells in table
    ]


def _cell(row: ResultRow, column: str) -> TableCell:
    if column == "kept":
        share = as_float(row, "kept")
        good = " good" if share >= RETENTION_TARGET else ""
        return TableCell(f"{share:.1%}", f"number kept{good}", max(0.0, min(1.0, share)))
    if column == "interval":
        return TableCell(f"{as_float(row, 'ndcg@10_low'):.3f}–{as_float(row, 'ndcg@10_high'):.3f}", "number")
    if column == "exit" and row["exit"] != row["query_exit"]:
        return TableCell(f"{row['query_exit']} → {row['exit']}", "number")
    value = row[column]
    if value is None:
        return TableCell("")
    if isinstance(value, float):
        return TableCell(f"{value:.1f}" if column == "ms_per_text" else f"{value:.4f}", "number")
    return TableCell(f"{value:,}", "number") if isinstance(value, int) else TableCell(str(value))
