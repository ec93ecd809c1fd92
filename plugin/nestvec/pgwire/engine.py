"""Runs statements on Milvus in threads: with a time limit, and so that they can be cancelled."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Generator
from concurrent.futures import Executor
from contextlib import asynccontextmanager, suppress
from threading import Event
from typing import Any, Final, TypeVar

from pymilvus import MilvusClient

from nestvec.milvus.steps import Request, Steps, drive
from nestvec.pgwire.errors import PgError
from nestvec.sql.interrupts import Stop, watching
from nestvec_schemas.errors import NestvecError

logger = logging.getLogger(__name__)

T = TypeVar("T")

_LONG_SQL: Final = 4 << 10
"""Characters of SQL that are parsed in a few milliseconds."""


async def read_sql(read: Callable[[str], T], sql: str) -> T:
    """What ``read`` makes of SQL, in a thread if other connections would wait for it."""
    return read(sql) if len(sql) < _LONG_SQL else await asyncio.to_thread(read, sql)


_STOP_SECONDS: Final = 0.1
"""Time between two attempts to stop a query of a cancelled statement."""


class Cancellation:
    """Whether one statement is to stop; threads check it between their calls of Milvus."""

    def __init__(self) -> None:
        self._flag = Event()
        self._waiting = asyncio.Event()
        self._error: PgError | None = None
        self._stops = list[Stop]()

    def cancel(self, error: PgError) -> None:
        """Stop the statement with this error. Called on the event loop."""
        if not self._flag.is_set():
            self._error = error
            self._flag.set()
            self._waiting.set()
            self.stop_queries()

    def watch(self, stop: Stop) -> None:
        """Call ``stop`` on cancellation: a query of DuckDB runs in the statement's thread.

        Raises the error if the statement is to stop already.
        """
        self._stops.append(stop)
        self.check()

    def stop_queries(self) -> None:
        """Stop the queries of DuckDB that run in the statement's thread."""
        for stop in tuple(self._stops):
            with suppress(Exception):  # a query that has ended meanwhile is closed
                stop()

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

        ``seconds`` include the time that a write waits for those before it.

        A read is left to itself when it is cancelled, and its query of DuckDB is stopped. A write is waited
        for: what it has begun with one call of Milvus is finished, and no further call is made.
        """
        loop = asyncio.get_running_loop()
        timer = loop.call_later(seconds, cancellation.cancel, statement_timeout()) if seconds else None
        stop = asyncio.ensure_future(cancellation.wait())
        try:
            async with self._turn(writes, cancellation, stop):
                return await self._result(steps, cancellation, stop, writes)
        finally:
            stop.cancel()
            if timer is not None:
                timer.cancel()

    @asynccontextmanager
    async def _turn(
        self, writes: bool, cancellation: Cancellation, stop: asyncio.Future[None]
    ) -> AsyncIterator[None]:
        """Wait until no other statement writes. Raises PgError if the statement is cancelled meanwhile."""
        if not writes or self._writing is None:
            yield
            return
        acquired = asyncio.ensure_future(self._writing.acquire())
        try:
            waited: set[asyncio.Future[Any]] = {acquired, stop}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if not acquired.done():
                cancellation.check()
            yield
        finally:
            if not acquired.cancel():
                self._writing.release()

    async def _result(
        self, steps: Steps[T], cancellation: Cancellation, stop: asyncio.Future[None], writes: bool
    ) -> T:
        def run() -> T:
            with watching(cancellation.watch):
                return drive(self.client, _interruptible(steps, cancellation))

        future = asyncio.get_running_loop().run_in_executor(self._executor, run)
        waited: set[asyncio.Future[Any]] = {future, stop}
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if writes and not future.done():
            await asyncio.wait({future})
        if not future.done():
            future.add_done_callback(_forget)
            _stop_until_done(future, cancellation)
            cancellation.check()
            raise user_cancelled()
        if future.exception() is not None:
            cancellation.check()
        return future.result()


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


def _stop_until_done(future: asyncio.Future[Any], cancellation: Cancellation) -> None:
    """Stop the queries of a cancelled statement again and again: DuckDB ignores a stop before the start."""
    if not future.done():
        cancellation.stop_queries()
        asyncio.get_running_loop().call_later(_STOP_SECONDS, _stop_until_done, future, cancellation)


def _forget(future: asyncio.Future[Any]) -> None:
    """What a statement that nobody waits for ends with is of no interest."""
    if not future.cancelled():
        future.exception()
