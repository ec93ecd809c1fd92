"""Metrics of the servers of a remote engine, read from it whenever metrics are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from nestvec.engines.contract import PooledEngine

if TYPE_CHECKING:
    from nestvec.service.embedder import Embedder


class ServerCollector(Collector):
    """Which Triton servers answer, and what they were sent. Without Triton there are no samples."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    def collect(self) -> Iterator[Metric]:
        engine = self._embedder.residency.engine or self._embedder.engine
        pooled = engine if isinstance(engine, PooledEngine) else None
        servers = [] if pooled is None else pooled.servers
        is_up = GaugeMetricFamily(
            "nestvec_triton_up",
            "Whether a Triton gets batches: 1, or 0 while it is down.",
            labels=("address",),
        )
        in_flight = GaugeMetricFamily(
            "nestvec_triton_in_flight", "Batches that a Triton has now.", labels=("address",)
        )
        abandoned = GaugeMetricFamily(
            "nestvec_triton_abandoned",
            "Batches that were given up, and that a Triton still works on.",
            labels=("address",),
        )
        batches = CounterMetricFamily(
            "nestvec_triton_batches",
            "Batches that a Triton ended: success, cancelled (nobody waited for it), or why they failed.",
            labels=("address", "outcome"),
        )
        for server in servers:
            is_up.add_metric([server.address], server.is_up)
            in_flight.add_metric([server.address], server.in_flight)
            abandoned.add_metric([server.address], server.abandoned)
            for outcome, count in sorted({"success": 0, **server.outcomes}.items()):
                batches.add_metric([server.address, outcome], count)
        hedges = CounterMetricFamily(
            "nestvec_triton_hedges",
            "Late batches that were also given to a second Triton, which answered first (won) or not (lost).",
            labels=("outcome",),
        )
        if pooled is not None:
            for outcome in ("won", "lost"):
                hedges.add_metric([outcome], pooled.hedges.get(outcome, 0))
        yield from (is_up, in_flight, abandoned, batches, hedges)
