"""Prometheus metrics of one service: TEI's names where TEI has one, ``nestvec_`` for the rest.

TEI's dashboards read them unchanged; TEI's counters have no ``_total`` at the end, which the text format
allows and OpenMetrics does not: there they are of unknown type. The names are those of
text-embeddings-inference 1.9 (``router`` and ``core``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from nestvec._version import __version__
from nestvec.service.middleware.connection_gate import ConnectionGate
from nestvec.service.observability.encoder_metrics import EncoderCollector
from nestvec.service.observability.families import (
    CounterFamily,
    Family,
    GaugeFamily,
    HistogramFamily,
)
from nestvec.service.observability.observer import BatchRun, RequestRecord
from nestvec.service.observability.server_metrics import ServerCollector

if TYPE_CHECKING:
    from nestvec.service.embedder import Embedder

_UNTYPED_COUNTER: Final = re.compile(rb"(?m)^(# TYPE te_\w+) untyped$")

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_POWERS = tuple(float(1 << power) for power in range(18))
_OTHER = "other"
_NO_ANSWER = "dropped"

FAILURE_CAUSES = {
    400: "validation",
    401: "unauthorized",
    404: "validation",
    405: "validation",
    408: "timeout",
    413: "validation",
    415: "validation",
    421: "validation",
    422: "validation",
    424: "inference",
    429: "overloaded",
    499: _NO_ANSWER,
    500: "inference",
    503: "unhealthy",
    504: "timeout",
}
"""The ``err`` label of ``te_request_failure`` by status; ``dropped`` if the client disconnected."""


class Metrics:
    """The metrics of one service, an observer of its embedder. Each instance has its own registry."""

    def __init__(self, paths: Iterable[str]) -> None:
        """``paths`` are the known ones; requests to others are counted together."""
        self._paths = frozenset(paths)
        self._families: list[Family] = []
        self._request_metrics()
        self._batch_metrics()
        self._text_metrics()
        self.registry = CollectorRegistry()
        self.registry.register(_FamilyCollector(self._families))
        ProcessCollector(registry=self.registry)

    def _request_metrics(self) -> None:
        labels = ("method", "encoder")
        self._count = self._counter("te_request_count", "Embedding requests: single or batch.", *labels)
        self._success = self._counter("te_request_success", "Embedding requests answered with 200.", *labels)
        self._failure = self._counter(
            "te_request_failure", "Embedding requests that failed, by cause.", "err"
        )
        self._duration = self._histogram(
            "te_request_duration", "Seconds until a response of 200.", _SECONDS, *labels
        )
        self._http = self._counter("nestvec_http_requests", "All requests.", "path", "status")
        self._connections = self._gauge("nestvec_connections", "Open connections.")
        self._unread = self._gauge("nestvec_unread_bytes", "Bytes of responses that clients have not read.")
        self._refused = self._counter(
            "nestvec_connections_refused", "Connections that were refused, by reason.", "reason"
        )

    def _batch_metrics(self) -> None:
        counter, histogram = self._counter, self._histogram
        self._size = histogram("te_batch_next_size", "Texts in a batch.", _POWERS[:13], "encoder")
        self._tokens = histogram("te_batch_next_tokens", "Tokens in a batch.", _POWERS, "encoder")
        self._queue_duration = histogram(
            "te_request_queue_duration", "Seconds that a batch's first text waited.", _SECONDS, "encoder"
        )
        self._inference_duration = histogram(
            "te_request_inference_duration", "Seconds of a batch in the engine.", _SECONDS, "encoder"
        )
        self._queue = self._gauge("te_queue_size", "Texts that wait for the engine.", "encoder")
        self._padding = counter("nestvec_padding_tokens", "Padding tokens that the engine ran.", "encoder")
        self._exits = counter(
            "nestvec_exit_texts",
            "Texts that the engine embedded, by exit (0: the deepest).",
            "encoder",
            "exit",
        )
        self._failed = counter("nestvec_batches_failed", "Batches that failed in the engine.", "encoder")

    def _text_metrics(self) -> None:
        counter = self._counter
        self._requested = counter(
            "te_embed_count", "Texts requested; repeats in one request count once.", "encoder"
        )
        self._embedded = counter("te_embed_success", "Texts that the engine embedded.", "encoder")
        self._texts = counter(
            "nestvec_texts",
            "Texts requested: fresh, in flight for another request (shared), or cached (remembered).",
            "encoder",
            "source",
        )
        self._truncated = counter(
            "nestvec_truncated_texts", "Texts longer than the encoder takes.", "encoder"
        )
        build = self._gauge("nestvec_build_info", "Always 1; the label is the running version.", "version")
        build.set((__version__,), 1)

    def watch_encoders(self, embedder: Embedder) -> None:
        """Show the embedder's encoders, and which of them are in memory."""
        self.registry.register(EncoderCollector(embedder))
        self.registry.register(ServerCollector(embedder))

    def watch_connections(self, gate: ConnectionGate) -> None:
        """Show what the gate of the service's connections counts."""
        self._connections.read_from(lambda: gate.connections)
        self._unread.read_from(lambda: gate.unread_bytes)

    def connection_refused(self, reason: str) -> None:
        """A connection was refused: see ``ConnectionGate``."""
        self._refused.add((reason,))

    def request_ended(self, request: RequestRecord) -> None:
        """A request was answered, or its client disconnected."""
        path = request.route or request.path
        path = path if path in self._paths else _OTHER
        self._http.add((path, request.status or _NO_ANSWER))
        if request.method != "POST" or path == _OTHER:
            return
        labels = ("single" if request.texts == 1 else "batch", request.encoder)
        self._count.add(labels)
        if request.status == 200:
            self._success.add(labels)
            self._duration.observe(labels, request.seconds)
        else:
            err = FAILURE_CAUSES.get(request.status, "validation") if request.status else _NO_ANSWER
            self._failure.add((err,))

    def batch_finished(self, run: BatchRun) -> None:
        """See ``Observer``."""
        encoder = (run.encoder,)
        self._size.observe(encoder, run.texts)
        self._tokens.observe(encoder, run.tokens)
        self._queue_duration.observe(encoder, run.queue_seconds)
        self._inference_duration.observe(encoder, run.inference_seconds)
        self._padding.add(encoder, run.padded - run.tokens)
        if run.failed:
            self._failed.add(encoder)
        else:
            self._embedded.add(encoder, run.texts)
            self._exits.add((run.encoder, run.exit), run.texts)

    def texts_requested(self, encoder: str, *, fresh: int, shared: int, remembered: int) -> None:
        """See ``Observer``."""
        self._requested.add((encoder,), fresh + shared + remembered)
        self._texts.add((encoder, "fresh"), fresh)
        self._texts.add((encoder, "shared"), shared)
        self._texts.add((encoder, "remembered"), remembered)

    def queue_changed(self, encoder: str, texts: int) -> None:
        """See ``Observer``."""
        self._queue.set((encoder,), texts)

    def texts_truncated(self, encoder: str, texts: int) -> None:
        """See ``Observer``."""
        self._truncated.add((encoder,), texts)

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """All of it, and its media type: OpenMetrics 1.0 if ``accept`` (of the request) names it, else
        Prometheus's text format 0.0.4."""
        if "application/openmetrics-text" in accept.lower():
            content: bytes = openmetrics.generate_latest(self.registry)  # type: ignore[no-untyped-call]
            return content, openmetrics.CONTENT_TYPE_LATEST
        text = _UNTYPED_COUNTER.sub(rb"\1 counter", generate_latest(self.registry))
        return text, CONTENT_TYPE_PLAIN_0_0_4

    def _counter(self, name: str, documentation: str, *labels: str) -> CounterFamily:
        family = CounterFamily(name, documentation, labels)
        self._families.append(family)
        return family

    def _gauge(self, name: str, documentation: str, *labels: str) -> GaugeFamily:
        family = GaugeFamily(name, documentation, labels)
        self._families.append(family)
        return family

    def _histogram(
        self, name: str, documentation: str, bounds: Sequence[float], *labels: str
    ) -> HistogramFamily:
        family = HistogramFamily(name, documentation, labels, bounds=bounds)
        self._families.append(family)
        return family


class _FamilyCollector(Collector):
    """The service's own families, for prometheus_client to write."""

    def __init__(self, families: Sequence[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        for family in self._families:
            yield family.collect()
