"""ONNX Runtime's operators for packed sequences in numpy, after its ContribOperators.md: no CPU runs them."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
from onnx.reference.op_run import OpRun

_DOMAIN = "com.microsoft"

Array = np.ndarray[Any, Any]


def _normalised(rows: Array, scale: Array, shift: Array, epsilon: float) -> Array:
    mean = rows.mean(axis=-1, keepdims=True)
    variance = ((rows - mean) ** 2).mean(axis=-1, keepdims=True)
    normal: Array = ((rows - mean) / np.sqrt(variance + epsilon) * scale + shift).astype(rows.dtype)
    return normal


class EmbedLayerNormalization(OpRun):
    op_domain = _DOMAIN

    def _run(self, *inputs: Any, epsilon: float = 1e-12) -> tuple[Array, Array]:
        ids, segments, words, positions, kinds, scale, shift, mask = inputs
        places = np.arange(ids.shape[1])
        rows = words[ids] + positions[places] + kinds[segments]
        return _normalised(rows, scale, shift, epsilon), mask.sum(axis=1).astype(np.int32)


class SkipLayerNormalization(OpRun):
    op_domain = _DOMAIN

    def _run(self, *inputs: Any, epsilon: float = 1e-12) -> tuple[Array]:
        rows, skipped, scale, shift, *bias = inputs
        return (_normalised(rows + skipped + (bias[0] if bias else 0), scale, shift, epsilon),)


class BiasGelu(OpRun):
    op_domain = _DOMAIN

    def _run(self, rows: Array, bias: Array) -> tuple[Array]:
        values = rows + bias
        return ((values * 0.5 * (1 + np.vectorize(math.erf)(values / math.sqrt(2)))).astype(rows.dtype),)


class RemovePadding(OpRun):
    """Rows of all tokens; where each was, then where padding was; where texts begin; the longest length."""

    op_domain = _DOMAIN

    def _run(self, rows: Array, lengths: Array) -> tuple[Array, Array, Array, Array]:
        texts, tokens = rows.shape[:2]
        is_token = (np.arange(tokens) < lengths[:, None]).ravel()
        places = np.arange(texts * tokens)
        offsets = np.concatenate([places[is_token], places[~is_token]]).astype(np.int32)
        begins = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        packed = rows.reshape(texts * tokens, -1)[is_token]
        return packed, offsets.reshape(texts, tokens), begins, np.array([lengths.max()], np.int32)


class RestorePadding(OpRun):
    op_domain = _DOMAIN

    def _run(self, packed: Array, offsets: Array) -> tuple[Array]:
        rows = np.zeros((offsets.size, packed.shape[1]), packed.dtype)
        rows[offsets.ravel()[: len(packed)]] = packed
        return (rows.reshape(*offsets.shape, -1),)


class PackedMultiHeadAttention(OpRun):
    op_domain = _DOMAIN

    def _run(self, *inputs: Any, num_heads: int = 1, **attributes: Any) -> tuple[Array]:
        query, key, value, bias, _, begins = inputs[:6]
        width = query.shape[1]
        own = np.split(bias, [width, 2 * width])
        heads = [
            (part + offset).reshape(len(part), num_heads, -1).transpose(1, 0, 2)
            for part, offset in zip((query, key, value), own, strict=True)
        ]
        texts = []
        for first, end in pairwise(begins):
            queries, keys, values = (part[:, first:end] for part in heads)
            scores = queries @ keys.transpose(0, 2, 1) / math.sqrt(queries.shape[2])
            weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
            mixed = weights / weights.sum(axis=-1, keepdims=True) @ values
            texts.append(mixed.transpose(1, 0, 2).reshape(end - first, width))
        return (np.concatenate(texts).astype(query.dtype),)


class GatherElements(OpRun):
    """In place of onnx's own, which takes as many places from a row as there are rows."""

    op_domain = ""

    def _run(self, rows: Array, places: Array, axis: int = 0) -> tuple[Array]:
        return (np.take_along_axis(rows, places, axis),)


OPERATORS = [
    GatherElements,
    EmbedLayerNormalization,
    SkipLayerNormalization,
    BiasGelu,
    RemovePadding,
    RestorePadding,
    PackedMultiHeadAttention,
]
