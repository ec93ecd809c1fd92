"""Shapes that CUDA graphs are captured for, and batches padded to them and cut again."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np

from nestvec_schemas.late_interaction import KEEP_INPUT
from nestvec_schemas.preprocessing.collate import Array
from nestvec_schemas.vectors import Vectors

TOKEN_INPUTS: Final = frozenset({"input_ids", "attention_mask", "token_type_ids", KEEP_INPUT})
"""Graph inputs with a number for each token of each text, (n, t)."""

MAX_PADDED_TOKENS: Final = 4096
"""Of a captured batch. Larger ones keep a GPU busy: starting their kernels one by one costs nothing."""

_BATCHES: Final = (1, 2, 4, 8, 16, 32, 64)
_TOKENS: Final = (16, 32, 64, 128)


@dataclass(frozen=True)
class Rung:
    """A shape that a graph is captured for."""

    batch: int
    tokens: int

    @property
    def graph_id(self) -> str:
        """ONNX Runtime's ``gpu_graph_id`` of it, from 1: it keeps 0 for itself."""
        return str(RUNGS.index(self) + 1)


RUNGS: Final = tuple(
    Rung(batch, tokens) for batch, tokens in product(_BATCHES, _TOKENS) if batch * tokens <= MAX_PADDED_TOKENS
)

NO_GRAPH: Final = "-1"
"""The ``gpu_graph_id`` of a run that captures and replays nothing."""


def can_capture(inputs: Collection[str]) -> bool:
    """Whether batches of a graph with these inputs can be padded to rungs: texts, without exits, which choose
    a branch in each batch."""
    return "input_ids" in inputs and TOKEN_INPUTS.issuperset(inputs)


def rung_of(batch: int, tokens: int) -> Rung | None:
    """The smallest rung that a batch fits in; None for a batch that runs without a graph."""
    fitting = (rung for rung in RUNGS if rung.batch >= batch and rung.tokens >= tokens)
    return min(fitting, key=lambda rung: rung.batch * rung.tokens, default=None)


def pad_to_rung(arrays: Mapping[str, Array], rung: Rung) -> dict[str, Array]:
    """The arrays of a batch, (n, t), as (batch, tokens) of the rung.

    Padded on the right, as in any batch; rows that are left have the last text again, since attention over no
    token at all is not a number.
    """
    return {name: _padded(array, rung) for name, array in arrays.items()}


def _padded(array: Array, rung: Rung) -> Array:
    rows, tokens = array.shape
    padded = np.zeros((rung.batch, rung.tokens), array.dtype)
    padded[:rows, :tokens] = array
    padded[rows:, :tokens] = array[-1]
    return padded


def cut_rows(output: Vectors, batch: int) -> Vectors:
    """The rows of the batch, copied: the output's memory belongs to the next one."""
    return output[:batch].copy()
