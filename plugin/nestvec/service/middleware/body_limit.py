"""Limits on how much of a request's body is read, for how long, and on how much is held of all bodies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nestvec.service.api.error_responses import error_response
from nestvec.service.bodies.memory import BodyMemory
from nestvec.service.request_context import current_context
from nestvec.service.settings import ServiceSettings
from nestvec_schemas.errors import BodyTooLarge, BodyTooSlow, Overloaded


class BodyLimitMiddleware:
    """Answers 413 as soon as a body is, or says it is, over ``max_bytes``; 408 after ``max_seconds``, or at
    the request's deadline; 429 as soon as ``memory`` has no room for it."""

    def __init__(self, app: ASGIApp, settings: Callable[[], ServiceSettings], memory: BodyMemory) -> None:
        """``settings`` tells ``max_bytes``, its ``load.body_bytes``, and ``max_seconds``, its
        ``connections.body_seconds``."""
        self._app, self._settings, self._memory = app, settings, memory

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context, settings = current_context(), self._settings()
        max_bytes, max_seconds = settings.load.body_bytes, settings.connections.body_seconds
        with self._memory.body(context.client) as memory:
            declared = dict(scope["headers"]).get(b"content-length", b"0")[:20]
            try:
                if declared.isdigit():
                    _check_size(int(declared), max_bytes)
                    memory.expect(int(declared))
            except (BodyTooLarge, Overloaded) as error:
                await error_response(scope["path"], error)(scope, receive, send)
                return
            seconds = min(max_seconds, context.remaining)
            body = _BodyReader(receive, asyncio.get_running_loop().time() + seconds)

            async def limited_receive() -> Message:
                arrived = body.bytes_read
                message = await body.next_message()
                if message is None:
                    raise _too_slow(min(max_seconds, context.allowed_seconds), body.bytes_read)
                _check_size(body.bytes_read, max_bytes)
                memory.arrived(body.bytes_read - arrived)
                return message

            await self._app(scope, limited_receive, send)


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


class _BodyReader:
    """Reads one body until its deadline, and counts its bytes."""

    def __init__(self, receive: Receive, deadline: float) -> None:
        self._receive, self._deadline = receive, deadline
        self._more = True
        self.bytes_read = 0

    async def next_message(self) -> Message | None:
        """The next message, None if it does not arrive in time."""
        if not self._more:  # the next message is the disconnect, which has no deadline
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            return None
        self.bytes_read += len(message.get("body", b""))
        self._more = bool(message.get("more_body", False))
        return message
