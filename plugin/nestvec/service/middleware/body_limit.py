"""Limits on how much of a request's body is read, and for how long."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nestvec.service.api.error_responses import error_response
from nestvec_schemas.errors import BodyTooLarge, BodyTooSlow


class BodyLimitMiddleware:
    """Answers 413 as soon as a body is, or says it is, over ``max_bytes``; 408 after ``max_seconds``."""

    def __init__(self, app: ASGIApp, max_bytes: int, max_seconds: float) -> None:
        self._app, self._max_bytes, self._max_seconds = app, max_bytes, max_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self._max_bytes:
            await error_response(scope["path"], self._too_large(int(declared)))(scope, receive, send)
            return
        body = _BodyReader(receive, asyncio.get_running_loop().time() + self._max_seconds)

        async def limited_receive() -> Message:
            message = await body.next_message()
            if message is None:
                raise self._too_slow(body.bytes_read)
            if body.bytes_read > self._max_bytes:
                raise self._too_large(body.bytes_read)
            return message

        await self._app(scope, limited_receive, send)

    def _too_large(self, size: int) -> BodyTooLarge:
        return BodyTooLarge(
            f"the body is larger than {self._max_bytes} bytes",
            value=size,
            next_step="Send fewer texts in one request.",
        )

    def _too_slow(self, bytes_read: int) -> BodyTooSlow:
        return BodyTooSlow(
            f"the body did not arrive within {self._max_seconds:g} seconds",
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
