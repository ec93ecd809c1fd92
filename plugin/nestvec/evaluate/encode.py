"""Inputs to vectors on disk, window by window: more than memory holds, and resumed where it stopped."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from nestvec.engines.contract import Batch
from nestvec.service.answers import READINGS, check
from nestvec.service.rows import Row, assemble
from nestvec_schemas.errors import DatasetUnusable, EngineError
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.rows import Array
from nestvec_schemas.vectors import FLOAT_BYTES, Vectors

WINDOW = 512
"""Inputs that are held at once, sorted by length into batches, and done or not done."""

_BATCH_TOKENS = 4096
_BATCH_INPUTS = 64

Run = Callable[[Batch], Vectors]


@dataclass(frozen=True)
class Encoded:
    """Vectors, (n, dim) float32, and the encoder's own time for them, in seconds a text."""

    vectors: Vectors
    seconds: float


@dataclass(frozen=True)
class Kept:
    """Where vectors are kept: a folder of their own, for ``texts`` texts at ``dim`` dims."""

    folder: Path
    texts: int
    dim: int

    @property
    def vectors(self) -> Path:
        return self.folder / "vectors.f32"

    @property
    def size(self) -> int:
        """Of the vectors, in bytes."""
        return self.texts * self.dim * FLOAT_BYTES

    @property
    def state(self) -> Path:
        return self.folder / "state.json"


def encode_window(
    rows: Sequence[Row], run: Run, exit: int, part: str, advance: Callable[[int], None]
) -> tuple[Vectors, float]:
    """The vectors of a window's rows, (n, dim) float32, by a part of the encoder, and the seconds of ``run``.

    ``advance`` hears of the rows of each batch. Raises EngineError, also for numbers that are not finite.
    """
    vectors = np.empty((len(rows), 0), np.float32)
    seconds = 0.0
    for chosen, found, took in _ran(rows, run, exit, part, advance):
        if not vectors.shape[1]:
            vectors = np.empty((len(rows), *found.shape[1:]), np.float32)
        vectors[chosen] = found
        seconds += took
    if not np.isfinite(vectors).all():
        raise EngineError(
            "the encoder gave vectors with numbers that are not finite",
            value=f"{int((~np.isfinite(vectors)).any(axis=1).sum())} of {len(rows)} inputs",
            next_step="Export it again with another precision; fp16 weights overflow in some encoders.",
        )
    return vectors, seconds


def answer_window(
    rows: Sequence[Row], run: Run, manifest: Manifest, part: str, advance: Callable[[int], None]
) -> tuple[list[Array], float]:
    """What an encoder of any kind answers for a window's rows at its deepest exit; else as ``encode_window``.

    Raises EngineError, also for an answer of another shape than its kind has.
    """
    take = READINGS[manifest.kind].take
    answers: dict[int, Array] = {}
    seconds = 0.0
    for chosen, found, took in _ran(rows, run, manifest.depth, part, advance):
        check(found, manifest.kind, len(chosen), manifest.dim)
        answers |= {at: take(row) for at, row in zip(chosen, found, strict=True)}
        seconds += took
    return [answers[at] for at in range(len(rows))], seconds


def _ran(
    rows: Sequence[Row], run: Run, exit: int, part: str, advance: Callable[[int], None]
) -> Iterator[tuple[list[int], Array, float]]:
    """The rows in batches: which, what the encoder gives for them, and its seconds."""
    for chosen in _batches([row.length for row in rows]):
        batch = assemble([rows[at] for at in chosen], exit, part)
        began = time.perf_counter()
        found = run(batch)
        yield chosen, found, time.perf_counter() - began
        advance(len(chosen))


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Positions of rows of like length, the longest first, within a batch's tokens and rows."""
    batch: list[int] = []
    for at in np.argsort(-np.asarray(lengths), kind="stable").tolist():
        widest = lengths[batch[0]] if batch else 0
        if batch and (len(batch) == _BATCH_INPUTS or widest * (len(batch) + 1) > _BATCH_TOKENS):
            yield batch
            batch = []
        batch.append(at)
    if batch:
        yield batch


def encode_kept(
    texts: Iterable[str],
    kept: Kept,
    encode: Callable[[Sequence[str]], tuple[Vectors, float]],
    resumed: Callable[[int], None],
) -> Encoded:
    """The vectors of all texts, read from ``kept`` as far as they are there and finished otherwise.

    Raises DatasetUnusable when there are not as many texts as ``kept`` is for, and what ``encode`` raises;
    the windows that were finished stay. ``resumed`` hears of the texts that were there.
    """
    done, seconds = _read_state(kept)
    if done < kept.texts:
        _make(kept)
    resumed(done)
    seen = 0
    for window in _windows(texts) if done < kept.texts else ():
        start, seen = seen, seen + len(window)
        if seen > kept.texts or (len(window) < WINDOW and seen < kept.texts):
            break
        if seen <= done:
            continue
        vectors, took = encode(window)
        seconds += took
        _write(kept, start, vectors)
        _write_state(kept, seen, seconds)
    if done < kept.texts and seen != kept.texts:
        raise DatasetUnusable(
            "the corpus changed while it was read",
            value=f"{seen} texts, {kept.texts} before",
            next_step="Run it again.",
        )
    return Encoded(_open(kept), seconds / kept.texts)


def _windows(texts: Iterable[str]) -> Iterator[list[str]]:
    remaining = iter(texts)
    while window := list(islice(remaining, WINDOW)):
        yield window


def _read_state(kept: Kept) -> tuple[int, float]:
    """How many texts are done, and in how many seconds; none where what is there does not fit."""
    try:
        state = json.loads(kept.state.read_bytes())
        done, seconds = int(state["done"]), float(state["seconds"])
        size = kept.vectors.stat().st_size
    except (OSError, ValueError, KeyError, TypeError):
        return 0, 0.0
    whole = done == kept.texts or done % WINDOW == 0
    fits = 0 <= done <= kept.texts and whole and size == kept.size
    return (done, seconds) if fits else (0, 0.0)


def _make(kept: Kept) -> None:
    """An empty file of the right size, unless it is there."""
    with _kept_errors(kept):
        kept.folder.mkdir(parents=True, exist_ok=True)
        if not kept.vectors.exists() or kept.vectors.stat().st_size != kept.size:
            with kept.vectors.open("wb") as file:
                file.truncate(kept.size)


@contextmanager
def _kept_errors(kept: Kept) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DatasetUnusable(
            "the vectors cannot be kept",
            value=f"{kept.folder} ({error.strerror or error})",
            next_step=f"Name a folder with room with --cache: they take {kept.size / 1e6:.1f} MB.",
        ) from error


def _open(kept: Kept) -> Vectors:
    return np.memmap(kept.vectors, np.float32, "r", shape=(kept.texts, kept.dim))


def _write(kept: Kept, start: int, vectors: Vectors) -> None:
    if vectors.shape[1] != kept.dim:
        raise EngineError(
            "the encoder gave vectors of another length than its manifest says",
            value=vectors.shape[1],
            next_step="Export it again.",
        )
    # Written, not mapped: on a full disk a write is an error to be told, a mapped page ends the process.
    with _kept_errors(kept), kept.vectors.open("r+b") as file:
        file.seek(start * kept.dim * FLOAT_BYTES)
        file.write(np.ascontiguousarray(vectors, np.float32).data)


def _write_state(kept: Kept, done: int, seconds: float) -> None:
    beside = kept.state.with_suffix(f".{os.getpid()}")
    with _kept_errors(kept):
        beside.write_text(json.dumps({"done": done, "seconds": seconds}))
        beside.replace(kept.state)
