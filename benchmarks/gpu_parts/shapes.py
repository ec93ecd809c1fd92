"""What is measured: two encoders, batches of several lengths, and what a batch costs in arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[np.int64]]

FIRST, LAST, WORDS = 101, 102, (1000, 20000)
"""Ids of BERT's vocabulary: of the first token, of the last, and between which words are drawn."""


@dataclass(frozen=True)
class Shape:
    """An encoder's size, as of BERT."""

    name: str
    layers: int
    width: int
    heads: int

    def flops(self, tokens: int) -> float:
        """Floating point operations for one token of a text of this length: the matrices, and attention."""
        return float(self.layers * (24 * self.width**2 + 4 * tokens * self.width))


@dataclass(frozen=True)
class BatchShape:
    """Texts of one length."""

    batch: int
    tokens: int

    def __str__(self) -> str:
        return f"{self.batch} x {self.tokens}"

    def arrays(self) -> Arrays:
        """Ids of words drawn at random, and their mask."""
        draw = np.random.default_rng(self.tokens)
        ids = draw.integers(*WORDS, (self.batch, self.tokens))
        ids[:, 0], ids[:, -1] = FIRST, LAST
        return {"input_ids": ids, "attention_mask": np.ones_like(ids)}


MINILM = Shape("minilm", 6, 384, 12)
BERT_BASE = Shape("bert-base", 12, 768, 12)
TINY = Shape("tiny", 2, 64, 4)

BATCHES = (
    BatchShape(1, 32),
    BatchShape(64, 32),
    BatchShape(32, 128),
    BatchShape(64, 128),
    BatchShape(64, 512),
)
SMOKE_BATCHES = (BatchShape(1, 8), BatchShape(4, 16))

TEXTS, SMOKE_TEXTS = BatchShape(64, 128), BatchShape(4, 32)
"""How many real texts, of all lengths up to this one."""
