"""What EXPLAIN ANALYZE measures of each node of a plan: how often it ran, how long, for how many rows."""

from __future__ import annotations

import time
from collections.abc import Sized
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final, TypeVar

from nestvec.milvus.steps import Steps

T = TypeVar("T", bound=Sized)


@dataclass
class NodeTiming:
    """Of one node, all its runs together; ``seconds`` is with its inputs and with waiting for Milvus."""

    runs: int = 0
    rows: int = 0
    seconds: float = 0.0


Profile = dict[int, NodeTiming]
"""By the identity of a plan's node: equal nodes may stand in a plan twice."""

PROFILE: Final[ContextVar[Profile | None]] = ContextVar("PROFILE", default=None)
"""None where nothing is measured. Of a thread or a task of its own, so of one statement."""


def timed(profile: Profile, node: object, steps: Steps[T]) -> Steps[T]:
    """The same steps, counted as ``node``'s."""
    timing = profile.setdefault(id(node), NodeTiming())
    started = time.perf_counter()
    rows = yield from steps
    timing.seconds += time.perf_counter() - started
    timing.runs += 1
    timing.rows += len(rows)
    return rows
