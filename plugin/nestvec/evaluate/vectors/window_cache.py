"""A cache of arrays of any shape on disk, window by window, so that an interrupted run can resume."""

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
"""Arrays by name, and the seconds that computing them took."""

_SECONDS = "seconds"


def cache_digest(parts: Mapping[str, object]) -> str:
    """A folder name that is unique to these parts: 32 hexadecimal digits of their SHA-256."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def cached_windows(
    folder: Path,
    items: Iterable[T],
    size: int,
    compute: Callable[[Sequence[T]], WindowResult],
    resumed: Callable[[int], None],
) -> list[WindowResult]:
    """The result of ``compute`` for each window of ``size`` items, read from ``folder`` if it is cached.

    ``resumed`` is called with the number of items in each cached window. Raises DatasetUnusable if a result
    cannot be cached, and what ``compute`` raises; finished windows stay in the cache.
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
        # To the type checker, any keyword could be one of savez's own parameters.
        named: dict[str, Array] = {**arrays, _SECONDS: np.array(seconds)}
        with temporary.open("wb") as file:
            np.savez(file, **named)  # type: ignore[arg-type]
        temporary.replace(path)
    except OSError as error:
        raise DatasetUnusable(
            "the result cannot be cached",
            value=f"{path} ({error.strerror or error})",
            next_step="Name a folder with enough space with --cache.",
        ) from error
    finally:
        # If it could not be written, it may not be possible to remove it either; the first error counts.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
