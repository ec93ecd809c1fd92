"""A bound on how much of a body is read."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nestvec.service.problems import error_response
from nestvec_schemas.errors import BodyTooLarge


class BodyLimit:
    """Answers 413 as soon as a body is, or says it is, larger than ``limit`` bytes."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app, self._limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        claimed = dict(scope["headers"]).get(b"content-length", b"0")
        if claimed.isdigit() and int(claimed) > self._limit:
            await self._refuse(scope, receive, send, int(claimed))
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._limit:
                raise self._error(read)
            return message

        await self._app(scope, counted, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, size: int) -> None:
        await error_response(scope["path"], self._error(size))(scope, receive, send)

    def _error(self, size: int) -> BodyTooLarge:
        return BodyTooLarge(
            f"the body is larger than {self._limit} bytes",
            value=size,
            next_step="Send fewer texts a request.",
        )
