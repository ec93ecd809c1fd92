"""OpenTelemetry: a span for each request, each batch, and each call of the engine (W3C trace context)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from nestvec.engines.contract import Batch, Engine, StreamingEngine
from nestvec.engines.headers import outgoing_headers
from nestvec.service.middleware.api_keys import PUBLIC_PATHS
from nestvec.service.observability.observer import BatchRun, current_request
from nestvec_schemas.errors import ServiceError
from nestvec_schemas.vectors import Vectors

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_MAX_LINKS = 64
"""Requests that the span of a batch links to."""


def create_tracer_provider(endpoint: str) -> TracerProvider:
    """A provider that sends spans to ``endpoint``, an OTLP/HTTP collector. Raises ServiceError."""
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ServiceError(
            "the address for traces is not an http or https URL",
            value=endpoint,
            next_step="Write it as http://HOST:4318.",
        )
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError as error:
        raise ServiceError(
            "the packages for tracing are not installed",
            value=error.name,
            next_step="Install them: pip install 'nestvec[tracing]', or omit --otlp-endpoint.",
        ) from error
    target = endpoint if parts.path.strip("/") else f"{endpoint.rstrip('/')}/v1/traces"
    provider = TracerProvider(resource=Resource.create({"service.name": "nestvec"}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=target, timeout=5)))
    return provider


class Tracing:
    """The spans of one service, and an observer that learns which requests wait for which encoder.

    A batch serves many requests: its span is the child of the one that has waited longest, and links to the
    others that wait for the encoder while it runs.
    """

    def __init__(self, provider: TracerProvider, paths: Iterable[str]) -> None:
        """``paths`` are the known ones; the span of another path is named after its method alone."""
        from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415
            TraceContextTextMapPropagator,
        )

        self._provider, self._paths = provider, frozenset(paths)
        self.tracer = provider.get_tracer("nestvec")
        self.propagator = TraceContextTextMapPropagator()
        self._waiting: dict[str, dict[int, Span]] = {}

    def span_name(self, method: str, path: str) -> str:
        """The name of a request's span: few distinct names, whatever paths clients use."""
        return f"{method} {path}" if path in self._paths else method

    def waiting_requests(self, encoder: str) -> list[Span]:
        """The spans of the requests that wait for an encoder, oldest first."""
        return list(self._waiting.get(encoder, {}).values())

    def request_ended(self, span: Span) -> None:
        """The request no longer waits."""
        for spans in self._waiting.values():
            spans.pop(id(span), None)

    def texts_requested(self, encoder: str, *, fresh: int, shared: int, remembered: int) -> None:
        """See ``Observer``. Called in the request's own context."""
        from opentelemetry.trace import get_current_span  # noqa: PLC0415

        span = get_current_span()
        if span.is_recording():
            span.add_event("texts", {"fresh": fresh, "shared": shared, "remembered": remembered})
            if fresh or shared:
                self._waiting.setdefault(encoder, {})[id(span)] = span

    def batch_finished(self, run: BatchRun) -> None:
        """See ``Observer``."""

    def queue_changed(self, encoder: str, texts: int) -> None:
        """See ``Observer``."""

    def texts_truncated(self, encoder: str, texts: int) -> None:
        """See ``Observer``."""

    def close(self) -> None:
        """Send the remaining spans."""
        self._provider.shutdown()


class TracedEngine:
    """An engine whose every batch has a span, with the call to the engine as its child."""

    def __init__(self, engine: Engine, tracing: Tracing) -> None:
        self._engine, self._tracing = engine, tracing

    @property
    def name(self) -> str:
        """See the contract."""
        return self._engine.name

    @property
    def parallel(self) -> int:
        """See the contract."""
        return self._engine.parallel

    def streams(self, encoder: str) -> int:
        """See ``StreamingEngine``."""
        return self._engine.streams(encoder) if isinstance(self._engine, StreamingEngine) else 1

    async def run(self, encoder: str, batch: Batch) -> Vectors:
        """See the contract."""
        from opentelemetry.trace import Link, SpanKind, set_span_in_context  # noqa: PLC0415

        waiting = self._tracing.waiting_requests(encoder)
        parent = set_span_in_context(waiting[0]) if waiting else None
        tracer, headers = self._tracing.tracer, dict[str, str]()
        attributes: dict[str, str | int] = {
            "nestvec.encoder": encoder,
            "nestvec.exit": batch.exit,
            "nestvec.texts": len(batch),
            "nestvec.tokens": batch.tokens,
            "nestvec.padded": batch.padded,
        }
        links = [Link(span.get_span_context()) for span in waiting[1:_MAX_LINKS]]
        with (
            tracer.start_as_current_span("batch", context=parent, attributes=attributes, links=links),
            tracer.start_as_current_span(f"engine {self.name}", kind=SpanKind.CLIENT),
        ):
            self._tracing.propagator.inject(headers)
            token = outgoing_headers.set(headers)
            try:
                return await self._engine.run(encoder, batch)
            finally:
                outgoing_headers.reset(token)

    async def ready(self, encoder: str) -> bool:
        """See the contract."""
        return await self._engine.ready(encoder)

    async def close(self) -> None:
        """See the contract."""
        await self._engine.close()


class RequestSpanMiddleware:
    """Gives every request except probes a span, whose parent is the client's ``traceparent``.

    opentelemetry-instrumentation-asgi is not used: it records path, query string and client address without
    an option to omit them, and fails requests whose query string is not UTF-8.
    """

    def __init__(self, app: ASGIApp, tracing: Tracing) -> None:
        self._app, self._tracing = app, tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PUBLIC_PATHS:
            await self._app(scope, receive, send)
            return
        from opentelemetry.trace import SpanKind, Status, StatusCode, format_trace_id  # noqa: PLC0415

        tracing, method = self._tracing, scope["method"]
        carrier = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        with tracing.tracer.start_as_current_span(
            tracing.span_name(method, scope["path"]),
            context=tracing.propagator.extract(carrier),
            kind=SpanKind.SERVER,
            attributes={"http.request.method": method},
        ) as span:
            record = current_request()
            if record is not None:
                record.trace_id = format_trace_id(span.get_span_context().trace_id)

            async def send_and_record(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= 500:
                        span.set_status(Status(StatusCode.ERROR))
                await send(message)

            try:
                await self._app(scope, receive, send_and_record)
            finally:
                tracing.request_ended(span)
                if record is not None:
                    span.set_attributes({"nestvec.encoder": record.encoder, "nestvec.texts": record.texts})
