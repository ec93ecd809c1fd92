"""A cache of arrays of any shape on disk, window by window, so that an interrupted run can resume."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import count, islice
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
    *,
    run_windows: Callable[
        [Callable[[Sequence[T]], WindowResult], Iterator[list[T]]], Iterator[WindowResult]
    ] = map,
) -> list[WindowResult]:
    """The result of ``compute`` for each window of ``size`` items, read from ``folder`` if it is cached.

    ``resumed`` is called with the number of items in each cached window. Raises DatasetUnusable if a result
    cannot be cached, and what ``compute`` raises; finished windows stay in the cache. ``run_windows`` calls
    ``compute``, or something like it elsewhere, for each window that is not cached, in order.
    """
    results: dict[int, WindowResult] = {}
    waiting: deque[int] = deque()

    def missing() -> Iterator[list[T]]:
        remaining = iter(items)
        for number in count():
            window = list(islice(remaining, size))
            if not window:
                return
            result = _read(_path(folder, number))
            if result is None:
                waiting.append(number)
                yield window
            else:
                results[number] = result
                resumed(len(window))

    for result in run_windows(compute, missing()):
        number = waiting.popleft()
        _write(_path(folder, number), result)
        results[number] = result
    return [results[number] for number in range(len(results))]


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number:06}.npz"


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
