"""Admits requests: a place among those in flight, and a turn among those of the same client."""

from __future__ import annotations

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nestvec.service.api.error_responses import error_response
from nestvec.service.batching.admission import RequestAdmission
from nestvec.service.batching.turns import ClientTurns, Turn, set_current_turn
from nestvec.service.middleware.api_keys import PUBLIC_PATHS
from nestvec.service.middleware.connection_gate import CONNECTION
from nestvec.service.request_context import current_context
from nestvec_schemas.errors import Overloaded

_SMALL_BODY_BYTES: Final = 32 << 10


class AdmissionMiddleware:
    """Answers 429 to a client that has its share of the requests in flight; works on a few of each at once.

    A request has its turn from the end of its body, or from the start without one, to its response, but for
    the time that it waits for the engine. It has none while the client leaves too much unread. The public
    paths are always answered.
    """

    def __init__(self, app: ASGIApp, admission: RequestAdmission) -> None:
        self._app, self._admission = app, admission
        self._turns = ClientTurns()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PUBLIC_PATHS:
            await self._app(scope, receive, send)
            return
        try:
            with self._admission.request(current_context().client):
                await self._work(scope, receive, send)
        except Overloaded as error:
            await error_response(scope["path"], error)(scope, receive, send)

    async def _work(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = current_context().client
        turn = Turn(self._turns, client, large=_is_large(scope), unread=self._admission.unread)
        set_current_turn(turn)
        connection = scope.get(CONNECTION)
        if connection is not None:
            connection.owner = client

        async def receive_in_turn() -> Message:
            message = await receive()
            if message["type"] == "http.request" and not message.get("more_body", False):
                await turn.start()
            return message

        async def send_after_turn(message: Message) -> None:
            turn.stop()
            await send(message)

        try:
            if scope["method"] in ("GET", "HEAD"):
                await turn.start()
            await self._app(scope, receive_in_turn, send_after_turn)
        finally:
            turn.stop()


def _is_large(scope: Scope) -> bool:
    """Whether the body is, or may be, more than a few texts."""
    if scope["method"] in ("GET", "HEAD"):
        return False
    length = dict(scope["headers"]).get(b"content-length", b"")
    return not length.isdigit() or int(length) > _SMALL_BODY_BYTES
