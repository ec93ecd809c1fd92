"""The ASGI app: its routes, what is before them, and error responses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import chain
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from nestvec._version import __version__
from nestvec.service.api import (
    admin,
    check,
    cohere,
    embed_all,
    health,
    huggingface,
    openai,
    rerank,
    sparse,
    tei,
    vllm,
)
from nestvec.service.api.error_responses import error_response
from nestvec.service.bodies.memory import BodyMemory
from nestvec.service.bodies.route import BodyRoute
from nestvec.service.embedder import Embedder
from nestvec.service.middleware.allowed_hosts import AllowedHosts
from nestvec.service.middleware.api_keys import ApiKeys
from nestvec.service.middleware.cors import CorsMiddleware
from nestvec.service.middleware.request_pass import (
    STATUS_CLIENT_GONE,
    DirectEndpoint,
    RequestChecks,
    RequestPass,
    Wrapper,
)
from nestvec.service.observability import metrics
from nestvec.service.observability.logs import log_access
from nestvec.service.observability.observer import CompositeObserver
from nestvec.service.observability.tracing import (
    RequestSpanMiddleware,
    TracedEngine,
    Tracing,
    create_tracer_provider,
)
from nestvec.service.openapi_document import describe_security
from nestvec.service.operation.operations import Operations
from nestvec.service.settings import ServiceSettings
from nestvec.service.ui.page import ui_router
from nestvec_schemas.errors import NestvecError

_MEASURE_SECONDS: Final = 2.0
"""How long the start waits for the speed of the encoders, which clients that register ask for."""

_DESCRIPTION: Final = """
Embeddings for Milvus, by the APIs of text-embeddings-inference, OpenAI, Cohere, Voyage AI, Hugging Face and
vLLM. Every vector is nested: `dim` (or `dimensions`) returns only its first numbers, normalised again.
"""

_METRICS_PATH: Final = "/metrics"

_ROUTERS: Final = (
    tei.router,
    sparse.router,
    embed_all.router,
    openai.router,
    cohere.router,
    rerank.router,
    huggingface.router,
    vllm.router,
    check.router,
    health.router,
)


def create_app(embedder: Embedder, tracing: Tracing | None = None) -> FastAPI:
    """The app of one embedder, which it starts and closes together with ``tracing``.

    Without ``tracing``, the embedder's settings decide. Raises ServiceError if the file of API keys is
    invalid, or the packages for tracing are not installed.
    """
    settings = embedder.settings
    if tracing is None and settings.otlp_endpoint is not None:
        tracing = Tracing(create_tracer_provider(settings.otlp_endpoint), api_paths())
    service_metrics = metrics.Metrics(api_paths())
    observers = [embedder.observer, service_metrics]
    if tracing is not None:
        embedder.engine = TracedEngine(embedder.engine, tracing)
        observers.append(tracing)
    embedder.observer = CompositeObserver(observers)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        embedder.start()
        # FastAPI builds the routes when the first request needs them, which would keep all others waiting.
        await asyncio.gather(
            asyncio.to_thread(_build_routes, app), embedder.wait_until_measured(_MEASURE_SECONDS)
        )
        operations.start()
        yield
        await operations.close()
        await embedder.close()
        if tracing is not None:
            tracing.close()

    app = FastAPIOffline(
        title="nestvec",
        version=__version__,
        description=_DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,  # it would redirect to whatever the Host header names
    )
    app.state.embedder, app.state.metrics = embedder, service_metrics
    app.state.readiness = health.Readiness(embedder.engine, embedder.resident_encoders)
    api_keys = None if settings.access.api_keys is None else ApiKeys(settings.access.api_keys)
    operations = app.state.operations = _add_operations(app, embedder, api_keys)
    service_metrics.watch_encoders(embedder)
    _add_routes(app)
    routers = [*_ROUTERS, *([] if settings.access.admin_keys is None else [admin.router])]
    if settings.access.ui:
        routers.append(ui_router())
        app.include_router(routers[-1])
    app.state.routes = [
        route for router in (app.router, *routers) for route in router.routes if isinstance(route, Route)
    ]
    describe_security(app, needs_key=settings.access.api_keys is not None)
    for kind in (NestvecError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _handle_error)
    app.add_exception_handler(ClientDisconnect, _handle_disconnect)
    request_pass = RequestPass(
        _direct_endpoints(), _request_checks(app, operations, api_keys), _wrappers(settings, tracing)
    )
    app.add_middleware(request_pass.before)
    app.state.entry = request_pass.entry(app)
    return app


def _request_checks(app: FastAPI, operations: Operations, api_keys: ApiKeys | None) -> RequestChecks:
    """What every request is checked by, as a reload may change it."""
    embedder: Embedder = app.state.embedder
    settings, service_metrics = embedder.settings, app.state.metrics
    body_memory = BodyMemory(settings.load.bodies.memory_bytes)
    operations.on_settings.append(lambda changed: body_memory.apply(changed.load.bodies.memory_bytes))
    hosts = AllowedHosts(settings.access.allowed_hosts)
    operations.on_settings.append(lambda changed: hosts.apply(changed.access.allowed_hosts))
    return RequestChecks(
        settings=lambda: embedder.settings,
        hosts=hosts,
        keys=api_keys,
        body_memory=body_memory,
        admission=embedder.admission,
        catalog=embedder.encoders,
        listeners=(service_metrics.request_ended, log_access),
    )


def _wrappers(settings: ServiceSettings, tracing: Tracing | None) -> list[Wrapper]:
    """What is around the checks of requests, the inner one first."""
    wrappers: list[Wrapper] = []
    if settings.access.cors_origins:
        # Around the check of keys: a preflight request has none, and a page may read why it was refused.
        wrappers.append(partial(CorsMiddleware, origins=settings.access.cors_origins))
    if tracing is not None:
        wrappers.append(partial(RequestSpanMiddleware, tracing=tracing))
    return wrappers


def _direct_endpoints() -> dict[str, DirectEndpoint]:
    """The endpoints that are called without the app's router, by path."""
    return {
        route.path: route.direct
        for router in _ROUTERS
        for route in router.routes
        if isinstance(route, BodyRoute) and route.direct is not None and "POST" in (route.methods or ())
    }


