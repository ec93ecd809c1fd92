"""The same for one who awaits: PEP 249's names, as coroutines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator, Sequence
from contextlib import AsyncExitStack, ExitStack, nullcontext
from threading import Lock
from types import TracebackType
from typing import Any

from pymilvus import AsyncMilvusClient, MilvusClient

from nestvec.dbapi.errors import dbapi_errors, interface_error
from nestvec.dbapi.opening import ConnectOptions
from nestvec.dbapi.results import CursorBase
from nestvec.dbapi.running import execute_many, is_read_only
from nestvec.milvus.connection import aconnect as opened
from nestvec.milvus.connection import connect as opened_blocking
from nestvec.milvus.steps import Steps, adrive
from nestvec.sql.answer import Row, StatementResult
from nestvec.sql.bind.params import Given
from nestvec.sql.session import Session
from nestvec.sql.statements import execute_steps


class AsyncConnection:
    """SQL over one Milvus, of one event loop; opened by ``await`` or by ``async with``.

    SELECTs of one connection run at a time; anything else waits for its turn.
    """

    def __init__(self, opening: ConnectOptions) -> None:
        self.session = Session(opening.settings)
        self.closed = False
        self._opening = opening
        self._client: AsyncMilvusClient | None = None
        self._stack = AsyncExitStack()
        self._writing = asyncio.Lock()
        self._jobs = ExitStack()
        self._blocking: MilvusClient | None = None
        self._opening_blocking = Lock()

    def cursor(self) -> AsyncCursor:
        """A cursor of this connection."""
        self._check()
        return AsyncCursor(self)

    async def execute(self, statement: str, parameters: Given | None = None) -> AsyncCursor:
        """A new cursor with the statement executed."""
        return await self.cursor().execute(statement, parameters)

    async def run(self, statement: str, steps: Steps[StatementResult]) -> StatementResult:
        """What comes of a statement's steps, asked of this connection's Milvus. Raises PEP 249's errors."""
        client = self._check()
        with dbapi_errors():
            async with nullcontext() if is_read_only(statement) else self._writing:
                return await adrive(client, self._blocking_client, steps)

    async def commit(self) -> None:
        """Nothing: Milvus has no transactions, and every statement is done when it returns."""
        self._check()

    async def rollback(self) -> None:
        """Nothing: Milvus has no transactions, and what was executed stays. No error, for pools' sake."""
        self._check()

    async def close(self) -> None:
        """Close the connection, let a Lite database go and end the services that it brought up."""
        self.closed = True
        await asyncio.to_thread(self._jobs.close)
        await self._stack.aclose()

    def __await__(self) -> Generator[Any, None, AsyncConnection]:
        return self._opened().__await__()

    async def __aenter__(self) -> AsyncConnection:
        return await self._opened()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _opened(self) -> AsyncConnection:
        if self._client is None and not self.closed:
            opening = self._opening
            with dbapi_errors():
                self._client = await self._stack.enter_async_context(
                    opened(opening.uri, token=opening.token, database=opening.database)
                )
            self._jobs.callback(self.session.close)
        self._check()
        return self

    def _blocking_client(self) -> MilvusClient:
        """What jobs ask with, in their threads; opened for the first of them."""
        with self._opening_blocking:
            if self._blocking is None:
                opening = self._opening
                self._blocking = self._jobs.enter_context(
                    opened_blocking(opening.uri, token=opening.token, database=opening.database)
                )
            return self._blocking

    def _check(self) -> AsyncMilvusClient:
        if self.closed:
            raise interface_error("the connection is closed", "Open another: await nestvec.aconnect(…).")
        if self._client is None:
            raise interface_error(
                "the connection is not open yet", "Write: async with nestvec.aconnect(…) as connection."
            )
        return self._client


class AsyncCursor(CursorBase):
    """One statement at a time, and its rows. ``arrow()`` and ``df()`` ask nobody, and are not awaited."""

    def __init__(self, connection: AsyncConnection) -> None:
        super().__init__()
        self.connection = connection

    async def execute(self, operation: str, parameters: Given | None = None) -> AsyncCursor:
        """Run one statement, as ``Cursor.execute`` does."""
        await self._run(operation, execute_steps(self.connection.session, operation, parameters))
        return self

    async def executemany(self, operation: str, seq_of_parameters: Sequence[Given]) -> AsyncCursor:
        """Run one statement with each of several values, as ``Cursor.executemany`` does."""
        await self._run(operation, execute_many(self.connection.session, operation, seq_of_parameters))
        return self

    async def fetchone(self) -> Row | None:
        """The next row, or None after the last."""
        return self._fetch_row()

    async def fetchmany(self, size: int | None = None) -> list[Row]:
        """The next ``size`` rows, ``arraysize`` by default; fewer at the end."""
        return self._fetch_rows(size)

    async def fetchall(self) -> list[Row]:
        """The rows that are left."""
        return self._fetch_rest()

    async def close(self) -> None:
        """Forget the rows; the cursor is of no use afterwards."""
        self._close()

    async def __aiter__(self) -> AsyncIterator[Row]:
        while (row := self._fetch_row()) is not None:
            yield row

    async def __aenter__(self) -> AsyncCursor:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self, operation: str, steps: Steps[StatementResult]) -> None:
        self._check_open()
        self._set_result(await self.connection.run(operation, steps))
