"""The async version of PEP 249's connection and cursor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator, Sequence
from contextlib import AsyncExitStack, ExitStack, nullcontext
from threading import Lock
from types import TracebackType
from typing import Any

from pymilvus import AsyncMilvusClient, MilvusClient

from nestvec.dbapi.batch import execute_many, is_read_only
from nestvec.dbapi.connection import ConnectOptions
from nestvec.dbapi.cursor_base import CursorBase
from nestvec.dbapi.errors import dbapi_errors, interface_error
from nestvec.dbapi.registered import attach_server, register_table, unregister_table
from nestvec.milvus.connection import open_milvus as opened_blocking
from nestvec.milvus.connection import open_milvus_async as opened
from nestvec.milvus.steps import Steps, adrive
from nestvec.sql.bind.params import ParameterValues
from nestvec.sql.result import Row, StatementResult
from nestvec.sql.session import Session, WriteState
from nestvec.sql.statements import execute_steps
from nestvec.sql.statements.transaction import commit, roll_back


class AsyncConnection:
    """SQL over one Milvus, for one event loop; opened by ``await`` or ``async with``.

    SELECTs of one connection run concurrently; other statements run one after the other.
    """

    def __init__(self, opening: ConnectOptions) -> None:
        self.session = Session(opening.settings, writes=WriteState(shared=not opening.uri.endswith(".db")))
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

    async def execute(self, statement: str, parameters: ParameterValues | None = None) -> AsyncCursor:
        """A new cursor with the statement executed."""
        return await self.cursor().execute(statement, parameters)

    def register(self, name: str, data: Any) -> None:
        """Let statements read ``data`` as the table ``name``, to join it with collections.

        An Arrow table, a data frame of pandas or Polars, or a dict of columns. Its name is as in SQL: one
        with capitals is written in double quotes. Raises InterfaceError if it is not a table.
        """
        self._check()
        register_table(self.session, name, data)

    def attach_postgres(self, name: str, address: str) -> None:
        """Let statements read tables of a PostgreSQL server, as ``name.schema.table``, to join them.

        ``address`` is a connection string of libpq, or a URI. DuckDB's extension ``postgres`` must be
        installed. Raises InterfaceError if the name is not one of lower-case letters.
        """
        self._check()
        attach_server(self.session, name, address)

    def unregister(self, name: str) -> None:
        """Forget a registered table. Raises InterfaceError if there is none of this name."""
        self._check()
        unregister_table(self.session, name)

    async def run(self, statement: str, steps: Steps[StatementResult]) -> StatementResult:
        """Run the steps of a statement on this connection's Milvus. Raises PEP 249's errors."""
        client = self._check()
        with dbapi_errors():
            async with nullcontext() if is_read_only(statement) else self._writing:
                return await adrive(client, self._blocking_client, steps)

    async def commit(self) -> None:
        """Accept the changes: Milvus has no transactions, and a statement takes effect when it returns."""
        self._check()
        commit(self.session)

    async def rollback(self) -> None:
        """As ``Connection.rollback``: an error after changes, which Milvus cannot undo."""
        self._check()
        with dbapi_errors():
            roll_back(self.session)

    async def close(self) -> None:
        """Close the connection, release a Lite database, and stop the services that it started."""
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
                    opened(
                        opening.uri,
                        token=opening.token,
                        database=opening.database,
                        settings=opening.connecting,
                    )
                )
            self._jobs.callback(self.session.close)
        self._check()
        return self

    def _blocking_client(self) -> MilvusClient:
        """The client for blocking calls, in their threads; opened on first use."""
        with self._opening_blocking:
            if self._blocking is None:
                opening = self._opening
                self._blocking = self._jobs.enter_context(
                    opened_blocking(
                        opening.uri,
                        token=opening.token,
                        database=opening.database,
                        settings=opening.connecting,
                    )
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
    """Runs one statement at a time, and holds its rows. ``arrow()`` and ``df()`` are not awaited."""

    def __init__(self, connection: AsyncConnection) -> None:
        super().__init__()
        self.connection = connection

    async def execute(self, operation: str, parameters: ParameterValues | None = None) -> AsyncCursor:
        """Run one statement, as ``Cursor.execute`` does."""
        await self._run(operation, execute_steps(self.connection.session, operation, parameters))
        return self

    async def executemany(self, operation: str, seq_of_parameters: Sequence[ParameterValues]) -> AsyncCursor:
        """Run one statement with each of several sets of parameters, as ``Cursor.executemany`` does."""
        await self._run(operation, execute_many(self.connection.session, operation, seq_of_parameters))
        return self

    async def fetchone(self) -> Row | None:
        """The next row, or None after the last."""
        return self._fetch_row()

    async def fetchmany(self, size: int | None = None) -> list[Row]:
        """The next ``size`` rows, ``arraysize`` by default; fewer at the end."""
        return self._fetch_rows(size)

    async def fetchall(self) -> list[Row]:
        """The remaining rows."""
        return self._fetch_rest()

    async def close(self) -> None:
        """Discard the rows; the cursor cannot be used afterwards."""
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