def api_paths() -> frozenset[str]:
    """The paths that metrics and spans distinguish: those of the APIs and of operation."""
    paths = {
        route.path
        for router in (*_ROUTERS, admin.router)
        for route in router.routes
        if isinstance(route, APIRoute)
    }
    return frozenset(paths | {_METRICS_PATH})


def _add_operations(app: FastAPI, embedder: Embedder, api_keys: ApiKeys | None) -> Operations:
    """What an operator may do, with routes for it if there are admin keys. Raises ServiceError."""
    keys = [] if api_keys is None else [api_keys]
    admin_file = embedder.settings.access.admin_keys
    if admin_file is not None:
        app.state.admin_keys = ApiKeys(admin_file)
        keys.append(app.state.admin_keys)
        app.include_router(admin.router)
    return Operations(embedder, keys)


def _add_routes(app: FastAPI) -> None:
    for router in _ROUTERS:
        app.include_router(router)
    app.add_api_route(
        _METRICS_PATH,
        _metrics,
        methods=["GET"],
        tags=["Operation"],
        summary="Metrics",
        response_class=PlainTextResponse,
    )


def _build_routes(app: FastAPI) -> None:
    scope = {"type": "http", "method": "GET", "path": "/-", "root_path": "", "headers": [], "app": app}
    for route in app.router.routes:
        route.matches(scope)


async def _metrics(request: Request) -> Response:
    """Prometheus metrics. Needs no API key."""
    service_metrics: metrics.Metrics = request.app.state.metrics
    content, media_type = service_metrics.render(request.headers.get("accept", ""))
    return Response(content, headers={"content-type": media_type})


async def _handle_disconnect(request: Request, error: Exception) -> Response:
    """The client is gone: the status, which is nginx's, is only for logs and metrics."""
    return Response(status_code=STATUS_CLIENT_GONE)


async def _handle_error(request: Request, error: Exception) -> Response:
    path: str = request.scope["path"]
    if isinstance(error, HTTPException) and error.status_code in (404, 405) and error.__cause__ is None:
        routes: list[Route] = request.app.state.routes
        methods = [route.methods or () for route in routes if route.path_regex.match(path)]
        allowed = sorted(set(chain.from_iterable(methods)))
        status = 405 if allowed else 404
        error = HTTPException(status, headers={"allow": ", ".join(allowed)})
    return error_response(request.url.path, error)
