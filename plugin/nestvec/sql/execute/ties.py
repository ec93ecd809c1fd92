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
        if wider is None or rows[-1].distance != rows[end - 1].distance:
            ordered = sort_rows(Sort(node.input, node.keys), rows)
            return _up_to_ties(ordered, end) if node.with_ties else ordered[node.offset : end]
        if wider == search:
            raise SqlNotSupported(
                f"sorting more than {MAX_WINDOW:,} rows at the same distance is not supported",
                next_step="Narrow them with WHERE, or ORDER BY only the distance.",
            )
        search = wider


def _up_to_ties(rows: list[ScoredRow], end: int) -> list[ScoredRow]:
    """The rows before ``end``, and those after it that are as far away as the last of them."""
    if len(rows) <= end:
        return rows
    last = rows[end - 1].distance
    return [*rows[:end], *(row for row in rows[end:] if row.distance == last)]


def _widened(node: Node, count: int) -> Node | None:
    """A search for more rows; None if the ``count`` rows found are all that match."""
    search = node.full_search if isinstance(node, Rescore) else node
    if isinstance(search, HybridSearch) or not isinstance(search, VectorSearch) or count < search.limit:
        return None
    return replace(search, limit=min(search.limit * _WIDENING_FACTOR, MAX_WINDOW))
