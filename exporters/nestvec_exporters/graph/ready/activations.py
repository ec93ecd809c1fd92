"""Activations of ``torch.nn`` as ONNX nodes: those that a Dense module can have by its class name alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import sqrt
from typing import Any, Final

from nestvec_exporters.graph.ready.node_builder import NodeBuilder

Nodes = Callable[[NodeBuilder, str], str]

_RRELU_SLOPE: Final = (1 / 8 + 1 / 3) / 2
"""In evaluation, the middle of its random slopes."""


def _simple(operator: str, attributes: Mapping[str, Any] | None = None) -> Nodes:
    return lambda b, x: b.add(operator, [x], attributes)


def _gelu(b: NodeBuilder, x: str) -> str:
    error = b.add("Erf", [b.binary("Div", x, sqrt(2))])
    return b.binary("Mul", b.add("Mul", [x, b.binary("Add", error, 1)]), 0.5)


def _softplus(b: NodeBuilder, x: str) -> str:
    # log(1 + e^x) = max(x, 0) + log(1 + e^-|x|), which cannot overflow.
    decay = b.add("Exp", [b.add("Neg", [b.add("Abs", [x])])])
    return b.add("Add", [b.add("Relu", [x]), b.add("Log", [b.binary("Add", decay, 1)])])


def _clip(b: NodeBuilder, x: str, low: float, high: float) -> str:
    return b.binary("Min", b.binary("Max", x, low), high)


def _hard_sigmoid(b: NodeBuilder, x: str) -> str:
    return b.binary("Div", _clip(b, b.binary("Add", x, 3), 0, 6), 6)


def _log_sigmoid(b: NodeBuilder, x: str) -> str:
    return b.add("Neg", [_softplus(b, b.add("Neg", [x]))])


def _soft_shrink(b: NodeBuilder, x: str) -> str:
    return b.add("Sub", [x, _clip(b, x, -0.5, 0.5)])


def _hard_shrink(b: NodeBuilder, x: str) -> str:
    outside = b.add("Greater", [b.add("Abs", [x]), b.constant(0.5)])
    return b.add("Mul", [x, b.cast(outside)])


def _softmax(b: NodeBuilder, x: str) -> str:
    return b.add("Softmax", [x], {"axis": -1})


ACTIVATIONS: Final[dict[str, Nodes]] = {
    "Identity": lambda b, x: x,
    "Dropout": lambda b, x: x,
    "AlphaDropout": lambda b, x: x,
    "Tanh": _simple("Tanh"),
    "ReLU": _simple("Relu"),
    "Sigmoid": _simple("Sigmoid"),
    "Softsign": _simple("Softsign"),
    "ELU": _simple("Elu", {"alpha": 1.0}),
    "CELU": _simple("Elu", {"alpha": 1.0}),
    "SELU": _simple("Selu", {"alpha": 1.6732632423543772, "gamma": 1.0507009873554805}),
    "LeakyReLU": _simple("LeakyRelu", {"alpha": 0.01}),
    "RReLU": _simple("LeakyRelu", {"alpha": _RRELU_SLOPE}),
    "GELU": _gelu,
    "SiLU": lambda b, x: b.add("Mul", [x, b.add("Sigmoid", [x])]),
    "Mish": lambda b, x: b.add("Mul", [x, b.add("Tanh", [_softplus(b, x)])]),
    "Softplus": _softplus,
    "LogSigmoid": _log_sigmoid,
    "ReLU6": lambda b, x: _clip(b, x, 0, 6),
    "Hardtanh": lambda b, x: _clip(b, x, -1, 1),
    "Hardsigmoid": _hard_sigmoid,
    "Hardswish": lambda b, x: b.add("Mul", [x, _hard_sigmoid(b, x)]),
    "Tanhshrink": lambda b, x: b.add("Sub", [x, b.add("Tanh", [x])]),
    "Softshrink": _soft_shrink,
    "Hardshrink": _hard_shrink,
    "Softmax": _softmax,
    "Softmin": lambda b, x: _softmax(b, b.add("Neg", [x])),
    "LogSoftmax": _simple("LogSoftmax", {"axis": -1}),
}
"""By class name. PReLU, which has a weight, is in ``modules``."""

ACROSS_FEATURES: Final = frozenset({"LogSoftmax", "Softmax", "Softmin"})
"""Those that torch takes along another axis of token vectors than of pooled ones."""
