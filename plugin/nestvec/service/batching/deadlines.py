"""Ends what has waited until its deadline, with one timer for all waits.

A timer for each, which is hardly ever due, costs a query more than its place in the queue.
"""

from __future__ import annotations

import asyncio
import math
from typing import Protocol


class Waiter(Protocol):
    """Something that waits."""

    def time_out(self) -> None:
        """Its deadline is over."""


class Deadlines:
    """What waits, and until when, by the event loop's time. Belongs to one event loop."""

    def __init__(self) -> None:
        self._deadlines: dict[Waiter, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf

    def __len__(self) -> int:
        return len(self._deadlines)

    def add(self, waiting: Waiter, deadline: float) -> None:
        """Call its ``time_out`` at ``deadline``, unless it is removed before."""
        self._deadlines[waiting] = deadline
        if deadline < self._timer_at:
            self._set_timer(deadline)

    def remove(self, waiting: Waiter) -> None:
        """It no longer waits. The timer stays: it is due once for many that came and went."""
        self._deadlines.pop(waiting, None)

    def _set_timer(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer, self._timer_at = loop.call_at(deadline, self._end_late), deadline

    def _end_late(self) -> None:
        now, self._timer, self._timer_at = self._timer_at, None, math.inf
        for waiting, deadline in list(self._deadlines.items()):
            if deadline <= now:
                del self._deadlines[waiting]
                waiting.time_out()
        if self._deadlines:
            self._set_timer(min(self._deadlines.values()))
