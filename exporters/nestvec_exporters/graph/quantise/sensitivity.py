"""Which layers stay in float: those whose int8 moves the output most, until it is near enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import onnx

from nestvec_exporters.graph.quantise.qdq import in_float, quantised_layers

Measure = Callable[[onnx.ModelProto], float]
"""The mean cosine of a graph's outputs to those of its source."""

MAX_FLOAT_SHARE: Final = 0.5
"""The share of quantised activations above which int8 is not worth it."""


@dataclass(frozen=True)
class MixedPrecision:
    """A graph in int8 and float."""

    model: onnx.ModelProto

    float_layers: tuple[str, ...]
    """Names of the operators that stay in float, the most sensitive first."""

    reached: bool
    """Whether the graph is near enough to its source."""


def keep_sensitive_layers(
    model: onnx.ModelProto,
    measure: Measure,
    rank: Measure,
    floor: float,
    on_step: Callable[[int, int], None],
) -> MixedPrecision:
    """Take layers back to float until ``measure`` reaches ``floor``.

    Each quantised activation is taken back alone, and ``rank`` says how much nearer that brings the output;
    then the best of them are taken back together, one more at a time (as NNCF's accuracy control does, by the
    output's error instead of a metric).
    """
    if measure(model) >= floor:
        return MixedPrecision(model, (), reached=True)
    layers = quantised_layers(model)
    gains: dict[str, float] = {}
    for done, name in enumerate(layers):
        on_step(done, len(layers))
        gains[name] = rank(in_float(model, {name}))
    order = sorted(layers, key=lambda name: -gains[name])
    most = max(1, int(len(order) * MAX_FLOAT_SHARE))
    for count in range(1, most + 1):
        mixed = in_float(model, order[:count])
        if measure(mixed) >= floor:
            return MixedPrecision(mixed, _names(layers, order[:count]), reached=True)
    return MixedPrecision(mixed, _names(layers, order[:most]), reached=False)


def _names(layers: dict[str, list[str]], quantisers: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for quantiser in quantisers for name in layers[quantiser]))
