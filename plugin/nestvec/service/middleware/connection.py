"""One connection of uvicorn's, with the bounds on a client that uvicorn does not set."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from nestvec.service.settings import ConnectionLimits

_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


def connection_class(limits: ConnectionLimits, max_body: int) -> type[HttpToolsProtocol]:
    """The protocol for uvicorn's ``http``, with these limits.

    A client that sends no request, or drips its headers, or the rest of a body that is refused already,
    or does not fetch its answer, is hung up on after ``keep_alive_seconds``; one whose headers are longer
    than ``header_bytes``, the first read of them not counted, is answered 431; one whose request has more
    than twice ``max_body`` bytes on the wire before it is answered (trailers without end) is hung up on.
    """
    largest = 2 * max_body + limits.header_bytes

    class Connection(HttpToolsProtocol):
        _awaited: asyncio.TimerHandle | None = None
        _in_head = False
        _read = 0
        _unsent = 0

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._await_message()

        def connection_lost(self, exc: Exception | None) -> None:
            self._came()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            self._read += len(data)
            super().data_received(data)
            if self.transport.is_closing():
                return
            # Only a head that is not whole yet is judged: a body may have come along with a whole one.
            if self._in_head and self._read > limits.header_bytes:
                self.transport.write(_TOO_LARGE)
                self.transport.close()
            elif self._read > largest and self.cycle is not None and not self.cycle.response_complete:
                self.transport.abort()

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._in_head, self._read = True, 0
            self._await_message()

        def on_header(self, name: bytes, value: bytes) -> None:
            if self._in_head:  # else a trailer, which nobody reads
                super().on_header(name, value)

        def on_headers_complete(self) -> None:
            self._in_head = False
            self._came()
            super().on_headers_complete()

        def on_message_complete(self) -> None:
            self._came()
            super().on_message_complete()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if self.cycle.response_complete and self.cycle.more_body:
                self._await_message()

        def timeout_keep_alive_handler(self) -> None:
            unsent = self.transport.get_write_buffer_size()
            if not unsent:
                super().timeout_keep_alive_handler()
            elif unsent == self._unsent:
                self.transport.abort()
            else:
                self._unsent = unsent
                self.timeout_keep_alive_task = self.loop.call_later(
                    limits.keep_alive_seconds, self.timeout_keep_alive_handler
                )

        def _await_message(self) -> None:
            if self._awaited is None:
                self._awaited = self.loop.call_later(limits.keep_alive_seconds, self.transport.abort)

        def _came(self) -> None:
            if self._awaited is not None:
                self._awaited.cancel()
                self._awaited = None

    return Connection
