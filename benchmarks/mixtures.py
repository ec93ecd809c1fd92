"""Vectors in number: real ones, and mixtures of two real ones with a little noise, turned by a rotation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nestvec_exporters.nesting.rotation import learned

Floats = NDArray[np.float32]

NOISE = 0.05
"""Length of the noise, where that of a vector is 1."""
_BLOCK = 10_000


def unit(rows: Floats) -> Floats:
    lengths: Floats = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / lengths, np.float32)


def rotation(path: Path, vectors: Floats, dim: int) -> Floats:
    """The rotation learned on ``vectors``, kept in a file."""
    if not path.exists():
        print(f"learning a rotation on {len(vectors):,} vectors …", flush=True)
        np.save(path, learned(vectors, dims=(dim,)).astype(np.float32))
    found: Floats = np.load(path)
    return found


def turned(path: Path, known: Floats, turn: Floats, rows: int) -> Floats:
    """``rows`` vectors, rotated, as a file that is mapped: those known, then mixtures."""
    if not path.exists():
        fresh = path.with_suffix(".new.npy")
        made = np.lib.format.open_memmap(fresh, "w+", np.float32, (rows, known.shape[1]))
        for start in range(0, rows, _BLOCK):
            end = min(start + _BLOCK, rows)
            made[start:end] = some(known, start, end) @ turn
        made.flush()
        fresh.replace(path)
    found: Floats = np.load(path, mmap_mode="r")
    return found


def some(known: Floats, start: int, end: int) -> Floats:
    """Rows ``start`` to ``end`` of the whole: the real vectors first, mixtures after them."""
    dice = np.random.default_rng((1, start))
    numbers = np.arange(start, end)
    share = dice.random((len(numbers), 1), np.float32)
    first, second = dice.integers(len(known), size=(2, len(numbers)))
    noise = dice.standard_normal((len(numbers), known.shape[1]), np.float32) * NOISE / known.shape[1] ** 0.5
    mixed = share * known[first] + (1 - share) * known[second] + noise
    own = known[np.minimum(numbers, len(known) - 1)]
    return unit(np.where((numbers < len(known))[:, None], own, mixed).astype(np.float32))
