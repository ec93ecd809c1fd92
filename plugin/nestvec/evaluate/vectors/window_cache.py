"""Arrays of any shape on disk, window by window: what was made stays if a run is interrupted."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np

from nestvec_schemas.errors import DatasetUnusable
from nestvec_schemas.preprocessing.collate import Array

T = TypeVar("T")

WindowResult = tuple[Mapping[str, Array], float]
"""Arrays by name, and the seconds that they took."""

_SECONDS = "seconds"


def cache_digest(parts: Mapping[str, object]) -> str:
    """What names a folder for these parts alone: 32 hexadecimal digits of their SHA-256."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def cached_windows(
    folder: Path,
    items: Iterable[T],
    size: int,
    compute: Callable[[Sequence[T]], WindowResult],
    resumed: Callable[[int], None],
) -> list[WindowResult]:
    """What ``make`` gives for each window of ``size`` items, read from ``folder`` where it is there.

    ``resumed`` hears of the items whose windows were. Raises DatasetUnusable where they cannot be kept, and
    what ``make`` raises; the windows that were finished stay.
    """
    results: list[WindowResult] = []
    remaining = iter(items)
    while window := list(islice(remaining, size)):
        path = folder / f"{len(results):06}.npz"
        result = _read(path)
        if result is None:
            result = compute(window)
            _write(path, result)
        else:
            resumed(len(window))
        results.append(result)
    return results


def _read(path: Path) -> WindowResult | None:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        return arrays, float(arrays.pop(_SECONDS))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _write(path: Path, result: WindowResult) -> None:
    arrays, seconds = result
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.npz")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A type checker takes any name for savez's own.
        named: dict[str, Array] = {**arrays, _SECONDS: np.array(seconds)}
        with temporary.open("wb") as file:
            np.savez(file, **named)  # type: ignore[arg-type]
        temporary.replace(path)
    except OSError as error:
        raise DatasetUnusable(
            "what was computed cannot be kept",
            value=f"{path} ({error.strerror or error})",
            next_step="Name a folder with room with --cache.",
        ) from error
    finally:
        # Where it could not be written it may be that it cannot be removed; the first error is told.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
