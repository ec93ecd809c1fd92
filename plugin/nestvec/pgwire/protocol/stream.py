"""Messages over a connection, bounded in size before they are read and in time as they are sent."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from typing import Final, SupportsIndex

from nestvec.pgwire.errors import PgError, protocol_violation
from nestvec.pgwire.protocol.messages import TYPES, FrontendMessage, decode_message

MAX_STARTUP_BYTES: Final = 10_000
"""As PostgreSQL's limit of a startup message."""
MAX_LOGIN_BYTES: Final = 2_000
"""A message of authentication."""
_HIGH_WATER: Final = 256 << 10
"""Bytes that wait to be sent, above which the server waits for the client to read."""


class CountingReader(asyncio.StreamReader):
    """A reader that knows whether bytes wait in it: none may when TLS begins."""

    def __init__(self) -> None:
        super().__init__(limit=_HIGH_WATER)
        self.received = 0
        self.consumed = 0

    def feed_data(self, data: Iterable[SupportsIndex]) -> None:
        part = bytes(data)
        self.received += len(part)
        super().feed_data(part)

    async def read_exactly(self, count: int) -> bytes:
        """The next bytes. Raises IncompleteReadError at the end of the connection."""
        data = await self.readexactly(count)
        self.consumed += count
        return data


class ClientGone(Exception):
    """The client closed the connection, or does not read what it is sent."""


class MessageStream:
    """One client's messages."""

    def __init__(
        self, reader: CountingReader, writer: asyncio.StreamWriter, max_bytes: int, write_seconds: float
    ) -> None:
        self._reader, self._writer = reader, writer
        self._max_bytes, self._write_seconds = max_bytes, write_seconds
        self.secure = False
        self.transport.set_write_buffer_limits(high=_HIGH_WATER)

    @property
    def transport(self) -> asyncio.WriteTransport:
        """The connection."""
        return self._writer.transport

    @property
    def host(self) -> str:
        """The client's address."""
        peer = self._writer.get_extra_info("peername")
        return str(peer[0]) if peer else ""

    async def read_startup(self) -> bytes:
        """The body of the first message. Raises ClientGone, PgError."""
        length = int.from_bytes(await self._take(4), "big", signed=True) - 4
        if not 4 <= length <= MAX_STARTUP_BYTES:
            raise protocol_violation("invalid length of startup packet")
        return await self._take(length)

    async def read(self, max_bytes: int | None = None) -> FrontendMessage:
        """The next message. Raises ClientGone, PgError."""
        head = await self._take(5)
        type_ = head[:1].decode("latin-1")
        length = int.from_bytes(head[1:], "big", signed=True) - 4
        if type_ not in TYPES:
            raise protocol_violation(f"invalid frontend message type {head[0]}")
        limit = self._max_bytes if max_bytes is None else max_bytes
        if not 0 <= length <= limit:
            raise PgError(
                "08P01",
                f"invalid message length {length}: the limit is {limit} bytes",
                hint="Send less at once, or raise --max-message.",
                severity="FATAL",
            )
        return decode_message(type_, await self._take(length))

    def write(self, data: bytes) -> None:
        """Send later, with what else there is."""
        self._writer.write(data)

    async def drain(self) -> None:
        """Wait until little is left to be sent. Raises ClientGone for a client that does not read."""
        try:
            async with asyncio.timeout(self._write_seconds):
                await self._writer.drain()
        except (TimeoutError, OSError) as error:
            self.transport.abort()
            raise ClientGone from error

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Continue with TLS. Raises ClientGone, PgError for bytes that were sent before it: they may be of
        someone between client and server."""
        if self._reader.received != self._reader.consumed:
            raise protocol_violation("received unencrypted data after SSL request")
        try:
            await self._writer.start_tls(context)
        except (OSError, EOFError) as error:
            raise ClientGone from error
        self.transport.set_write_buffer_limits(high=_HIGH_WATER)
        self.secure = True

    async def close(self) -> None:
        """Send what is left and close."""
        self._writer.close()
        try:
            async with asyncio.timeout(self._write_seconds):
                await self._writer.wait_closed()
        except (TimeoutError, OSError, EOFError):
            self.transport.abort()

    async def _take(self, count: int) -> bytes:
        try:
            return await self._reader.read_exactly(count)
        except (asyncio.IncompleteReadError, OSError) as error:
            raise ClientGone from error
