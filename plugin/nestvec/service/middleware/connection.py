"""A connection of uvicorn, with the limits on clients that uvicorn does not have."""

from __future__ import annotations

import asyncio
from typing import ClassVar, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from nestvec.service.settings import ConnectionLimits

_TOO_LARGE: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
)


class LimitedConnection(HttpToolsProtocol):
    """A connection that is closed if its client is too slow or sends too much.

    It is closed after ``keep_alive_seconds`` if the client sends no request, sends its headers or the rest
    of a refused body too slowly, or does not read its response. Headers longer than ``header_bytes``, not
    counting the first read, are answered with 431. A request of more than ``max_request_bytes`` on the wire
    (endless trailers) before its response closes the connection.
    """

    limits: ClassVar[ConnectionLimits]
    max_request_bytes: ClassVar[int]

    _message_timer: asyncio.TimerHandle | None = None
    _in_headers = False
    _bytes_read = 0
    _unsent_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_message_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_message_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._bytes_read += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        # Only incomplete headers are checked: a body may have arrived with complete ones.
        if self._in_headers and self._bytes_read > self.limits.header_bytes:
            self.transport.write(_TOO_LARGE)
            self.transport.close()
        elif (
            self._bytes_read > self.max_request_bytes
            and self.cycle is not None
            and not self.cycle.response_complete
        ):
            self.transport.abort()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_headers, self._bytes_read = True, 0
        self._start_message_timer()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_headers:  # else it is a trailer, which nothing reads
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_headers = False
        self._stop_message_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._stop_message_timer()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete and self.cycle.more_body:
            self._start_message_timer()

    def timeout_keep_alive_handler(self) -> None:
        unsent = self.transport.get_write_buffer_size()
        if not unsent:
            super().timeout_keep_alive_handler()
        elif unsent == self._unsent_bytes:
            self.transport.abort()
        else:
            self._unsent_bytes = unsent
            self.timeout_keep_alive_task = self.loop.call_later(
                self.limits.keep_alive_seconds, self.timeout_keep_alive_handler
            )

    def _start_message_timer(self) -> None:
        if self._message_timer is None:
            self._message_timer = self.loop.call_later(self.limits.keep_alive_seconds, self.transport.abort)

    def _stop_message_timer(self) -> None:
        if self._message_timer is not None:
            self._message_timer.cancel()
            self._message_timer = None


def connection_class(connection_limits: ConnectionLimits, max_body: int) -> type[LimitedConnection]:
    """The protocol class for uvicorn's ``http``, with these limits."""

    class Connection(LimitedConnection):
        limits = connection_limits
        max_request_bytes = 2 * max_body + connection_limits.header_bytes

    return Connection
