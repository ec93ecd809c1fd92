"""The way of every request from the server to its endpoint and back, in one pass.

A stack of middleware costs a lone query more than its endpoint does: each layer wraps both directions again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import Final

from asgi_correlation_id import correlation_id
from fastapi import Request, Response
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nestvec.service.api.error_responses import error_response
from nestvec.service.batching.admission import RequestAdmission
from nestvec.service.batching.deadlines import Deadlines, TaskTimeout
from nestvec.service.batching.turns import ClientTurns, Turn, set_current_turn
from nestvec.service.bodies.memory import BodyMemory
from nestvec.service.catalog.catalog import EncoderCatalog
from nestvec.service.middleware.allowed_hosts import PROBED_PATHS, AllowedHosts
from nestvec.service.middleware.api_keys import PUBLIC_PATHS, ApiKeys
from nestvec.service.middleware.connection_gate import CONNECTION
from nestvec.service.middleware.context import (
    ADMIN_PATH,
    ARRIVED,
    GRACE_SECONDS,
    allowed_seconds,
    client_of_scope,
)
from nestvec.service.middleware.exchange import Exchange, declared_size
from nestvec.service.middleware.lifespan import run_lifespan
from nestvec.service.middleware.refusals import RefusalPacer
from nestvec.service.middleware.request_log import RequestListener, printable_path, request_id_of
from nestvec.service.middleware.starts import RequestStarts
from nestvec.service.observability.observer import RequestRecord, set_current_request
from nestvec.service.request_context import RequestContext, deadline_exceeded, set_current_context
from nestvec.service.settings import ServiceSettings
from nestvec.service.ui.page import UI_PATHS
from nestvec_schemas.errors import BodyInvalid, EngineUnavailable

DirectEndpoint = Callable[[Request], Awaitable[Response]]
"""Answers a request to a path with a body, errors aside, without the app's router."""

Wrapper = Callable[[ASGIApp], ASGIApp]

_KEYLESS_PATHS: Final = frozenset(PUBLIC_PATHS) | UI_PATHS

STATUS_CLIENT_GONE: Final = 499
"""nginx's, for logs and metrics alone."""


@dataclass(frozen=True)
class RequestChecks:
    """What requests are checked by, and who is told of them."""

    settings: Callable[[], ServiceSettings]
    hosts: AllowedHosts
    keys: ApiKeys | None
    """None lets everyone in. Paths of ``/admin`` check keys of their own."""
    body_memory: BodyMemory
    admission: RequestAdmission
    catalog: EncoderCatalog
    listeners: Sequence[RequestListener] = ()
    """Called with the record of each request that is over."""


