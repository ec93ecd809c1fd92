"""Sets the context of every request, answers 504 at its deadline, and refuses no client too often."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nestvec.service.api.error_responses import error_response
from nestvec.service.middleware.api_keys import PUBLIC_PATHS
from nestvec.service.middleware.connection_gate import client_of
from nestvec.service.middleware.refusals import RefusalPacer
from nestvec.service.middleware.starts import RequestStarts
from nestvec.service.request_context import (
    RequestContext,
    current_context,
    deadline_exceeded,
    set_current_context,
)
from nestvec.service.settings import LoadLimits
from nestvec_schemas.errors import BodyInvalid

ARRIVED: Final = "nestvec.arrived"
"""Key of an ASGI scope: the loop's time of the request's first byte, where the server sets it."""

_LONG_PATHS: Final = ("/v1/", "/embeddings")
"""Paths whose clients wait for longer than the 30 s of Milvus: Milvus Lite 60 s, OpenAI's clients 600 s."""

_ADMIN_PATH: Final = "/admin/"
_ADMIN_SECONDS: Final = 600.0
"""For an operator's requests, which have encoders opened."""

_GO_CLIENT: Final = b"Go-http-client/"

_NO_ADDRESS: Final = "unknown"

_GRACE_SECONDS: Final = 0.25
"""How long after the deadline a request is cancelled: until then, what it waits for says better what of it is
missing."""


class RequestContextMiddleware:
    """Sets client, arrival and deadline; a request that is not answered by then is answered 504."""

    def __init__(self, app: ASGIApp, limits: Callable[[], LoadLimits]) -> None:
        self._app, self._limits = app, limits
        self._pacer = RefusalPacer()
        self._starts = RequestStarts()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        arrived = scope.get(ARRIVED) or asyncio.get_running_loop().time()
        client = _client(scope)
        if not self._starts.start_now(client):
            await self._starts.start(client)
        try:
            seconds = allowed_seconds(scope, self._limits())
        except BodyInvalid as error:
            await error_response(scope["path"], error)(scope, receive, send)
            return
        context = RequestContext(client, arrived, arrived + seconds)
        set_current_context(context)
        timeout = asyncio.timeout_at(context.deadline + _GRACE_SECONDS)

        async def send_in_time(message: Message) -> None:
            if message["type"] == "http.response.start":
                timeout.reschedule(None)  # how fast a response is read is the connection's business
                if message["status"] >= HTTPStatus.BAD_REQUEST and scope["path"] not in PUBLIC_PATHS:
                    await self._pacer.wait(current_context().client, context.deadline)
            await send(message)

        try:
            async with timeout:
                await self._app(scope, receive, send_in_time)
        except TimeoutError:
            if not timeout.expired():
                raise
            late = deadline_exceeded(context, "the service worked on it")
            await error_response(scope["path"], late)(scope, receive, send)


def allowed_seconds(scope: Scope, limits: LoadLimits) -> float:
    """The seconds that a request may take: what its query string states, or else follows from who sends it
    where, at most the service's maximum.

    Raises BodyInvalid for a ``deadline`` that is not a number of seconds.
    """
    path, query_string = scope["path"], scope["query_string"]
    if b"deadline=" in query_string:
        values = parse_qs(query_string.decode("latin-1"), keep_blank_values=True).get("deadline", [])
        if values:
            return min(_parse_seconds(values), limits.max_deadline_seconds)
    if path.startswith(_ADMIN_PATH):
        return _ADMIN_SECONDS
    if is_milvus(scope["headers"]):
        return min(limits.milvus_deadline_seconds, limits.max_deadline_seconds)
    if path.startswith(_LONG_PATHS):
        return limits.max_deadline_seconds
    return min(limits.deadline_seconds, limits.max_deadline_seconds)


def is_milvus(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a request looks like one of a Milvus server's functions.

    They are sent by Go's own client with no ``Accept``, or through the ``cohere`` provider with ``bearer`` in
    lower case (Milvus: ``internal/util/function/models``). Go's SDKs of OpenAI and Cohere name themselves, or
    send an ``Accept`` and ``Bearer``; a program that calls the service by Go's bare client looks the same.
    """
    sent = dict(headers)
    if not sent.get(b"user-agent", b"").startswith(_GO_CLIENT):
        return False
    is_cohere = sent.get(b"authorization", b"").startswith(b"bearer ")
    return sent.get(b"content-type") == b"application/json" and (b"accept" not in sent or is_cohere)


def _client(scope: Scope) -> str:
    # Without an address, as on a socket of this machine: one client, with a client's share.
    host, _ = scope.get("client") or (_NO_ADDRESS, 0)
    return client_of(str(host))


def _parse_seconds(values: list[str]) -> float:
    try:
        seconds = float(values[0]) if len(values) == 1 and len(values[0]) < 32 else math.nan
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        raise BodyInvalid(
            "the deadline in the query string is not a number of seconds",
            value=", ".join(values)[:40],
            next_step="State the seconds that the client waits, for example deadline=8.5.",
        )
    return seconds
