"""A connection of uvicorn, with the limits on clients that uvicorn does not have."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import ClassVar, Final, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser, parse_url
from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, HTTPScope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from nestvec.service.middleware.connection_gate import CONNECTION, ConnectionGate, client_of
from nestvec.service.middleware.context import ARRIVED, BODY_ARRIVED
from nestvec.service.middleware.half_close import HalfClosedClient
from nestvec.service.middleware.joined_writes import JoinedWrites
from nestvec.service.middleware.whole_response import DefaultHeaders, WholeResponse
from nestvec.service.settings import ConnectionLimits

_TOO_LARGE: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
)

_MAX_SHOWN: Final = 64

_HIGH_WATER: Final = 64 << 10
"""Unread bytes from which no further response is written."""


class TooManyPipelined(Exception):
    """A client sent more requests than it may before it reads a response. An internal error."""


class EncodingUnsupported(Exception):
    """A request's transfer encoding is not supported. An internal error."""


class LimitedConnection(HttpToolsProtocol):
    """A connection that is closed if its client is too slow or sends too much.

    It is closed after ``keep_alive_seconds`` if the client sends no request, or sends its headers or the rest
    of a refused body too slowly, and if it reads less of its response than ``read_rate`` in that time. While
    bytes of a response are unread, the next request is neither read nor answered. Headers longer than
    ``header_bytes``, not counting the first read, are answered with 431, or after the responses to earlier
    requests by the end of the connection, as is what cannot be read. More than ``pipelined_requests``
    before a response, or a request of more than ``max_request_bytes`` on the wire (endless trailers) before
    its response, close the connection.

    A client that ends its side after whole requests gets their responses, but over TLS, where asyncio does
    not support it. A transfer encoding other than chunked is answered with 501. The connection is closed
    after a final response to a client that waits for 100 (Continue): its body may come or not.

    An offer to go on in another protocol is ignored. Java's HTTP client offers HTTP/2 with every first
    request; httptools then takes its body for that protocol.
    """

    limits: ClassVar[ConnectionLimits]
    max_request_bytes: ClassVar[int]
    gate: ClassVar[ConnectionGate]
    default_headers: ClassVar[DefaultHeaders]

    @classmethod
    def apply(cls, limits: ConnectionLimits, max_body: int) -> None:
        """Take other limits, for the connections that are open too."""
        cls.limits = limits
        cls.max_request_bytes = 2 * max_body + limits.header_bytes

    owner = ""
    """The client of its newest request: an API key's, else that of the peer's address."""

    _message_timer: asyncio.TimerHandle | None = None
    _read_timer: asyncio.TimerHandle | None = None
    _arrived: float | None = None
    """When the request came whose headers are parsed again."""
    _in_headers = False
    _in_body = False
    _bytes_read = 0
    _unread_bytes = 0
    _next_waits = False
    """Whether the response is complete but unread, so that the next request waits."""
    _flooded = False
    _transfer_encoding: bytes | None = None
    """Of a request that is refused for it."""
    _half_closed: HalfClosedClient | None = None
    _answered_cycle: RequestResponseCycle | None = None
    _writes: JoinedWrites | None = None
    """What the request that is being answered writes to."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        transport.set_write_buffer_limits(high=_HIGH_WATER, low=0)
        super().connection_made(transport)
        self._calls_when_lost: set[Callable[[], None]] = set()
        self.owner = client_of(self.client[0]) if self.client else ""
        self._start_message_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_message_timer()
        self._next_waits = False
        self._note_unread(0)
        if self._half_closed is not None:
            self._half_closed.stop()
            self._half_closed = None
        super().connection_lost(exc)
        for call in list(self._calls_when_lost):
            call()
        self._calls_when_lost.clear()

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """Keep the connection open while whole requests are to be answered; None closes it."""
        cycle, is_incomplete = self.cycle, self._in_headers or self._in_body
        if self.scheme == "https" or is_incomplete or cycle is None or cycle.response_complete:
            return None
        cycle.keep_alive = False  # the newest: the connection is closed after its response
        if self._half_closed is None:
            self._half_closed = HalfClosedClient(self.transport, self._may_send_interim)
        return True

    def _may_send_interim(self) -> bool:
        cycle = self._answered_cycle
        return cycle is not None and not cycle.response_started and cycle.scope["http_version"] == "1.1"

    def data_received(self, data: bytes) -> None:
        self._bytes_read += len(data)
        self._unset_keepalive_if_required()
        self._parse(data)
        if self.transport.is_closing():
            return
        # What is no request, such as an empty line, has ended uvicorn's timer of an idle connection.
        if self._in_headers or self._is_idle:
            self._start_message_timer()
        # Only incomplete headers are checked: a body may have arrived with complete ones.
        if self._in_headers and self._bytes_read > self.limits.header_bytes:
            if not self._closes_after_earlier_requests():
                self.transport.write(_TOO_LARGE)
                self.transport.close()
        elif (
            self._bytes_read > self.max_request_bytes
            and self.cycle is not None
            and not self.cycle.response_complete
        ):
            self.transport.abort()

    @property
    def _is_idle(self) -> bool:
        """Whether it neither receives a request nor answers one."""
        return not self._in_body and (self.cycle is None or self.cycle.response_complete)

    def _parse(self, data: bytes) -> None:
        """uvicorn's ``data_received``, without a change of the protocol."""
        while data:
            try:
                self.parser.feed_data(data)
                return
            except HttpParserUpgrade as offer:
                if not self._should_upgrade():
                    return
                # The parser has skipped the body: the headers are parsed again, without the offer.
                (end,), self._arrived = offer.args, self.scope[ARRIVED]  # type: ignore[typeddict-item]
                data = self._request_without_upgrade() + data[end:]
                self.parser = _new_parser(self)
            except HttpParserError:
                message = "Invalid HTTP request received."
                self.logger.warning(message)
                self.send_400_response(message)
                return

    def _should_upgrade(self) -> bool:
        # uvicorn then starts no request; ``_parse`` does. CONNECT always stands for another protocol.
        return self.parser.get_method() != b"CONNECT"

    def _request_without_upgrade(self) -> bytes:
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        headers = [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join([b"%b %b HTTP/%b" % (method, self.url, version), *headers, b"", b""])

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= self.limits.pipelined_requests:
            self._flooded = True
            raise TooManyPipelined
        super().on_message_begin()
        arrived, self._arrived = self._arrived or self.loop.time(), None
        self.scope[ARRIVED] = arrived  # type: ignore[typeddict-unknown-key]
        self.scope[CONNECTION] = self  # type: ignore[typeddict-unknown-key]
        self._in_headers, self._bytes_read = True, 0

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_headers:  # else it is a trailer, which nothing reads
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_headers, self._in_body = False, True
        self._stop_message_timer()
        encodings = [value for name, value in self.headers if name == b"transfer-encoding"]
        if encodings and (len(encodings) > 1 or encodings[0].strip().lower() != b"chunked"):
            self._transfer_encoding, self._in_body = b", ".join(encodings), False
            raise EncodingUnsupported
        self._take_host_of_target()
        super().on_headers_complete()

    def _take_host_of_target(self) -> None:
        """Let the host of a target such as ``http://HOST/embed`` count, not the header (RFC 9112, 3.2.2)."""
        if self.url.startswith(b"/"):
            return
        target = parse_url(self.url)
        if target.host:
            host = b"[%b]" % target.host if b":" in target.host else target.host
            self.headers[:] = [(b"host", host), *(header for header in self.headers if header[0] != b"host")]

    def on_message_complete(self) -> None:
        self._in_body = False
        if self.parser.should_upgrade() and self._should_upgrade():
            return  # it is parsed again
        if not self.parser.should_keep_alive():  # as a trailer may say, too; nothing is parsed after it
            self.cycle.keep_alive = False
        self.scope[BODY_ARRIVED] = True  # type: ignore[typeddict-unknown-key]
        self._stop_message_timer()
        super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        # Requests of a connection are answered one after the other.
        self._writes, self._answered_cycle = JoinedWrites(self.transport, cycle), cycle
        cycle.transport = cast(asyncio.Transport, self._writes)
        transport, defaults = self.transport, self.default_headers

        def answer(scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> Awaitable[None]:
            # Not an attribute of the cycle: that circle would wait for the garbage collector.
            response = WholeResponse(transport, cycle, defaults, send)
            return app(scope, receive, response.send)

        # In a context of its own. asyncio reads a connection in the context of whoever resumed it last
        # (python/cpython#140947): that of an earlier request with a large body, which saw other encoders.
        Context().run(super()._start_asgi_task, cycle, cast(ASGI3Application, answer))

    def on_response_complete(self) -> None:
        if self._writes is not None:
            self._writes.flush()
        self._note_unread(self.transport.get_write_buffer_size())
        if self.flow.write_paused and not self.transport.is_closing():
            self._next_waits = True
            self.flow.pause_reading()
            return
        super().on_response_complete()
        if self.cycle.response_complete and self.cycle.more_body:
            self._start_message_timer()

    def send_400_response(self, msg: str) -> None:
        if self._flooded:
            self.transport.abort()
        elif self._closes_after_earlier_requests():
            return
        elif self._transfer_encoding is not None:
            self.transport.write(_unsupported(self._transfer_encoding))
            self.transport.close()
        else:
            super().send_400_response(msg)

    def _closes_after_earlier_requests(self) -> bool:
        """Whether requests before the one that cannot be read are still to be answered; if so, the connection
        is closed after that. An error now would be taken for the response to the first of them."""
        earlier: RequestResponseCycle | None = self.cycle
        if self._in_body:
            if not self.pipeline:
                return False
            self.pipeline.popleft()  # the newest
            earlier = self.pipeline[0][0] if self.pipeline else self._answered_cycle
        if earlier is None or earlier.response_complete:
            return False
        self.cycle, self._in_headers, self._in_body = earlier, False, False
        earlier.keep_alive = False
        return True

    def pause_writing(self) -> None:
        super().pause_writing()
        self._note_unread(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        super().resume_writing()
        self._note_unread(0)
        if self._next_waits:
            self._next_waits = False
            self.on_response_complete()

    def call_when_lost(self, call: Callable[[], None]) -> None:
        """Call ``call`` once the client has closed the connection; at once if it has."""
        if self.transport.is_closing():
            self.loop.call_soon(call)
        else:
            self._calls_when_lost.add(call)

    def do_not_call(self, call: Callable[[], None]) -> None:
        """Take ``call_when_lost`` back."""
        self._calls_when_lost.discard(call)

    def give_up(self) -> None:
        """Close the connection and drop what its client did not read."""
        self.transport.abort()

    def timeout_keep_alive_handler(self) -> None:
        if self._read_timer is None:
            super().timeout_keep_alive_handler()
        else:  # the client still reads its response
            self.timeout_keep_alive_task = self.loop.call_later(
                self.limits.keep_alive_seconds, self.timeout_keep_alive_handler
            )

    def _note_unread(self, size: int) -> None:
        """Have the client read ``size`` bytes at the read rate; 0 if it has read everything."""
        if not size and not self._unread_bytes and self._read_timer is None:
            return
        self._unread_bytes = size
        self.gate.set_unread(self, size)
        if not size and self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None
        elif size and self._read_timer is None:
            self._read_timer = self.loop.call_later(self.limits.keep_alive_seconds, self._check_reading)

    def _check_reading(self) -> None:
        self._read_timer = None
        before, unread = self._unread_bytes, self.transport.get_write_buffer_size()
        expected = min(before, self.limits.read_rate * self.limits.keep_alive_seconds)
        # Small responses to further requests may have been added meanwhile, up to the high-water mark.
        if unread and unread <= before and before - unread < expected:
            self.transport.abort()
        else:
            self._note_unread(unread)

    def _start_message_timer(self) -> None:
        if self._message_timer is None:
            self._message_timer = self.loop.call_later(self.limits.keep_alive_seconds, self._end_late_message)

    def _end_late_message(self) -> None:
        self._message_timer = None
        is_answering = self.cycle is not None and not self.cycle.response_complete
        if self._read_timer is not None or (self._in_headers and is_answering):
            # The client still reads a response, or an earlier request is worked on, and reading may be
            # paused meanwhile.
            self._start_message_timer()
        else:
            self.transport.abort()

    def _stop_message_timer(self) -> None:
        if self._message_timer is not None:
            self._message_timer.cancel()
            self._message_timer = None


def _unsupported(encoding: bytes) -> bytes:
    """The response to a request with this transfer encoding."""
    shown = "".join(char if char.isprintable() else "?" for char in encoding[:_MAX_SHOWN].decode("latin-1"))
    text = f"The transfer encoding is not supported: {shown}. Send the body as it is, or chunked.".encode()
    return (
        b"HTTP/1.1 501 Not Implemented\r\ncontent-type: text/plain; charset=utf-8\r\n"
        b"content-length: %d\r\nconnection: close\r\n\r\n%b" % (len(text), text)
    )


def _new_parser(connection: HttpToolsProtocol) -> HttpRequestParser:
    """A parser as uvicorn makes it."""
    parser = HttpRequestParser(connection)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


def connection_class(
    connection_limits: ConnectionLimits, max_body: int, connection_gate: ConnectionGate
) -> type[LimitedConnection]:
    """The protocol class for uvicorn's ``http``, with these limits."""

    class Connection(LimitedConnection):
        gate = connection_gate
        default_headers = DefaultHeaders()  # of one server, which another's thread must not change

    Connection.apply(connection_limits, max_body)
    return Connection
