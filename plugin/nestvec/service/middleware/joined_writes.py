"""The head of a response and the start of its body in one write: one call of the system, and one segment."""

from __future__ import annotations

import asyncio
from typing import Any, Final, Protocol

MAX_JOINED_BYTES: Final = 64 << 10
"""Bodies that are copied behind their head; to copy a larger one takes longer than another call."""


class StartedResponse(Protocol):
    """uvicorn's cycle of a request, of which the head is the first that it writes once it has started."""

    response_started: bool


class JoinedWrites:
    """Stands for the transport in one request's cycle, which writes a head and a body one after the other."""

    def __init__(self, transport: asyncio.Transport, response: StartedResponse) -> None:
        self._transport = transport
        self._response: StartedResponse | None = response
        self._head: bytes | None = None

    def write(self, data: bytes) -> None:
        """Write ``data``; the head of a response only with what follows it."""
        if self._response is not None and self._response.response_started:
            self._response, self._head = None, data
            return
        head, self._head = self._head, None
        if head is not None and len(data) > MAX_JOINED_BYTES:
            self._transport.write(head)
        elif head is not None:
            data = head + data
        self._transport.write(data)

    def flush(self) -> None:
        """Write the head if nothing follows it; no other head does."""
        self._response = None  # which refers to this
        if self._head is not None:
            head, self._head = self._head, None
            self._transport.write(head)

    def close(self) -> None:
        """Close the connection once everything is written."""
        self.flush()
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether the connection is closed, or about to be."""
        return self._transport.is_closing()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
