"""One connection: reads messages, runs what they ask, sends the responses."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

from nestvec.pgwire.copying.runner import CopyRunner
from nestvec.pgwire.copying.syntax import is_copy_stream
from nestvec.pgwire.engine import read_sql
from nestvec.pgwire.errors import PgError, protocol_violation
from nestvec.pgwire.outcome import StatementOutcome, row_encoder
from nestvec.pgwire.portals import ExtendedProtocol
from nestvec.pgwire.protocol import responses
from nestvec.pgwire.protocol.messages import (
    BareMessage,
    BindMessage,
    CloseMessage,
    CopyDataMessage,
    CopyFailMessage,
    DescribeMessage,
    ExecuteMessage,
    FrontendMessage,
    ParseMessage,
    QueryMessage,
)
from nestvec.pgwire.protocol.stream import MessageStream
from nestvec.pgwire.runner import StatementRunner
from nestvec.pgwire.statement import split_query
from nestvec.sql.result import Row

logger = logging.getLogger(__name__)

_CHUNK_BYTES: Final = 64 << 10
"""Rows that are encoded before others have their turn."""


class PgConnection:
    """A client that is logged in."""

    def __init__(self, stream: MessageStream, runner: StatementRunner, idle_seconds: float) -> None:
        self._stream, self._runner = stream, runner
        self._extended = ExtendedProtocol(runner)
        self._copies = CopyRunner(stream, runner)
        self._idle_seconds = idle_seconds
        self._skipping = False
        """Whether an error of the extended protocol has messages ignored until Sync."""
        self._closing: PgError | None = None
        self._idle: asyncio.Task[FrontendMessage] | None = None

    def cancel(self, error: PgError) -> None:
        """Stop the running statement."""
        self._runner.cancel(error)

    def shut_down(self, error: PgError) -> None:
        """End the connection with this error: at once if it waits, else after its statement."""
        self._closing = error
        if self._idle is not None:
            self._idle.cancel()

    async def serve(self) -> None:
        """Serve until the client ends the connection. Raises ClientGone, and PgError that ends it."""
        self._ready()
        await self._stream.drain()
        while True:
            message = await self._next()
            if message == BareMessage("X"):
                return
            try:
                await self._handle(message)
            except PgError as error:
                if error.fatal:
                    raise
                self._failed(error, extended=not isinstance(message, QueryMessage))
            await self._stream.drain()

    async def _next(self) -> FrontendMessage:
        """The next message. Raises PgError when the connection ends meanwhile."""
        if self._closing is not None and not self._skipping:
            raise self._closing
        self._idle = asyncio.ensure_future(self._stream.read())
        try:
            async with asyncio.timeout(self._idle_seconds or None):
                return await self._idle
        except TimeoutError as error:
            raise PgError(
                "57P05", "terminating connection due to idle-session timeout", severity="FATAL"
            ) from error
        except asyncio.CancelledError:
            if self._closing is not None:
                raise self._closing from None
            raise
        finally:
            self._idle = None

    async def _handle(self, message: FrontendMessage) -> None:
        if message == BareMessage("S"):
            self._skipping = False
            self._end_portals()
            self._ready()
        elif isinstance(message, (CopyDataMessage, CopyFailMessage)) or message == BareMessage("c"):
            return  # the rest of a COPY that failed
        elif self._skipping:
            return
        elif isinstance(message, QueryMessage):
            await self._query(message.sql)
        elif isinstance(message, ExecuteMessage):
            await self._execute(message)
        elif isinstance(message, (ParseMessage, BindMessage, DescribeMessage, CloseMessage)):
            self._stream.write(await self._prepare(message))
        elif message != BareMessage("H"):
            raise protocol_violation("this message is not expected now")

    async def _query(self, sql: str) -> None:
        """The simple protocol: an error ends the query, and what follows in it does not run."""
        statements = await read_sql(split_query, sql)
        if not statements:
            self._stream.write(responses.EMPTY_QUERY)
        for statement in statements:
            if is_copy_stream(statement.sql):
                self._stream.write(responses.command_complete(await self._copies.run(statement)))
            elif statement.empty:
                self._stream.write(responses.EMPTY_QUERY)
            else:
                await self._send(await self._runner.run(statement))
        self._ready()

    async def _send(self, outcome: StatementOutcome) -> None:
        """The whole outcome of a statement, as text."""
        if outcome.deallocated:
            self._extended.deallocate(outcome.deallocated)
        self._notices(outcome)
        formats = (0,) * len(outcome.fields)
        if outcome.fields:
            self._stream.write(responses.row_description(outcome.fields, formats))
            await self._send_rows(outcome.rows, row_encoder(outcome.fields, formats))
        self._stream.write(responses.command_complete(_tag(outcome, len(outcome.rows))))
        self._after(outcome)

    async def _prepare(self, message: FrontendMessage) -> bytes:
        extended = self._extended
        if isinstance(message, ParseMessage):
            await extended.parse(message)
            return responses.PARSE_COMPLETE
        if isinstance(message, BindMessage):
            await extended.bind(message)
            return responses.BIND_COMPLETE
        if isinstance(message, DescribeMessage):
            describe = extended.describe_statement if message.kind == "S" else extended.describe_portal
            return await describe(message.name)
        if isinstance(message, CloseMessage):
            extended.close(message.kind, message.name)
        return responses.CLOSE_COMPLETE

    async def _execute(self, message: ExecuteMessage) -> None:
        portal = self._extended.portal(message.portal)
        statement = portal.prepared.statement
        if statement.empty:
            self._stream.write(responses.EMPTY_QUERY)
            return
        if is_copy_stream(statement.sql):
            self._stream.write(responses.command_complete(await self._copies.run(statement)))
            return
        outcome = await self._extended.run(portal)
        if outcome.deallocated:
            self._extended.deallocate(outcome.deallocated)
        if not portal.position:
            self._notices(outcome)
        rows, encode, more = self._extended.next_rows(portal, message.max_rows)
        await self._send_rows(rows, encode)
        if more:
            self._stream.write(responses.PORTAL_SUSPENDED)
            return
        self._stream.write(responses.command_complete(_tag(outcome, len(rows))))
        self._after(outcome)

    async def _send_rows(self, rows: Sequence[Row], encode: Callable[[Row], bytes]) -> None:
        """Send rows; no more are encoded while the client does not read."""
        chunk, size = list[bytes](), 0
        for row in rows:
            data = encode(row)
            chunk.append(data)
            size += len(data)
            if size >= _CHUNK_BYTES:
                self._stream.write(b"".join(chunk))
                await self._stream.drain()
                await asyncio.sleep(0)
                chunk, size = [], 0
        self._stream.write(b"".join(chunk))

    def _after(self, outcome: StatementOutcome) -> None:
        if outcome.tag in ("DISCARD ALL", "DEALLOCATE ALL"):
            self._extended.clear()
        elif outcome.tag in ("COMMIT", "ROLLBACK"):
            self._extended.end_block()

    def _end_portals(self) -> None:
        """Outside a block, each Sync ends a transaction, and with it its portals."""
        if self._runner.block.status == "I":
            self._extended.end_block()

    def _notices(self, outcome: StatementOutcome) -> None:
        for notice in outcome.notices:
            self._stream.write(responses.notice_response(notice))

    def _ready(self) -> None:
        self._stream.write(responses.ready_for_query(self._runner.block.status))

    def _failed(self, error: PgError, *, extended: bool) -> None:
        self._runner.block.fail(error)
        self._stream.write(responses.error_response(error))
        if extended:
            self._skipping = True
        else:
            self._ready()


def _tag(outcome: StatementOutcome, rows: int) -> str:
    return f"SELECT {rows}" if outcome.fields and not outcome.closing_tag else outcome.tag
