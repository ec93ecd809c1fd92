"""Bounds on how much of a body is read, and for how long."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nestvec.service.api.error_responses import error_response
from nestvec_schemas.errors import BodyTooLarge, BodyTooSlow


class BodyLimitMiddleware:
    """Answers 413 as soon as a body is, or says it is, larger than ``limit`` bytes; 408 past ``seconds``."""

    def __init__(self, app: ASGIApp, limit: int, seconds: float) -> None:
        self._app, self._limit, self._seconds = app, limit, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        claimed = dict(scope["headers"]).get(b"content-length", b"0")
        if claimed.isdigit() and int(claimed) > self._limit:
            await error_response(scope["path"], self._too_large(int(claimed)))(scope, receive, send)
            return
        reading = _BodyReader(receive, asyncio.get_running_loop().time() + self._seconds)

        async def bounded() -> Message:
            message = await reading.next()
            if message is None:
                raise self._too_slow(reading.read)
            if reading.read > self._limit:
                raise self._too_large(reading.read)
            return message

        await self._app(scope, bounded, send)

    def _too_large(self, size: int) -> BodyTooLarge:
        return BodyTooLarge(
            f"the body is larger than {self._limit} bytes",
            value=size,
            next_step="Send fewer texts a request.",
        )

    def _too_slow(self, read: int) -> BodyTooSlow:
        return BodyTooSlow(
            f"the body did not arrive within {self._seconds:g} seconds",
            value=f"{read} bytes came",
            next_step="Send fewer texts a request, or look at the network.",
        )


class _BodyReader:
    """How much of one body has come, and until when the rest may."""

    def __init__(self, receive: Receive, deadline: float) -> None:
        self._receive, self._deadline = receive, deadline
        self._more = True
        self.read = 0

    async def next(self) -> Message | None:
        """The next part; None when it did not come in time."""
        if not self._more:  # what comes now is the client's going away, and may take as long as it likes
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            return None
        self.read += len(message.get("body", b""))
        self._more = bool(message.get("more_body", False))
        return message
