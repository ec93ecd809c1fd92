"""The ASGI app: faces, error answers, what is asked of every request, docs that need no network."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from nestvec._version import __version__
from nestvec.service.api import check, cohere, embed_all, openai, rerank, sparse, tei
from nestvec.service.api import health as readiness
from nestvec.service.api.error_responses import error_response
from nestvec.service.embedder import Embedder
from nestvec.service.middleware.api_keys import ApiKeyMiddleware, ApiKeys
from nestvec.service.middleware.body_limit import BodyLimitMiddleware
from nestvec.service.middleware.request_log import CompositeObserver, RequestLogMiddleware
from nestvec.service.observability import metrics
from nestvec.service.observability.logs import log_access
from nestvec.service.observability.tracing import (
    RequestSpanMiddleware,
    TracedEngine,
    Tracing,
    create_tracer_provider,
)
from nestvec_schemas.errors import NestvecError

_DESCRIPTION = """
Embeddings for Milvus, in the shapes of text-embeddings-inference, OpenAI and Cohere. Every vector is
nested: `dim` (or `dimensions`) asks for its first so many numbers, normalised again.
"""

_ROUTERS = (
    tei.router,
    sparse.router,
    embed_all.router,
    openai.router,
    cohere.router,
    rerank.router,
    check.router,
)


def create_app(embedder: Embedder, tracing: Tracing | None = None) -> FastAPI:
    """The app of one embedder, which it starts and closes, as it does ``tracing``.

    Without ``tracing`` the embedder's settings say whether there is any. Raises ServiceError when its
    file of API keys is wrong, or the packages for tracing are missing.
    """
    settings = embedder.settings
    if tracing is None and settings.otlp is not None:
        tracing = Tracing(create_tracer_provider(settings.otlp), api_paths())
    counted = metrics.Metrics(api_paths())
    observers = [embedder.observer, counted]
    if tracing is not None:
        embedder.engine = TracedEngine(embedder.engine, tracing)
        observers.append(tracing)
    embedder.observer = CompositeObserver(observers)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        embedder.start()
        yield
        await embedder.close()
        if tracing is not None:
            tracing.close()

    app = FastAPIOffline(title="nestvec", version=__version__, description=_DESCRIPTION, lifespan=lifespan)
    app.state.embedder, app.state.metrics = embedder, counted
    app.state.readiness = readiness.Readiness(embedder.engine, embedder.encoders)
    _add_routes(app)
    for kind in (NestvecError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _handle_error)
    app.add_exception_handler(ClientDisconnect, _handle_disconnect)
    # The last one added is the first to see a request.
    app.add_middleware(BodyLimitMiddleware, limit=settings.max_body, seconds=settings.limits.body_seconds)
    if settings.guard.api_keys is not None:
        app.add_middleware(ApiKeyMiddleware, keys=ApiKeys(settings.guard.api_keys))
    if tracing is not None:
        app.add_middleware(RequestSpanMiddleware, tracing=tracing)
    app.add_middleware(RequestLogMiddleware, ended=(counted.request_ended, log_access))
    return app


def api_paths() -> frozenset[str]:
    """The paths that metrics and spans tell apart: those of the faces, ``/health`` and ``/metrics``."""
    faces = {route.path for face in _ROUTERS for route in face.routes if isinstance(route, APIRoute)}
    return frozenset(faces | {"/health", "/metrics"})


def _add_routes(app: FastAPI) -> None:
    app.add_api_route(
        "/health",
        readiness.health,
        methods=["GET", "HEAD"],
        include_in_schema=False,
    )
    app.add_api_route("/metrics", _metrics, methods=["GET"], include_in_schema=False)
    for face in _ROUTERS:
        app.include_router(face)


async def _metrics(request: Request) -> Response:
    counted: metrics.Metrics = request.app.state.metrics
    return Response(counted.render(), media_type=metrics.MEDIA_TYPE)


async def _handle_disconnect(request: Request, error: Exception) -> Response:
    """Nobody reads it; the status is nginx's, for logs and metrics."""
    return Response(status_code=499)


async def _handle_error(request: Request, error: Exception) -> Response:
    return error_response(request.url.path, error)
