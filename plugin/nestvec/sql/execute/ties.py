"""Ranked rows with a second key: of rows that are as far off as the last one, which belong to the answer.

A search gives some of them, in no order that is said. So it is asked for more rows than are wanted, and for
more again as long as the last row is as far off as the last that is wanted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from nestvec.milvus.steps import Steps
from nestvec.sql.bind.select import MAX_ROWS
from nestvec.sql.execute.evaluate import ScoredRow
from nestvec.sql.execute.shaping import sort_rows
from nestvec.sql.plan.nodes import HybridSearch, Node, Rescore, Sort, TopKWithTies, VectorSearch
from nestvec.sql.session import Session
from nestvec_schemas.errors import SqlNotSupported

RunNode = Callable[[Session, Node, Node | None], Steps[list[ScoredRow]]]
"""How a node is run, counted as another in the measured times."""

_WIDENING_FACTOR: Final = 8
"""Times as many rows are asked for again: every search reads the same rows anew."""


def run_top_k_with_ties(run: RunNode, session: Session, node: TopKWithTies) -> Steps[list[ScoredRow]]:
    """The rows wanted, by all keys. Raises SqlNotSupported where the ties are beyond what Milvus gives."""
    end = node.offset + node.limit
    search: Node = node.input
    while True:
        rows = yield from run(session, search, node.input)
        wider = _widened(search, len(rows))
        if wider is None or rows[-1].distance != rows[end - 1].distance:
            return sort_rows(Sort(node.input, node.keys), rows)[node.offset : end]
        if wider == search:
            raise SqlNotSupported(
                f"an order of more than {MAX_ROWS:,} rows that are as far off is not supported",
                next_step="Narrow them with WHERE, or order by the distance alone.",
            )
        search = wider


def _widened(node: Node, count: int) -> Node | None:
    """A search for more rows; None where ``found`` rows are all that there are."""
    search = node.full_search if isinstance(node, Rescore) else node
    if isinstance(search, HybridSearch) or not isinstance(search, VectorSearch) or count < search.limit:
        return None
    return replace(search, limit=min(search.limit * _WIDENING_FACTOR, MAX_ROWS))
