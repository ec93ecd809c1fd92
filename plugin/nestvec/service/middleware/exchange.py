"""The two directions of a request: its body, read within limits, and its response."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from http import HTTPStatus
from typing import Final

from starlette.types import Message, Receive, Scope, Send

from nestvec.service.batching.deadlines import TaskTimeout
from nestvec.service.batching.turns import Turn
from nestvec.service.bodies.memory import HeldBody
from nestvec.service.middleware.context import BODY_ARRIVED
from nestvec.service.middleware.refusals import RefusalPacer
from nestvec.service.observability.observer import current_request
from nestvec.service.request_context import current_context, set_current_context
from nestvec.service.settings import ServiceSettings
from nestvec_schemas.errors import BodyTooLarge, BodyTooSlow

_SMALL_BODY_BYTES: Final = 32 << 10


class Exchange:
    """Reads a request's body, and sends its response.

    A body that is, or says it is, over ``load.body_bytes`` raises BodyTooLarge as soon as that is known; one
    that takes longer than ``connections.body_seconds``, or until the request's deadline, BodyTooSlow; one
    that ``memory`` has no room for, Overloaded.

    The request has its ``turn`` from the end of its body to its response. ``timeout`` no longer ends it once
    a response starts: how fast that is read is the connection's business.
    """

    __slots__ = (
        "_body_deadline",
        "_bytes_read",
        "_declared",
        "_more",
        "_receive",
        "_scope",
        "_send",
        "_settings",
        "_timeout",
        "context",
        "memory",
        "pacer",
        "started",
        "turn",
    )

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, timeout: TaskTimeout, settings: ServiceSettings
    ) -> None:
        """Of the current request."""
        self._scope, self._receive, self._send, self._timeout = scope, receive, send, timeout
        self._settings = settings
        self.context = current_context()
        self.memory: HeldBody | None = None
        """What counts the bytes of the body."""
        self.turn: Turn | None = None
        self.pacer: RefusalPacer | None = None
        """What spreads the refusals of the client; None for a path that is not refused."""
        self.started = False
        """Whether the response has started."""
        self._more, self._bytes_read = True, 0
        self._declared: int | None = None
        self._body_deadline = 0.0

    def set_client(self, client: str) -> None:
        """Say who sent the request, once it is known better than by the peer's address."""
        self.context = replace(self.context, client=client)
        set_current_context(self.context)

    def record_route(self, path: str) -> None:
        """Record the declared path that answers the request."""
        record = current_request()
        if record is not None:
            record.route = path

    def expect(self, declared: int | None) -> None:
        """Note what the client declares as the size of the body. Raises BodyTooLarge, Overloaded."""
        self._declared = declared
        if declared is not None:
            _check_size(declared, self._settings.load.body_bytes)
            if self.memory is not None:
                self.memory.expect(declared)

    @property
    def may_be_large(self) -> bool:
        """Whether the body is, or may be, more than a few texts."""
        return self._declared is None or self._declared > _SMALL_BODY_BYTES

    async def receive(self) -> Message:
        """The next message of the server. Raises BodyTooLarge, BodyTooSlow, Overloaded, DeadlineExceeded."""
        if not self._more:  # the next message is the disconnect, which has no deadline
            return await self._receive()
        # What has arrived needs no limit of time.
        message = await (self._receive() if BODY_ARRIVED in self._scope else self._receive_in_time())
        arrived = len(message.get("body", b""))
        self._bytes_read += arrived
        self._more = bool(message.get("more_body", False))
        _check_size(self._bytes_read, self._settings.load.body_bytes)
        if self.memory is not None:
            self.memory.arrived(arrived)
        if self.turn is not None and not self._more and message["type"] == "http.request":
            await self.turn.start()
        return message

    async def _receive_in_time(self) -> Message:
        context, max_seconds = self.context, self._settings.connections.body_seconds
        if not self._body_deadline:
            seconds = min(max_seconds, context.remaining)
            self._body_deadline = asyncio.get_running_loop().time() + seconds
        try:
            async with asyncio.timeout_at(self._body_deadline):
                return await self._receive()
        except TimeoutError:
            raise _too_slow(min(max_seconds, context.allowed_seconds), self._bytes_read) from None

    async def send(self, message: Message) -> None:
        """Send a message of the response."""
        if self.turn is not None:
            self.turn.stop()
        if message["type"] == "http.response.start":
            self.started = True
            self._timeout.stop()
            if message["status"] >= HTTPStatus.BAD_REQUEST and self.pacer is not None:
                await self.pacer.wait(self.context.client, self.context.deadline)
        await self._send(message)


def declared_size(headers: Iterable[tuple[bytes, bytes]]) -> int | None:
    """The size of the body by its header; None without one, or if it is not a number."""
    declared = dict(headers).get(b"content-length", b"")[:20]
    return int(declared) if declared.isdigit() else None


def _check_size(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise BodyTooLarge(
            f"the body is larger than {max_bytes} bytes",
            value=size,
            next_step="Send fewer texts in one request.",
        )


def _too_slow(seconds: float, bytes_read: int) -> BodyTooSlow:
    return BodyTooSlow(
        f"the body did not arrive within {seconds:.3g} seconds",
        value=f"{bytes_read} bytes arrived",
        next_step="Send fewer texts in one request, or check the network.",
    )
