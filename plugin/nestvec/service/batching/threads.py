"""Threads for work that holds Python's lock: one of each kind, or two so that no client has both.

More of them would compete with the event loop for the lock, and gain nothing.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Final, TypeVar

from nestvec.service.batching.engine_threads import call_in_loop

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


class ClientThreads:
    """Two threads, of which a client has one at a time: what it sends never keeps all others waiting."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(2, name)
        self._waiting: dict[tuple[asyncio.AbstractEventLoop, str], deque[asyncio.Future[None]]] = {}
        """By loop and client, those that wait while a thread works for it."""

    async def run(self, client: str, work: Callable[[], T]) -> T:
        """The result of a client's ``work``. A caller that is cancelled before its turn takes it back."""
        loop = asyncio.get_running_loop()
        key = loop, client
        if key in self._waiting:
            turn: asyncio.Future[None] = loop.create_future()
            self._waiting[key].append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._go_on(key)
                raise
        else:
            self._waiting[key] = deque()
        running = self._pool.submit(copy_context().run, work)
        # Once the thread is done with it: nothing stops a thread whose caller is gone.
        running.add_done_callback(lambda _: call_in_loop(loop, lambda: self._go_on(key)))
        answer = asyncio.wrap_future(running)
        # An error leads to this frame, and the future to the error: that circle would keep the work's data, a
        # body of many megabytes, until the garbage collector comes by.
        del work, running
        try:
            return await answer
        finally:
            del answer

    def _go_on(self, key: tuple[asyncio.AbstractEventLoop, str]) -> None:
        waiting = self._waiting[key]
        while waiting:
            turn = waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        del self._waiting[key]


def switch_threads_often() -> None:
    """Have threads that work hand Python's lock over after a millisecond, for the whole process."""
    sys.setswitchinterval(min(_SWITCH_SECONDS, sys.getswitchinterval()))
