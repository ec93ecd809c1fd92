"""Runs statements on Milvus in threads: with a time limit, and so that they can be cancelled."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Generator
from concurrent.futures import Executor
from contextlib import AsyncExitStack
from threading import Event
from typing import Any, TypeVar

from pymilvus import MilvusClient

from nestvec.milvus.steps import Request, Steps, drive
from nestvec.pgwire.errors import PgError
from nestvec_schemas.errors import NestvecError

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Cancellation:
    """Whether one statement is to stop; threads check it between their calls of Milvus."""

    def __init__(self) -> None:
        self._flag = Event()
        self._waiting = asyncio.Event()
        self._error: PgError | None = None

    def cancel(self, error: PgError) -> None:
        """Stop the statement with this error. Called on the event loop."""
        if not self._flag.is_set():
            self._error = error
            self._flag.set()
            self._waiting.set()

    def check(self) -> None:
        """Raise the error if the statement is to stop."""
        if self._flag.is_set() and self._error is not None:
            raise self._error

    async def wait(self) -> None:
        """Wait until the statement is to stop."""
        await self._waiting.wait()


def user_cancelled() -> PgError:
    """The client asked to cancel."""
    return PgError("57014", "canceling statement due to user request")


def statement_timeout() -> PgError:
    """The statement took too long."""
    return PgError(
        "57014",
        "canceling statement due to statement timeout",
        hint="Narrow the statement, or raise statement_timeout up to the server's --statement-seconds.",
    )


class StatementEngine:
    """One Milvus, for all connections of a server."""

    def __init__(self, client: MilvusClient, executor: Executor, serial_writes: bool) -> None:
        self.client = client
        self._executor = executor
        self._writing = asyncio.Lock() if serial_writes else None

    async def run(
        self, steps: Steps[T], cancellation: Cancellation, *, seconds: float = 0.0, writes: bool = False
    ) -> T:
        """The result of ``steps``. Raises what they raise, and PgError if they are cancelled.

        A read is left to itself when it is cancelled. A write is waited for: what it has begun with one call
        of Milvus is finished, and no further call is made.
        """
        async with AsyncExitStack() as stack:
            if writes and self._writing is not None:
                await stack.enter_async_context(self._writing)
            loop = asyncio.get_running_loop()
            timer = loop.call_later(seconds, cancellation.cancel, statement_timeout()) if seconds else None
            interruptible = _interruptible(steps, cancellation)
            future = loop.run_in_executor(self._executor, lambda: drive(self.client, interruptible))
            stop = asyncio.ensure_future(cancellation.wait())
            try:
                waited: set[asyncio.Future[Any]] = {future, stop}
                await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
                if writes and not future.done():
                    await asyncio.wait({future})
            finally:
                stop.cancel()
                if timer is not None:
                    timer.cancel()
            if future.done():
                return future.result()
            future.add_done_callback(_forget)
            cancellation.check()
            raise user_cancelled()


def _interruptible(steps: Steps[T], cancellation: Cancellation) -> Generator[Request, Any, T]:
    """The same steps, which end with the cancellation's error before the next call of Milvus."""
    try:
        cancellation.check()
        request = next(steps)
        while True:
            cancellation.check()
            try:
                answer = yield request
            except NestvecError as error:
                request = steps.throw(error)
            else:
                request = steps.send(answer)
    except StopIteration as end:
        value: T = end.value
        return value
    finally:
        steps.close()


def _forget(future: asyncio.Future[Any]) -> None:
    """What a statement that nobody waits for ends with is of no interest."""
    if not future.cancelled():
        future.exception()
