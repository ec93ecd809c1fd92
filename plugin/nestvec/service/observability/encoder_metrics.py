"""Metrics of the encoders in memory, read from the catalog whenever metrics are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from nestvec.service.embedder import Embedder


class EncoderCollector(Collector):
    """Which encoders there are, which of them are in memory, and how often that changed."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    def collect(self) -> Iterator[Metric]:
        yield self._info()
        yield self._cosines()
        yield from self._memory()
        yield from self._changes()

    def _info(self) -> Metric:
        labels = ("encoder", "engine", "provider", "device", "precision", "computed_in")
        family = GaugeMetricFamily(
            "nestvec_encoder_info", "Always 1; the labels tell what runs each encoder.", labels=labels
        )
        for instance in self._embedder.encoders.instances:
            precision, engine = instance.own.manifest.precision, self._embedder.engine_info(instance.name)
            values = [instance.name, engine.name, engine.provider, engine.device]
            family.add_metric([*values, precision, engine.precision or precision], 1)
        return family

    def _cosines(self) -> Metric:
        family = GaugeMetricFamily(
            "nestvec_encoder_precision_cosine",
            "Smallest cosine to fp32 that the engine measured for the precision it computes an encoder in.",
            labels=("encoder",),
        )
        for instance in self._embedder.encoders.instances:
            cosine = self._embedder.engine_info(instance.name).cosine
            if cosine is not None:
                family.add_metric([instance.name], cosine)
        return family

    def _memory(self) -> Iterator[Metric]:
        instances = self._embedder.encoders.instances
        loaded = sum(instance.resident for instance in instances)
        yield GaugeMetricFamily("nestvec_encoders_loaded", "Encoders that are in memory.", value=loaded)
        family = GaugeMetricFamily(
            "nestvec_encoder_bytes",
            "Bytes of an encoder's graphs, 0 while they are not in memory.",
            labels=("encoder",),
        )
        for instance in instances:
            family.add_metric([instance.name], instance.size if instance.resident else 0)
        yield family

    def _changes(self) -> Iterator[Metric]:
        residency = self._embedder.residency
        loads = CounterMetricFamily(
            "nestvec_encoder_loads", "How often an encoder was loaded.", labels=("encoder",)
        )
        for name, count in residency.loads.items():
            loads.add_metric([name], count)
        yield loads
        unloads = CounterMetricFamily(
            "nestvec_encoder_unloads",
            "How often an encoder was unloaded: idle, for memory, or replaced.",
            labels=("encoder", "reason"),
        )
        for (name, reason), count in residency.unloads.items():
            unloads.add_metric([name, reason], count)
        yield unloads
