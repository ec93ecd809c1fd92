"""Helpers for tests of training: stop after some steps, compare two checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file


def stop_after(steps: int) -> Callable[[], bool]:
    """A callback that stops after this many steps."""
    calls = 0

    def stop() -> bool:
        nonlocal calls
        calls += 1
        return calls >= steps

    return stop


def same(first: Path, second: Path) -> bool:
    """Whether two folders hold the same weights."""
    one, other = _weights(first), _weights(second)
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def _weights(folder: Path) -> dict[str, np.ndarray]:
    return {
        f"{path.relative_to(folder)}/{name}": one
        for path in sorted(folder.rglob("*.safetensors"))
        for name, one in load_file(path).items()
    }
