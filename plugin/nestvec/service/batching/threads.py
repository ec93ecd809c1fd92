"""Threads for work that holds Python's lock: one of each kind.

More of them would compete with the event loop for the lock, and gain nothing.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Final, TypeVar

T = TypeVar("T")

_SWITCH_SECONDS: Final = 0.001
"""A query meets the lock some twenty times: by Python's default, it may wait 5 ms each time."""


class WorkThread:
    """One thread, which does what it is given one after the other, in the context of the caller."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, name)

    async def run(self, work: Callable[[], T]) -> T:
        """The result of ``work``. A caller that is cancelled before its turn takes its work back."""
        run_in_context = copy_context().run
        return await asyncio.get_running_loop().run_in_executor(self._pool, run_in_context, work)


def switch_threads_often() -> None:
    """Have threads that work hand Python's lock over after a millisecond, for the whole process."""
    sys.setswitchinterval(min(_SWITCH_SECONDS, sys.getswitchinterval()))
