"""A fake engine: vectors made from the token ids by arithmetic, the same ones every time."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nestvec.engines.contract import Batch
from nestvec_schemas.vectors import Vectors, normalise


@dataclass
class FakeEngine:
    """Stands in for a real engine in tests of what is around it.

    ``dims`` maps encoder to full dim; ``batches`` records each (encoder, texts, tokens) that was run, and
    ``exits`` and ``parts`` the exit and the part of each; ``seconds`` is how long a batch takes; an exception
    in ``failure`` is raised instead of an answer.
    """

    dims: Mapping[str, int]
    seconds: float = 0.0
    failure: Exception | None = None
    batches: list[tuple[str, int, int]] = field(default_factory=list)
    exits: list[int] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    name: str = "fake"
    parallel: int = 1

    async def run(self, encoder: str, batch: Batch) -> Vectors:
        """See the contract."""
        rows = _row_contents(batch)
        self.batches.append((encoder, len(batch), max(len(row) for row in rows)))
        self.exits.append(batch.exit)
        self.parts.append(batch.part)
        await asyncio.sleep(self.seconds)
        if self.failure is not None:
            raise self.failure
        return np.stack([fake_vector(row, self.dims[encoder], batch.exit) for row in rows])

    async def ready(self, encoder: str) -> bool:
        """See the contract."""
        return encoder in self.dims and self.failure is None

    async def close(self) -> None:
        """See the contract."""


def _row_contents(batch: Batch) -> list[NDArray[np.int64]]:
    """What each row holds: its ids without padding, or its numbers in a row."""
    ids, mask = (batch.arrays.get(name) for name in ("input_ids", "attention_mask"))
    if ids is None or mask is None:
        return [row.astype(np.int64).ravel() for row in next(iter(batch.arrays.values()))]
    return [row[row_mask > 0] for row, row_mask in zip(ids, mask, strict=True)]


def fake_vector(ids: NDArray[np.int64], dim: int, exit: int = 0) -> Vectors:
    """The unit vector, (dim,) float32, that the fake engine gives these token ids at an exit."""
    seed = zlib.crc32(np.ascontiguousarray(ids, np.int64).tobytes(), exit)
    vector: Vectors = np.random.default_rng(seed).standard_normal((1, dim), dtype=np.float32)
    return normalise(vector).reshape(dim)