class RequestPass:
    """Gives every request an id and a record, checks it, and has it answered, errors in its API's format.

    In this order: 421 for a name of the service that is not allowed; a client starts two requests in a turn
    of the event loop; the context, with the deadline, after which the answer is 504; 401 without an accepted
    key; 413 and 429 for the body (see ``Exchange``); 429 for a client that has its share of the requests in
    flight; a turn among the requests of the client; the encoders as they are at the request's first look.

    ``endpoints`` are called for a POST to their path. Everything else is the app's.
    """

    def __init__(
        self,
        endpoints: Mapping[str, DirectEndpoint],
        checks: RequestChecks,
        wrappers: Sequence[Wrapper] = (),
    ) -> None:
        """``wrappers``, the inner one first, are around all that follows the check of the name."""
        self._endpoints, self._checks = endpoints, checks
        self._app: ASGIApp | None = None
        self._pacer, self._starts, self._turns = RefusalPacer(), RequestStarts(), ClientTurns()
        self._deadlines = Deadlines()
        self._work: ASGIApp = self._answer_in_time
        for wrap in wrappers:
            self._work = wrap(self._work)

    def before(self, app: ASGIApp) -> RequestPass:
        """The pass itself, before the routes of ``app``: for Starlette's ``add_middleware``."""
        self._app = app
        return self

    def entry(self, app: ASGIApp) -> ASGIApp:
        """``app`` for a server: the endpoints are called without what ``app`` itself has before the pass.

        What the server cancels, because it ends at once, returns: it would log a traceback of each request.
        """

        async def enter(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan":
                await run_lifespan(app, scope, receive, send)
                return
            target: ASGIApp = app
            if scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in self._endpoints:
                scope["app"], target = app, self
            with suppress(asyncio.CancelledError):
                await target(scope, receive, send)

        return enter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._route(scope, receive, send)
            return
        started = time.perf_counter()
        record = RequestRecord(scope["method"], printable_path(scope["path"]))
        set_current_request(record)
        request_id = request_id_of(scope["headers"])
        correlation_id.set(request_id)

        async def send_recorded(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            if scope["path"] not in PROBED_PATHS:
                self._checks.hosts.check(scope)
            await self._work(scope, receive, send_recorded)
        except asyncio.CancelledError:  # the service ends, and waits for no request
            if not record.status:
                await error_response(scope["path"], _stopping())(scope, receive, send_recorded)
            raise
        except Exception as error:
            if record.status:
                raise
            await error_response(scope["path"], error)(scope, receive, send_recorded)
        finally:
            record.route = record.route or getattr(scope.get("route"), "path", "")
            record.seconds = time.perf_counter() - started
            for listener in self._checks.listeners:
                listener(record)

    async def _answer_in_time(self, scope: Scope, receive: Receive, send: Send) -> None:
        arrived = scope.get(ARRIVED) or asyncio.get_running_loop().time()
        client = client_of_scope(scope)
        if not self._starts.start_now(client):
            await self._starts.start(client)
        path, settings = scope["path"], self._checks.settings()
        try:
            context = RequestContext(client, arrived, arrived + allowed_seconds(scope, settings.load))
        except BodyInvalid as error:
            await error_response(path, error)(scope, receive, send)
            return
        set_current_context(context)
        try:
            with TaskTimeout(self._deadlines, context.deadline + GRACE_SECONDS) as timeout:
                exchange = Exchange(scope, receive, send, timeout, settings)
                if path not in _KEYLESS_PATHS:
                    exchange.pacer = self._pacer
                await self._answer(scope, exchange)
        except TimeoutError:
            if not timeout.expired:
                raise
            late = deadline_exceeded(context, "the service worked on it")
            await error_response(path, late)(scope, receive, send)

    async def _answer(self, scope: Scope, exchange: Exchange) -> None:
        """Answer a request, or say why not. An error after the start of a response is raised."""
        checks, path = self._checks, scope["path"]
        try:
            if checks.keys is not None and path not in _KEYLESS_PATHS and not path.startswith(ADMIN_PATH):
                exchange.set_client(checks.keys.client_of(scope["headers"]))
            client = exchange.context.client
            with checks.body_memory.body(client) as exchange.memory:
                exchange.expect(declared_size(scope["headers"]))
                if path in _KEYLESS_PATHS:
                    await self._call(scope, exchange)
                    return
                with checks.admission.request(client):
                    await self._call_in_turn(scope, exchange)
        except ClientDisconnect:
            await Response(status_code=STATUS_CLIENT_GONE)(scope, exchange.receive, exchange.send)
        except Exception as error:
            if exchange.started:
                raise
            await error_response(path, error)(scope, exchange.receive, exchange.send)

    async def _call_in_turn(self, scope: Scope, exchange: Exchange) -> None:
        client, unread = exchange.context.client, self._checks.admission.unread
        has_body = scope["method"] not in ("GET", "HEAD")
        turn = exchange.turn = Turn(
            self._turns, client, large=has_body and exchange.may_be_large, unread=unread
        )
        set_current_turn(turn)
        connection = scope.get(CONNECTION)
        if connection is not None:
            connection.owner = client
        try:
            if not has_body:
                await turn.start()
            await self._call(scope, exchange)
        finally:
            turn.stop()

    async def _call(self, scope: Scope, exchange: Exchange) -> None:
        path = scope["path"]
        endpoint = self._endpoints.get(path) if scope["method"] == "POST" else None
        # An operator's request sees what it changes.
        with nullcontext() if path.startswith(ADMIN_PATH) else self._checks.catalog.pinned():
            if endpoint is None:
                await self._route(scope, exchange.receive, exchange.send)
                return
            exchange.record_route(path)
            response = await endpoint(Request(scope, exchange.receive))
            await response(scope, exchange.receive, exchange.send)

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._app is None:
            raise RuntimeError("the pass is not before an app")
        await self._app(scope, receive, send)


def _stopping() -> EngineUnavailable:
    return EngineUnavailable(
        "the service is being stopped, and did not finish this request",
        next_step="Send it again, to another replica or once the service is back.",
    )
