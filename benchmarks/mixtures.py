"""Many vectors: real ones, and mixtures of two real ones with a little noise, all rotated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nestvec_exporters.nesting.rotation import learn_rotation

Floats = NDArray[np.float32]

NOISE = 0.05
"""Length of the noise, relative to a vector's."""
_BLOCK = 10_000


def unit(rows: Floats) -> Floats:
    lengths: Floats = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / lengths, np.float32)


def rotation(path: Path, vectors: Floats, dim: int) -> Floats:
    """The rotation learned on ``vectors``, cached in a file."""
    if not path.exists():
        print(f"learning a rotation on {len(vectors):,} vectors …", flush=True)
        np.save(path, learn_rotation(vectors, dims=(dim,)).astype(np.float32))
    rotation_matrix: Floats = np.load(path)
    return rotation_matrix


def rotated_mixtures(path: Path, real: Floats, rotation_matrix: Floats, rows: int) -> Floats:
    """``rows`` rotated vectors as a memory-mapped file: the real ones, then mixtures."""
    if not path.exists():
        fresh = path.with_suffix(".new.npy")
        output = np.lib.format.open_memmap(fresh, "w+", np.float32, (rows, real.shape[1]))
        for start in range(0, rows, _BLOCK):
            end = min(start + _BLOCK, rows)
            output[start:end] = mixture_rows(real, start, end) @ rotation_matrix
        output.flush()
        fresh.replace(path)
    mapped: Floats = np.load(path, mmap_mode="r")
    return mapped


def mixture_rows(real: Floats, start: int, end: int) -> Floats:
    """Rows ``start`` to ``end``: real vectors first, mixtures after them."""
    random = np.random.default_rng((1, start))
    numbers = np.arange(start, end)
    share = random.random((len(numbers), 1), np.float32)
    first, second = random.integers(len(real), size=(2, len(numbers)))
    noise = random.standard_normal((len(numbers), real.shape[1]), np.float32) * NOISE / real.shape[1] ** 0.5
    mixed = share * real[first] + (1 - share) * real[second] + noise
    own = real[np.minimum(numbers, len(real) - 1)]
    return unit(np.where((numbers < len(real))[:, None], own, mixed).astype(np.float32))
