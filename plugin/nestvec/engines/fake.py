"""A fake engine, whose vectors are computed from the token ids alone."""

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
    """Stands in for a real engine in tests of what is around it."""

    dims: Mapping[str, int]
    """Full dim by encoder."""
    seconds: float = 0.0
    """How long a batch takes."""
    gate: asyncio.Event | None = None
    """Every batch waits until it is set."""
    failure: Exception | None = None
    """Raised instead of returning vectors."""
    batches: list[tuple[str, int, int]] = field(default_factory=list)
    """The encoder, inputs and tokens of each batch that was run."""
    exits: list[int] = field(default_factory=list)
    """The exit of each."""
    parts: list[str] = field(default_factory=list)
    """The part of each."""
    name: str = "fake"
    parallel: int = 1

    async def run(self, encoder: str, batch: Batch) -> Vectors:
        """See the contract."""
        rows = _row_contents(batch)
        self.batches.append((encoder, len(batch), max(len(row) for row in rows)))
        self.exits.append(batch.exit)
        self.parts.append(batch.part)
        await asyncio.sleep(self.seconds)
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return np.stack([fake_vector(row, self.dims[encoder], batch.exit) for row in rows])

    async def ready(self, encoder: str) -> bool:
        """See the contract."""
        return encoder in self.dims and self.failure is None

    async def close(self) -> None:
        """See the contract."""


def _row_contents(batch: Batch) -> list[NDArray[np.int64]]:
    """The content of each row: its ids without padding, or its numbers, flattened."""
    ids, mask = (batch.arrays.get(name) for name in ("input_ids", "attention_mask"))
    if ids is None or mask is None:
        return [row.astype(np.int64).ravel() for row in next(iter(batch.arrays.values()))]
    return [row[row_mask > 0] for row, row_mask in zip(ids, mask, strict=True)]


def fake_vector(ids: NDArray[np.int64], dim: int, exit: int = 0) -> Vectors:
    """The unit vector, (dim,) float32, that the fake engine gives these token ids at an exit."""
    seed = zlib.crc32(np.ascontiguousarray(ids, np.int64).tobytes(), exit)
    vector: Vectors = np.random.default_rng(seed).standard_normal((1, dim), dtype=np.float32)
    return normalise(vector).reshape(dim)
