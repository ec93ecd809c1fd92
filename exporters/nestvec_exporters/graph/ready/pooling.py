"""Poolings of sentence-transformers as ONNX nodes: token vectors (n, t, d) to one vector each, (n, d).

Sums over tokens are products of matrices: reductions have their axes in another place in each opset.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from nestvec_exporters.checkpoints.prompts import Prefix
from nestvec_exporters.graph.ready.node_builder import NodeBuilder
from nestvec_schemas.towers import COUNT_ALL

POOLINGS: Final = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
"""In the order in which sentence-transformers concatenates those that older versions declare."""

_EPSILON: Final = 1e-9
_LOWEST: Final = float(np.finfo(np.float32).min)


@dataclass(frozen=True)
class TokenTensors:
    """Names of tensors, float32."""

    tokens: str
    """Token vectors, (n, t, d)."""

    mask: str
    """1 at tokens, 0 at padding on their right, (n, t)."""

    visible: str
    """0 as well at the tokens of a prompt that pooling omits, (n, t)."""

    hides_prompts: bool
    """Whether that differs from ``mask``."""


def pool(b: NodeBuilder, tensors: TokenTensors, modes: Sequence[str]) -> str:
    """Append one or several poolings, concatenated."""
    pooled = [_pool_one(b, tensors, mode) for mode in modes]
    return pooled[0] if len(pooled) == 1 else b.add("Concat", pooled, {"axis": -1})


def visible_mask(b: NodeBuilder, ids: str, counts: str, prefixes: Sequence[Prefix]) -> str:
    """Append the mask that is 0 at the tokens of a prompt as well, (n, t) float32.

    ``ids`` is (n, t) int64. A row has a prompt where it starts with its ids; of several it is the longest.
    ``counts`` is the mask, (n, t) float32: a row of COUNT_ALL has no prompt, whatever it starts with.
    """
    mask = b.binary("Min", counts, 1)
    ordered = sorted(prefixes, key=lambda prefix: len(prefix.ids))
    width = max(len(prefix.ids) for prefix in ordered)
    # No id is -1: neither padding nor what is beyond a short row matches.
    attended = b.cast(mask, 7)
    unpadded = b.add(
        "Add", [b.add("Mul", [ids, attended]), b.add("Sub", [attended, b.constant(1, np.int64)])]
    )
    pads, filler = b.constant([0, 0, 0, width], np.int64), b.constant(-1, np.int64)
    row = b.add("Pad", [unpadded, pads, filler])
    hidden = b.binary("Mul", b.reshape(_total(b, mask), [0, 1]), 0)
    for prefix in ordered:
        size = len(prefix.ids)
        places = [b.constant([value], np.int64) for value in (0, size, 1)]
        start = b.add("Slice", [row, *places])
        same = b.cast(b.add("Equal", [start, b.constant([prefix.ids], np.int64)]))
        count = b.add("MatMul", [same, b.constant(np.ones((size, 1)))])
        matches = b.add("Relu", [b.binary("Sub", count, size - 1)])
        change = b.add("Mul", [matches, b.add("Sub", [b.constant(prefix.hidden), hidden])])
        hidden = b.add("Add", [hidden, change])
    first = [b.constant([value], np.int64) for value in (0, 1, 1)]
    prompted = b.add("Sub", [b.constant(float(COUNT_ALL)), b.add("Slice", [counts, *first])])
    hidden = b.add("Mul", [hidden, b.binary("Min", prompted, 1)])
    later = b.add("Relu", [b.add("Sub", [_positions(b, mask), hidden])])
    return b.add("Mul", [mask, b.binary("Min", later, 1)])


def _pool_one(b: NodeBuilder, tensors: TokenTensors, mode: str) -> str:
    visible = tensors.visible
    if mode == "cls" and not tensors.hides_prompts:
        return b.add("Gather", [tensors.tokens, b.constant(0, np.int64)], {"axis": 1})
    if mode == "max":
        hiding = b.binary("Mul", b.binary("Sub", b.reshape(visible, [0, -1, 1]), 1), -_LOWEST)
        return b.reduce("ReduceMax", b.add("Add", [tensors.tokens, hiding]), 1)
    if mode == "cls":
        return _weighted_sum(b, tensors.tokens, _first_visible(b, tensors))
    if mode == "lasttoken":
        at_end = _is_zero(b, b.add("Sub", [_positions(b, tensors.mask), _total(b, tensors.mask)]))
        return _weighted_sum(b, tensors.tokens, b.add("Mul", [at_end, visible]))
    weights = visible
    if mode == "weightedmean":
        weights = b.add("Mul", [visible, _positions(b, tensors.mask)])
    count = b.binary("Max", _total(b, weights), _EPSILON)
    divisor = b.add("Sqrt", [count]) if mode == "mean_sqrt_len_tokens" else count
    return b.add("Div", [_weighted_sum(b, tensors.tokens, weights), divisor])


def _first_visible(b: NodeBuilder, tensors: TokenTensors) -> str:
    """1 at the first visible token, or at the first of all where none is, (n, t)."""
    order = b.add("CumSum", [tensors.visible, b.constant(1, np.int64)])
    first = b.add("Mul", [tensors.visible, _is_zero(b, b.binary("Sub", order, 1))])
    none = b.add("Sub", [b.constant(1.0), b.binary("Min", _total(b, tensors.visible), 1)])
    start = _is_zero(b, b.binary("Sub", _positions(b, tensors.mask), 1))
    return b.add("Add", [first, b.add("Mul", [none, start])])


def _is_zero(b: NodeBuilder, number: str) -> str:
    """1 where a whole number is 0, else 0."""
    return b.add("Relu", [b.add("Sub", [b.constant(1.0), b.add("Abs", [number])])])


def _positions(b: NodeBuilder, mask: str) -> str:
    """1, 2, 3 … of every row's places, (n, t)."""
    return b.add("CumSum", [_ones(b, mask), b.constant(1, np.int64)])


def _ones(b: NodeBuilder, mask: str) -> str:
    return b.binary("Add", b.binary("Mul", mask, 0), 1)


def _total(b: NodeBuilder, weights: str) -> str:
    """The sum of each row, (n, 1)."""
    across, down = b.reshape(weights, [0, 1, -1]), b.reshape(_ones(b, weights), [0, -1, 1])
    return b.reshape(b.add("MatMul", [across, down]), [0, -1])


def _weighted_sum(b: NodeBuilder, tokens: str, weights: str) -> str:
    return b.reshape(b.add("MatMul", [b.reshape(weights, [0, 1, -1]), tokens]), [0, -1])
