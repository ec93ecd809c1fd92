"""What EXPLAIN ANALYZE measures of each node of a plan: how often it ran, how long, and for how many rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Sized
from contextvars import ContextVar
from typing import Final, TypeVar

from nestvec.milvus.steps import Steps
from nestvec.sql.execute.rows import ScoredRow
from nestvec.sql.plan.explain_details import NodeTiming
from nestvec.sql.plan.nodes import Node
from nestvec.sql.session import Session

T = TypeVar("T", bound=Sized)

RunNode = Callable[[Session, Node, Node | None], Steps[list[ScoredRow]]]
"""Runs a node; EXPLAIN ANALYZE measures it as the second node, which is one of the plan."""

Profile = dict[int, NodeTiming]
"""By the ``id`` of a plan's node, because equal nodes may occur in a plan twice."""

PROFILE: Final[ContextVar[Profile | None]] = ContextVar("PROFILE", default=None)
"""None if nothing is measured. Each thread or task, and so each statement, has its own."""


_CURRENT: Final[ContextVar[NodeTiming | None]] = ContextVar("_CURRENT", default=None)
"""The measurement of the node that runs; None if nothing is measured."""


def note_done(text: str) -> None:
    """Record what was done beyond the plan, for EXPLAIN ANALYZE."""
    timing = _CURRENT.get()
    if timing is not None and text not in timing.notes:
        timing.notes.append(text)


def timed(profile: Profile, node: object, steps: Steps[T]) -> Steps[T]:
    """The same steps, measured as those of ``node``."""
    timing = profile.setdefault(id(node), NodeTiming())
    started, outer = time.perf_counter(), _CURRENT.get()
    _CURRENT.set(timing)
    try:
        rows = yield from steps
    finally:
        # Not reset by its token: abandoned steps may be closed in another context.
        _CURRENT.set(outer)
    timing.seconds += time.perf_counter() - started
    timing.runs += 1
    timing.rows += len(rows)
    return rows
