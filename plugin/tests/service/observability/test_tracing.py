from __future__ import annotations

import sys
from typing import Any

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from nestvec.engines.contract import Batch
from nestvec.engines.fake import FakeEngine
from nestvec.engines.headers import current_headers
from nestvec.service import server
from nestvec.service.app import api_paths, create_app
from nestvec.service.embedder import Embedder
from nestvec.service.observability.tracing import Tracing, create_tracer_provider
from nestvec_schemas.errors import EngineError, ServiceError

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


class Calls(FakeEngine):
    """Keeps the headers that a call of its own would carry."""

    sent: tuple[dict[str, str], ...] = ()

    async def run(self, encoder: str, batch: Batch) -> Any:
        self.sent += (current_headers(),)
        return await super().run(encoder, batch)


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def traced(embedder: Embedder, exporter: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch) -> Embedder:
    embedder.engine = Calls({"tiny": 16})
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(server, "create_app", lambda of: create_app(of, Tracing(provider, api_paths())))
    return embedder


def spans(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in exporter.get_finished_spans()}


def test_from_the_request_through_the_batch_to_the_engine(
    traced: Embedder, exporter: InMemorySpanExporter
) -> None:
    engine = traced.engine
    with server.serve_in_thread(traced, server.bind("127.0.0.1", 0)) as service:
        httpx.get(f"{service}/health")
        answer = httpx.post(
            f"{service}/embed", json={"inputs": ["w1", "w2 w3"]}, headers={"traceparent": PARENT}
        )
    assert answer.status_code == 200
    found = spans(exporter)
    assert set(found) == {"POST /embed", "batch", "engine fake"}
    request, batch, call = found["POST /embed"], found["batch"], found["engine fake"]
    assert {format(one.context.trace_id, "032x") for one in found.values()} == {TRACE}
    assert request.parent is not None
    assert format(request.parent.span_id, "016x") == PARENT.split("-")[2]
    assert batch.parent == request.context
    assert call.parent == batch.context
    assert isinstance(engine, Calls)
    assert engine.sent == ({"traceparent": f"00-{TRACE}-{call.context.span_id:016x}-01"},)
    assert dict(request.attributes or {}) == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "nestvec.encoder": "tiny",
        "nestvec.texts": 2,
    }
    assert (batch.attributes or {})["nestvec.texts"] == 2


def test_a_failure_is_told_and_no_text_is(traced: Embedder, exporter: InMemorySpanExporter) -> None:
    traced.engine.failure = EngineError("out", next_step="Wait.")  # type: ignore[attr-defined]
    with server.serve_in_thread(traced, server.bind("127.0.0.1", 0)) as service:
        httpx.post(f"{service}/v1/embeddings", json={"input": "w71 w72"})
        httpx.get(f"{service}/one-of/many?secret=w73")
    told = "".join(span.to_json() for span in exporter.get_finished_spans())
    assert not spans(exporter)["batch"].status.is_ok
    assert not spans(exporter)["POST /v1/embeddings"].status.is_ok
    assert "GET" in spans(exporter)
    assert not any(word in told for word in ("w71", "w72", "w73", "many"))


def test_without_tracing_there_is_nothing_to_send(embedder: Embedder) -> None:
    engine = embedder.engine = Calls({"tiny": 16})
    with server.serve_in_thread(embedder, server.bind("127.0.0.1", 0)) as service:
        httpx.post(f"{service}/embed", json={"inputs": "w1"}, headers={"traceparent": PARENT})
    assert engine.sent == ({},)


def test_where_traces_cannot_go(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ServiceError, match=r"not an http or https URL: collector:4317\. Write it as http"):
        create_tracer_provider("collector:4317")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace.export", None)
    with pytest.raises(ServiceError, match=r"tracing are not installed: .* pip install 'nestvec\[tracing\]'"):
        create_tracer_provider("http://127.0.0.1:4318")


def test_spans_arrive_at_a_collector(httpserver_of_spans: tuple[str, list[str]]) -> None:
    address, received = httpserver_of_spans
    provider = create_tracer_provider(address)
    provider.get_tracer("test").start_span("one").end()
    provider.shutdown()
    assert received == ["/v1/traces"]


@pytest.fixture
def httpserver_of_spans() -> Any:
    import http.server
    import threading

    received: list[str] = []

    class Collector(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            received.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    collector = http.server.HTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{collector.server_port}", received
    collector.shutdown()
    collector.server_close()
