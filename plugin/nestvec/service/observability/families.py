"""Counters, gauges and histograms that one thread counts: an addition each, without locks and checks.

prometheus_client's own take ten times as long, and a request counts some twenty times.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Final

from prometheus_client.core import Metric
from prometheus_client.utils import floatToGoString

Labels = tuple[object, ...]
"""Values of a family's labels, in the order of their names."""


class CounterFamily:
    """Numbers that only grow, by the values of their labels."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str]) -> None:
        self.name, self._documentation, self._labels = name, documentation, tuple(labels)
        self._values: dict[Labels, float] = {}

    def add(self, labels: Labels, amount: float = 1) -> None:
        """Count ``amount`` more."""
        values = self._values
        values[labels] = values.get(labels, 0) + amount

    def collect(self) -> Metric:
        """The family as it is now."""
        is_tei = self.name.startswith("te_")  # TEI's counters have no suffix
        family = Metric(self.name, self._documentation, "unknown" if is_tei else "counter")
        for labels, value in list(self._values.items()):
            name = self.name if is_tei else f"{self.name}_total"
            family.add_sample(name, _named(self._labels, labels), float(value))
        return family


class GaugeFamily:
    """Numbers as they are now, by the values of their labels."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str]) -> None:
        self.name, self._documentation, self._labels = name, documentation, tuple(labels)
        self._values: dict[Labels, float] = {} if labels else {(): 0}
        self._read: Callable[[], float] | None = None

    def set(self, labels: Labels, value: float) -> None:
        """It is ``value`` now. May be called on any thread."""
        self._values[labels] = value

    def read_from(self, read: Callable[[], float]) -> None:
        """Ask ``read`` for the value of a gauge without labels."""
        self._read = read

    def collect(self) -> Metric:
        """The family as it is now."""
        family = Metric(self.name, self._documentation, "gauge")
        values = list(self._values.items()) if self._read is None else [((), self._read())]
        for labels, value in values:
            family.add_sample(self.name, _named(self._labels, labels), float(value))
        return family


class HistogramFamily:
    """How many observations were up to each bound, and their sum, by the values of their labels."""

    def __init__(
        self, name: str, documentation: str, labels: Sequence[str], *, bounds: Sequence[float]
    ) -> None:
        """``bounds`` in ascending order; infinity follows them."""
        self.name, self._documentation, self._labels = name, documentation, tuple(labels)
        self._bounds: Final = (*map(float, bounds), math.inf)
        self._counts: dict[Labels, list[int]] = {}
        self._sums: dict[Labels, float] = {}

    def observe(self, labels: Labels, value: float) -> None:
        """Record one observation."""
        counts = self._counts.get(labels)
        if counts is None:
            counts = self._counts[labels] = [0] * len(self._bounds)
        counts[bisect_left(self._bounds, value)] += 1
        self._sums[labels] = self._sums.get(labels, 0.0) + value

    def collect(self) -> Metric:
        """The family as it is now."""
        family = Metric(self.name, self._documentation, "histogram")
        for labels, counts in list(self._counts.items()):
            named, total = _named(self._labels, labels), 0
            for bound, count in zip(self._bounds, counts, strict=True):
                total += count
                limit = floatToGoString(bound)  # type: ignore[no-untyped-call]
                family.add_sample(f"{self.name}_bucket", {**named, "le": limit}, total)
            family.add_sample(f"{self.name}_count", named, total)
            family.add_sample(f"{self.name}_sum", named, self._sums[labels])
        return family


Family = CounterFamily | GaugeFamily | HistogramFamily


def _named(names: Sequence[str], values: Labels) -> dict[str, str]:
    return {name: str(value) for name, value in zip(names, values, strict=True)}
