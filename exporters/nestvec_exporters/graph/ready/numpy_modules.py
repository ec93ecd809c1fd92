"""sentence-transformers' modules in numpy, for one text: a second reading, which shares no code with the
nodes that are appended to ready graphs."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from safetensors.numpy import load_file

from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.preprocessing.collate import Array

Vectors = Callable[[Array], Array]

_erf = np.vectorize(math.erf, otypes=[np.float64])


def _softmax(x: Array) -> Array:
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def _elu(x: Array) -> Array:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def _sigmoid(x: Array) -> Array:
    return np.asarray(np.exp(-np.logaddexp(0, -x)))


_ACTIVATIONS: Final[dict[str, Vectors]] = {
    "AlphaDropout": lambda x: x,
    "CELU": _elu,
    "Dropout": lambda x: x,
    "ELU": _elu,
    "GELU": lambda x: x * (1 + _erf(x / math.sqrt(2))) / 2,
    "Hardshrink": lambda x: np.where(np.abs(x) > 0.5, x, 0),
    "Hardsigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "Hardswish": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "Hardtanh": lambda x: np.clip(x, -1, 1),
    "Identity": lambda x: x,
    "LeakyReLU": lambda x: np.where(x > 0, x, x / 100),
    "LogSigmoid": lambda x: -np.logaddexp(0, -x),
    "LogSoftmax": lambda x: x - np.logaddexp.reduce(x, axis=-1, keepdims=True),
    "Mish": lambda x: x * np.tanh(np.logaddexp(0, x)),
    "RReLU": lambda x: np.where(x > 0, x, x * (1 / 8 + 1 / 3) / 2),
    "ReLU": lambda x: np.maximum(x, 0),
    "ReLU6": lambda x: np.clip(x, 0, 6),
    "SELU": lambda x: (
        1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0)))
    ),
    "SiLU": lambda x: x * _sigmoid(x),
    "Sigmoid": _sigmoid,
    "Softmax": _softmax,
    "Softmin": lambda x: _softmax(-x),
    "Softplus": lambda x: np.logaddexp(0, x),
    "Softshrink": lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.5, 0),
    "Softsign": lambda x: x / (1 + np.abs(x)),
    "Tanh": np.tanh,
    "Tanhshrink": lambda x: x - np.tanh(x),
}


def unit(x: Array) -> Array:
    """Vectors at length 1."""
    return np.asarray(x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12))


@dataclass(frozen=True)
class NumpyHead:
    """What follows a transformer, for the token vectors (t, d) of one text."""

    before: tuple[Vectors, ...]
    modes: tuple[str, ...]
    """None of them without Pooling."""

    include_prompt: bool
    after: tuple[Vectors, ...]

    def pooled(self, tokens: Array, prompt: int) -> Array:
        """The text's vector; its first ``prompt`` tokens are its prompt's."""
        tokens = self.tokens(tokens)
        hidden = 0 if self.include_prompt else min(prompt, len(tokens))
        vector = np.concatenate([_pool(tokens, hidden, mode) for mode in self.modes])
        for module in self.after:
            vector = module(vector)
        return vector

    def tokens(self, tokens: Array) -> Array:
        """Its token vectors after the modules before Pooling."""
        tokens = np.asarray(tokens, np.float64)
        for module in self.before:
            tokens = module(tokens)
        return tokens


def read_numpy_head(home: Path, pooling: str | None) -> NumpyHead:
    """The modules of a folder; ``pooling`` replaces its modes. Raises CheckpointUnsupported."""
    path = home / "modules.json"
    rows = json.loads(path.read_text("utf-8")) if path.is_file() else []
    before: list[Vectors] = []
    after: list[Vectors] = []
    modes: tuple[str, ...] = ()
    include_prompt = True
    for row in rows[1:]:
        kind, place = row["type"].split(".")[-1], home / str(row.get("path") or "")
        config = _config(place)
        if kind == "Pooling":
            modes = _modes(config)
            include_prompt = config.get("include_prompt") is not False
        else:
            (after if modes else before).append(_module(kind, place, config))
    if pooling is not None and pooling != "tokens":
        modes = tuple(pooling.split("+"))
    return NumpyHead(tuple(before), modes, include_prompt, tuple(after))


def _config(place: Path) -> dict[str, Any]:
    path = place / "config.json"
    content = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return content if isinstance(content, dict) else {}


def _modes(config: dict[str, Any]) -> tuple[str, ...]:
    mode = config.get("pooling_mode")
    if isinstance(mode, str):
        return (mode,)
    if mode:
        return tuple(mode)
    old = (
        "cls_token",
        "max_tokens",
        "mean_tokens",
        "mean_sqrt_len_tokens",
        "weightedmean_tokens",
        "lasttoken",
    )
    new = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
    on = [name for name, key in zip(new, old, strict=True) if config.get(f"pooling_mode_{key}")]
    return tuple(on) or ("mean",)


def _module(kind: str, place: Path, config: dict[str, Any]) -> Vectors:
    if kind == "Normalize":
        return unit
    if kind == "Dropout":
        return lambda x: x
    if kind == "LayerNorm":
        return _layer_norm(load_file(place / "model.safetensors"))
    if kind == "Dense":
        return _dense(place, config)
    raise CheckpointUnsupported(
        "the checkpoint declares a module that is not verified", value=kind, next_step="Report it."
    )


def _layer_norm(arrays: dict[str, Array]) -> Vectors:
    def apply(x: Array) -> Array:
        mean, variance = x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)
        return np.asarray((x - mean) / np.sqrt(variance + 1e-5) * arrays["norm.weight"] + arrays["norm.bias"])

    return apply


def _dense(place: Path, config: dict[str, Any]) -> Vectors:
    activation = str(config.get("activation_function") or "Tanh").split(".")[-1]
    residual = bool(config.get("use_residual"))
    mapped = residual and config.get("in_features") != config.get("out_features")
    arrays = load_file(place / "model.safetensors")

    def apply(x: Array) -> Array:
        y = np.einsum("...i,oi->...o", x, arrays["linear.weight"].astype(np.float64))
        y = y + arrays.get("linear.bias", 0)
        if activation == "PReLU":
            y = np.where(y > 0, y, y * arrays["activation_function.weight"])
        else:
            y = _ACTIVATIONS[activation](y)
        if mapped:
            return np.asarray(y + np.einsum("...i,oi->...o", x, arrays["residual.weight"]))
        return np.asarray(y + x if residual else y)

    return apply


def _pool(tokens: Array, hidden: int, mode: str) -> Array:
    """One vector of (t, d); pooling omits the first ``hidden`` tokens."""
    shown = tokens[hidden:]
    if mode == "cls":
        return np.asarray(shown[0] if len(shown) else tokens[0])
    if mode == "lasttoken":
        return np.asarray(shown[-1] if len(shown) else np.zeros_like(tokens[-1]))
    if mode == "max":
        return np.asarray(shown.max(axis=0))
    if mode == "mean_sqrt_len_tokens":
        return np.asarray(shown.sum(axis=0) / math.sqrt(len(shown)))
    weights: Sequence[float] = [1.0] * len(shown)
    if mode == "weightedmean":
        weights = [float(place + 1) for place in range(hidden, len(tokens))]
    return np.asarray(np.average(shown, axis=0, weights=weights))
