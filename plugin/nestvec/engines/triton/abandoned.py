"""Calls to a server that nobody waits for any more, and that run to their end.

Triton's gRPC endpoint can crash when a call is cancelled, or reaches its deadline, up to 25.01
(triton-inference-server/server, issues 7368 and 8034; seen with 2.51, in two of eight runs of a server that
stood still and went on).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, Final

MAX_ABANDONED = 16
"""Calls that a server may owe before it gets no others: what it works on must end some time."""

MAX_CANARIES: Final = 3
"""The same for one model, before it is tried again."""


class AbandonedCalls:
    """Those of one server, by model."""

    def __init__(self) -> None:
        self.by_model: Counter[str] = Counter()
        self._tasks: dict[asyncio.Task[Any], str] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def is_full(self) -> bool:
        """Whether the server owes too many."""
        return len(self) >= MAX_ABANDONED

    def add(self, task: asyncio.Task[Any], model: str) -> None:
        """Leave a call running."""
        self._tasks[task] = model
        self.by_model[model] += 1
        task.add_done_callback(self._forget)

    async def ended(self, seconds: float) -> None:
        """Wait until all have ended, at most ``seconds``."""
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=seconds)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self.by_model[self._tasks.pop(task)] -= 1
        if not task.cancelled():
            task.exception()  # nobody waits for it
