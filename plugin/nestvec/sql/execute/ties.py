"""Ranked rows with a second sort key: which of the rows at the last distance belong to the result.

A search returns some of them, in no defined order. So more rows are searched for than are wanted, and more
again while the last row found is as far away as the last row wanted.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from nestvec.milvus.steps import Steps
from nestvec.sql.bind.query import MAX_WINDOW
from nestvec.sql.execute.rows import ScoredRow, sort_rows
from nestvec.sql.execute.timing import RunNode
from nestvec.sql.plan.nodes import HybridSearch, Node, Rescore, Sort, TopKWithTies, VectorSearch
from nestvec.sql.session import Session
from nestvec_schemas.errors import SqlNotSupported

_WIDENING_FACTOR: Final = 8
"""Growth of the limit from one search to the next: each search reads the same rows again."""


def run_top_k_with_ties(run: RunNode, session: Session, node: TopKWithTies) -> Steps[list[ScoredRow]]:
    """The rows wanted, by all keys. Raises SqlNotSupported if the ties exceed Milvus's window."""
    end = node.offset + node.limit
    search: Node = node.input
    while True:
        rows = yield from run(session, search, node.input)
        wider = _widened(search, len(rows))
        if wider is None or _place(rows[-1]) != _place(rows[end - 1]):
            ordered = _sorted(node, rows)
            return _up_to_ties(ordered, end) if node.with_ties else ordered[node.offset : end]
        if wider == search:
            raise SqlNotSupported(
                f"sorting more than {MAX_WINDOW:,} rows at the same distance is not supported",
                next_step="Narrow them with WHERE, or ORDER BY only the distance.",
            )
        search = wider


def _place(row: ScoredRow) -> float | None:
    """What ranks a row: its distance, or its score by dual reading."""
    return row.distance if row.fused is None else -row.fused


def _sorted(node: TopKWithTies, rows: list[ScoredRow]) -> list[ScoredRow]:
    """The rows by all keys, the first of which is the ranking."""
    if any(row.fused is not None for row in rows):
        # By the distance alone, as the first key has it, the new vectors would have no say.
        others = sort_rows(Sort(node.input, node.keys[1:]), rows)
        return sorted(others, key=lambda row: -(row.fused or 0.0))
    return sort_rows(Sort(node.input, node.keys), rows)


def _up_to_ties(rows: list[ScoredRow], end: int) -> list[ScoredRow]:
    """The rows before ``end``, and those after it that are as far away as the last of them."""
    if len(rows) <= end:
        return rows
    last = _place(rows[end - 1])
    return [*rows[:end], *(row for row in rows[end:] if _place(row) == last)]


def _widened(node: Node, count: int) -> Node | None:
    """A search for more rows; None if the ``count`` rows found are all that match."""
    search = node.full_search if isinstance(node, Rescore) else node
    if isinstance(search, HybridSearch) or not isinstance(search, VectorSearch) or count < search.limit:
        return None
    return replace(search, limit=min(search.limit * _WIDENING_FACTOR, MAX_WINDOW))
