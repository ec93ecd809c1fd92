from __future__ import annotations

import math
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from nestvec.service.observability.families import CounterFamily, Family, GaugeFamily, HistogramFamily

BOUNDS = (0.5, 1.0, 2.0)
VALUES = (0.0, 0.5, 0.7, 1.0, 1.5, 2.0, 2.1, 1e9, math.inf)


class Collected(Collector):
    def __init__(self, *families: Family) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        for family in self._families:
            yield family.collect()


def written(*families: Family) -> list[str]:
    registry = CollectorRegistry()
    registry.register(Collected(*families))
    return generate_latest(registry).decode().splitlines()


def test_the_library_writes_the_same() -> None:
    registry = CollectorRegistry()
    counter = Counter("nestvec_texts", "Texts.", ("encoder", "source"), registry=registry)
    gauge = Gauge("nestvec_queue", "Queue.", ("encoder",), registry=registry)
    histogram = Histogram("nestvec_seconds", "Seconds.", ("encoder",), buckets=BOUNDS, registry=registry)
    own = (
        CounterFamily("nestvec_texts", "Texts.", ("encoder", "source")),
        GaugeFamily("nestvec_queue", "Queue.", ("encoder",)),
        HistogramFamily("nestvec_seconds", "Seconds.", ("encoder",), bounds=BOUNDS),
    )
    for encoder in ("a", 'b"\n'):
        counter.labels(encoder, "fresh").inc(3)
        own[0].add((encoder, "fresh"), 3)
        counter.labels(encoder, "fresh").inc()
        own[0].add((encoder, "fresh"))
        gauge.labels(encoder).set(7)
        own[1].set((encoder,), 7)
        for value in VALUES:
            histogram.labels(encoder).observe(value)
            own[2].observe((encoder,), value)
    library = [line for line in generate_latest(registry).decode().splitlines() if "_created" not in line]
    assert written(*own) == library


def test_counters_of_tei_have_no_suffix() -> None:
    family = CounterFamily("te_embed_count", "Texts.", ())
    family.add((), 2)
    assert written(family)[-1] == "te_embed_count 2.0"


def test_a_gauge_may_be_read_when_it_is_written() -> None:
    family = GaugeFamily("nestvec_connections", "Connections.", ())
    assert written(family)[-1] == "nestvec_connections 0.0"
    family.read_from(lambda: 5)
    assert written(family)[-1] == "nestvec_connections 5.0"
