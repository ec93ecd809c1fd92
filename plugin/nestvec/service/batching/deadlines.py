"""Ends what has waited until its deadline, with one timer for all waits.

A timer for each, which is hardly ever due, costs a query more than its place in the queue.
"""

from __future__ import annotations

import asyncio
import math
from types import TracebackType
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


class TaskTimeout:
    """``asyncio.timeout_at`` without a timer of its own: cancels the current task at a time of the event
    loop, and raises TimeoutError once the block ends by that."""

    __slots__ = ("_cancelling", "_deadline", "_deadlines", "_task", "expired")

    def __init__(self, deadlines: Deadlines, deadline: float) -> None:
        self._deadlines, self._deadline = deadlines, deadline
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self.expired = False
        """Whether the task was cancelled by this."""

    def __enter__(self) -> TaskTimeout:
        task = self._task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a timeout needs a running task")
        self._cancelling = task.cancelling()
        self._deadlines.add(self, self._deadline)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        task, self._task = self._task, None
        if not self.expired or task is None:
            return
        # Another cancellation goes on, as in asyncio.timeout.
        is_own = task.uncancel() <= self._cancelling
        if is_own and kind is not None and issubclass(kind, asyncio.CancelledError):
            raise TimeoutError from error

    def stop(self) -> None:
        """Let the rest of the block take as long as it needs."""
        self._deadlines.remove(self)

    def time_out(self) -> None:
        """Its deadline is over."""
        if self._task is not None:
            self.expired = True
            self._task.cancel()
