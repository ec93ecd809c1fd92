"""A response whose headers and body are at hand, written at once.

uvicorn checks each header by two regular expressions and keeps account of a body in parts, which takes a lone
query longer than its own JSON does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from starlette.types import Message
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from nestvec.service.middleware.joined_writes import MAX_JOINED_BYTES

PLAIN_HEADERS: Final = "nestvec.plain_headers"
"""Key of the message that starts a response of 200: the names of its headers are ours, in lower case, one of
them is the length of the body, and none is about the connection."""

_Header = tuple[bytes, bytes]


class DefaultHeaders:
    """uvicorn's own headers as bytes, made once for each second."""

    def __init__(self) -> None:
        self._headers: Sequence[_Header] | None = None
        self._start = b""

    def start_of_response(self, headers: Sequence[_Header]) -> bytes:
        """The start of a response of 200 with these headers."""
        if headers is not self._headers:
            self._headers = headers
            self._start = STATUS_LINE[200] + _lines(headers)
        return self._start


class WholeResponse:
    """Sends one request's response: by itself if it is whole and plain, else as uvicorn does."""

    def __init__(
        self, transport: asyncio.Transport, cycle: RequestResponseCycle, defaults: DefaultHeaders, send: Any
    ) -> None:
        """``send`` is uvicorn's."""
        self._transport, self._cycle, self._defaults = transport, cycle, defaults
        self._send_in_parts = send
        self._start: Message | None = None

    async def send(self, message: Any) -> None:
        """As an ASGI server's ``send``; the start of a plain response waits for its body."""
        if self._cycle.waiting_for_100_continue and message["type"] == "http.response.start":
            # The client may send its body all the same, or another request instead of it.
            self._cycle.keep_alive = False
        is_plain = message.get(PLAIN_HEADERS) and message["status"] == HTTPStatus.OK
        if is_plain and not self._cycle.response_started:
            self._start = message
            return
        start, self._start = self._start, None
        if start is not None and message["type"] == "http.response.body":
            if self._write(start["headers"], message):
                return
            await self._send_in_parts(start)
        await self._send_in_parts(message)

    def _write(self, headers: Sequence[_Header], message: Message) -> bool:
        cycle, body = self._cycle, message.get("body", b"")
        if message.get("more_body") or not cycle.keep_alive or cycle.disconnected or cycle.flow.write_paused:
            return False
        lines = _lines(headers)
        # A line break in a value would begin another header, or another response.
        if lines.count(b"\n") != len(headers) or lines.count(b"\r") != len(headers) or b"\0" in lines:
            return False
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        head = self._defaults.start_of_response(cycle.default_headers) + lines + b"\r\n"
        if len(body) > MAX_JOINED_BYTES:
            self._transport.write(head)
            self._transport.write(body)
        else:
            self._transport.write(head + body)
        cycle.message_event.set()
        cycle.on_response()
        return True


def _lines(headers: Sequence[Any]) -> bytes:
    return b"".join([b"%b: %b\r\n" % header for header in headers])
