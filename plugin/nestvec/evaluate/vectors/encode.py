"""Encoding to vectors on disk, window by window: larger than memory, and resumable."""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from nestvec.datasets.beir import Side
from nestvec.engines.contract import Batch
from nestvec.service.batching.outputs import OUTPUT_SPECS, check_engine_output
from nestvec.service.preprocess.inputs import ModelInput, collate
from nestvec_schemas.errors import DatasetUnusable, EngineError
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.preprocessing.collate import Array
from nestvec_schemas.vectors import FLOAT_BYTES, Vectors

WINDOW = 512
"""Inputs that are in memory at once, sorted by length into batches; the unit that a run resumes at."""

_MAX_BATCH_TOKENS = 4096
_MAX_BATCH_INPUTS = 64

RunBatch = Callable[[Batch], Vectors]


@dataclass(frozen=True)
class Encoded:
    """Encoded inputs."""

    vectors: Vectors
    """(n, dim) float32."""

    seconds: float
    """The encoder's time, per input."""


@dataclass(frozen=True)
class VectorCache:
    """A folder for the vectors of one set of texts."""

    folder: Path

    texts: int
    """Number of texts."""

    dim: int

    @property
    def vectors(self) -> Path:
        return self.folder / "vectors.f32"

    @property
    def size(self) -> int:
        """Bytes of the vectors."""
        return self.texts * self.dim * FLOAT_BYTES

    @property
    def state(self) -> Path:
        return self.folder / "state.json"


EncodeWindow = Callable[[Sequence[str]], tuple[Vectors, float]]
"""Returns the vectors of a window, and the encoder's seconds."""

VectorSource = Callable[[Side, int], Encoded]
"""The vectors of a dataset's queries or documents at an exit."""


def encode_window(
    rows: Sequence[ModelInput], run: RunBatch, exit: int, part: str, advance: Callable[[int], None]
) -> tuple[Vectors, float]:
    """A window's vectors, (n, dim) float32, from a part of the encoder, and the seconds of ``run``.

    ``advance`` is called with the rows of each batch. Raises EngineError, also for numbers that are not
    finite.
    """
    vectors = np.empty((len(rows), 0), np.float32)
    seconds = 0.0
    for positions, output, batch_seconds in run_batches(rows, run, exit, part, advance):
        if not vectors.shape[1]:
            vectors = np.empty((len(rows), *output.shape[1:]), np.float32)
        vectors[positions] = output
        seconds += batch_seconds
    if not np.isfinite(vectors).all():
        raise EngineError(
            "the encoder returned vectors with numbers that are not finite",
            value=f"{int((~np.isfinite(vectors)).any(axis=1).sum())} of {len(rows)} inputs",
            next_step="Export it again with another precision; fp16 weights overflow in some encoders.",
        )
    return vectors, seconds


def answer_window(
    rows: Sequence[ModelInput], run: RunBatch, manifest: Manifest, part: str, advance: Callable[[int], None]
) -> tuple[list[Array], float]:
    """What an encoder of any kind returns for a window's rows at its deepest exit; otherwise as
    ``encode_window``.

    Raises EngineError, also for an output of the wrong shape for its kind.
    """
    spec = OUTPUT_SPECS[manifest.kind]
    answers: dict[int, Array] = {}
    seconds = 0.0
    for positions, output, batch_seconds in run_batches(rows, run, manifest.depth, part, advance):
        check_engine_output(output, spec, len(positions), manifest.dim)
        answers |= {at: spec.extract(row) for at, row in zip(positions, output, strict=True)}
        seconds += batch_seconds
    return [answers[at] for at in range(len(rows))], seconds


