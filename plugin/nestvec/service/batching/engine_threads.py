"""The threads that run batches, one after the other, whichever encoder they are for."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Final, TypeVar

T = TypeVar("T")

logger = logging.getLogger(__name__)

_NAME: Final = "nestvec-engine"


class EngineThreads:
    """As many threads as an engine runs batches at once; they sleep while there is nothing to do.

    Work is done in the order in which it was added. What a thread does next it finds by itself: to ask the
    event loop would leave the engine idle until the loop has its turn.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._working: set[int] = set()
        """The threads that do something."""
        self._threads = [
            threading.Thread(target=self._run, name=f"{_NAME}-{number}", daemon=True)
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def is_idle_but_one(self) -> bool:
        """Whether at most one thread works, and nothing waits for one."""
        return len(self._working) <= 1 and self._work.empty()

    def add(self, work: Callable[[], None]) -> None:
        """Have a thread do ``work``; what it raises is logged."""
        self._work.put(work)

    async def run(self, work: Callable[[], T]) -> T:
        """What ``work`` returns on one of the threads, in its turn. Raises as it does."""
        result: Future[T] = Future()
        self.add(partial(_settle, result, work))
        answer = asyncio.wrap_future(result)
        # As in ClientThreads: an error leads to this frame, and the future to the error.
        del result
        try:
            return await answer
        finally:
            del answer

    def close(self) -> None:
        """End the threads, after the work that was added before."""
        for _ in self._threads:
            self._work.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        own = threading.get_ident()
        while (work := self._work.get()) is not None:
            self._working.add(own)
            try:
                work()
            except Exception:  # the thread is that of all encoders
                logger.exception("work on an engine's thread failed")
            self._working.discard(own)
            del work  # it may hold a batch


def _settle(result: Future[T], work: Callable[[], T]) -> None:
    if not result.set_running_or_notify_cancel():
        return
    try:
        result.set_result(work())
    except Exception as error:
        result.set_exception(error)
    finally:
        del result, work


def call_in_loop(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    """Have a loop call ``call``, unless it is closed: then nobody waits any more."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(call)
