"""Ranked rows with a second key: of rows that are as far off as the last one, which belong to the answer.

A search gives some of them, in no order that is said. So it is asked for more rows than are wanted, and for
more again as long as the last row is as far off as the last that is wanted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from nestvec.sql.bind.select import MAX_ROWS
from nestvec.sql.plan.nodes import Hybrid, Node, Rescore, Search, Sort, Tied
from nestvec.sql.run.evaluate import Found
from nestvec.sql.run.shaping import sorted_rows
from nestvec.sql.session import Session
from nestvec.steps import Steps
from nestvec_schemas.errors import SqlNotSupported

Run = Callable[[Session, Node, Node | None], Steps[list[Found]]]
"""How a node is run, counted as another in the measured times."""

_WIDER: Final = 8
"""Times as many rows are asked for again: every search reads the same rows anew."""


def run_tied(run: Run, session: Session, node: Tied) -> Steps[list[Found]]:
    """The rows wanted, by all keys. Raises SqlNotSupported where the ties are beyond what Milvus gives."""
    wanted = node.offset + node.limit
    asked: Node = node.input
    while True:
        rows = yield from run(session, asked, node.input)
        wider = _wider(asked, len(rows))
        if wider is None or rows[-1].distance != rows[wanted - 1].distance:
            return sorted_rows(Sort(node.input, node.keys), rows)[node.offset : wanted]
        if wider == asked:
            raise SqlNotSupported(
                f"an order of more than {MAX_ROWS:,} rows that are as far off is not supported",
                next_step="Narrow them with WHERE, or order by the distance alone.",
            )
        asked = wider


def _wider(node: Node, found: int) -> Node | None:
    """A search for more rows; None where ``found`` rows are all that there are."""
    search = node.whole if isinstance(node, Rescore) else node
    if isinstance(search, Hybrid) or not isinstance(search, Search) or found < search.limit:
        return None
    return replace(search, limit=min(search.limit * _WIDER, MAX_ROWS))