def run_batches(
    rows: Sequence[ModelInput], run: RunBatch, exit: int, part: str, advance: Callable[[int], None]
) -> Iterator[tuple[list[int], Array, float]]:
    """Each batch: the positions of its rows, the encoder's output and its seconds."""
    for positions in _batches([row.length for row in rows]):
        batch = collate([rows[at] for at in positions], exit, part)
        started = time.perf_counter()
        output = run(batch)
        yield positions, output, time.perf_counter() - started
        advance(len(positions))


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Positions of rows of similar length, longest first, within the limits of a batch."""
    batch: list[int] = []
    for at in np.argsort(-np.asarray(lengths), kind="stable").tolist():
        widest = lengths[batch[0]] if batch else 0
        if batch and (len(batch) == _MAX_BATCH_INPUTS or widest * (len(batch) + 1) > _MAX_BATCH_TOKENS):
            yield batch
            batch = []
        batch.append(at)
    if batch:
        yield batch


def encode_cached(
    texts: Iterable[str],
    cache: VectorCache,
    encode: EncodeWindow,
    resumed: Callable[[int], None],
    *,
    run_windows: Callable[[EncodeWindow, Iterator[list[str]]], Iterator[tuple[Vectors, float]]] = map,
) -> Encoded:
    """The vectors of all texts: those in ``cache``, and the missing ones encoded and added to it.

    Raises DatasetUnusable if the number of texts is not that of ``cache``, and what ``encode`` raises;
    finished windows stay in the cache. ``resumed`` is called with the number of texts that were cached.
    ``run_windows`` calls ``encode``, or something like it elsewhere, for each window, in order.
    """
    done, seconds = _read_state(cache)
    if done < cache.texts:
        _create_file(cache)
    resumed(done)
    read = 0
    ranges: deque[tuple[int, int]] = deque()

    def missing() -> Iterator[list[str]]:
        nonlocal read
        for window in _windows(texts):
            start, read = read, read + len(window)
            if read > cache.texts or (len(window) < WINDOW and read < cache.texts):
                return
            if read > done:
                ranges.append((start, read))
                yield window

    for vectors, took in run_windows(encode, missing()) if done < cache.texts else ():
        start, end = ranges.popleft()
        seconds += took
        _write(cache, start, vectors)
        _write_state(cache, end, seconds)
    if done < cache.texts and read != cache.texts:
        raise DatasetUnusable(
            "the corpus changed while it was read",
            value=f"{read} texts instead of {cache.texts}",
            next_step="Run the command again.",
        )
    return Encoded(_open(cache), seconds / cache.texts)


def _windows(texts: Iterable[str]) -> Iterator[list[str]]:
    remaining = iter(texts)
    while window := list(islice(remaining, WINDOW)):
        yield window


def _read_state(cache: VectorCache) -> tuple[int, float]:
    """How many texts are done, and in how many seconds; 0 if the files do not fit."""
    try:
        state = json.loads(cache.state.read_bytes())
        done, seconds = int(state["done"]), float(state["seconds"])
        size = cache.vectors.stat().st_size
    except (OSError, ValueError, KeyError, TypeError):
        return 0, 0.0
    complete_windows = done == cache.texts or done % WINDOW == 0
    usable = 0 <= done <= cache.texts and complete_windows and size == cache.size
    return (done, seconds) if usable else (0, 0.0)


def _create_file(cache: VectorCache) -> None:
    """Create a file of the right size, unless it exists."""
    with _cache_errors(cache):
        cache.folder.mkdir(parents=True, exist_ok=True)
        if not cache.vectors.exists() or cache.vectors.stat().st_size != cache.size:
            with cache.vectors.open("wb") as file:
                file.truncate(cache.size)


@contextmanager
def _cache_errors(cache: VectorCache) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DatasetUnusable(
            "the vectors cannot be cached",
            value=f"{cache.folder} ({error.strerror or error})",
            next_step=f"Name a folder with enough space with --cache: they take {cache.size / 1e6:.1f} MB.",
        ) from error


def _open(cache: VectorCache) -> Vectors:
    return np.memmap(cache.vectors, np.float32, "r", shape=(cache.texts, cache.dim))


def _write(cache: VectorCache, start: int, vectors: Vectors) -> None:
    if vectors.shape[1] != cache.dim:
        raise EngineError(
            "the encoder returned vectors of another length than its manifest declares",
            value=vectors.shape[1],
            next_step="Export it again.",
        )
    # Written, not mapped: on a full disk, a write raises an error, but a mapped page ends the process.
    with _cache_errors(cache), cache.vectors.open("r+b") as file:
        file.seek(start * cache.dim * FLOAT_BYTES)
        file.write(np.ascontiguousarray(vectors, np.float32).data)


def _write_state(cache: VectorCache, done: int, seconds: float) -> None:
    temporary = cache.state.with_suffix(f".{os.getpid()}")
    with _cache_errors(cache):
        temporary.write_text(json.dumps({"done": done, "seconds": seconds}))
        temporary.replace(cache.state)
