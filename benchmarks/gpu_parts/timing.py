"""How long something takes, and how near vectors are."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

WARM_UP, LEAST_RUNS, MOST_RUNS = 3, 5, 200
ENOUGH_SECONDS = 0.6


def seconds_of(run: Callable[[], object], deadline: float = float("inf")) -> float:
    """The median time of a run, after a warm-up; ``deadline`` is on the monotonic clock."""
    for _ in range(WARM_UP):
        run()
    times: list[float] = []
    while len(times) < MOST_RUNS and (len(times) < LEAST_RUNS or sum(times) < ENOUGH_SECONDS):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
        if time.monotonic() > deadline:
            break
    return statistics.median(times)


def cosines(left: NDArray[np.float32], right: NDArray[np.float32]) -> dict[str, float]:
    """The least and the mean cosine of rows."""
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    values = (left.astype(np.float64) * right).sum(axis=1) / lengths
    return {"cosine_min": round(float(values.min()), 6), "cosine_mean": round(float(values.mean()), 6)}
