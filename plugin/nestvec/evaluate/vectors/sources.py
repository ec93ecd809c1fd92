"""Vectors from the cache or the encoder: dense ones at an exit, or sparse ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from nestvec.datasets.beir import Dataset, Side
from nestvec.evaluate.search.exact import OpenIndex
from nestvec.evaluate.search.postings import SparseVectors
from nestvec.evaluate.variants import EncoderVariant
from nestvec.evaluate.vectors.encode import (
    WINDOW,
    Encoded,
    RunBatch,
    VectorCache,
    VectorSource,
    encode_cached,
)
from nestvec.evaluate.vectors.window_cache import cache_digest, cached_windows
from nestvec.evaluate.vectors.window_work import OpenEncoder, RunWindows, WindowWork, open_lazily, run_here
from nestvec.service.encoders import LoadedEncoder

__all__ = [
    "Backend",
    "OpenEncoder",
    "Progress",
    "SideEncoder",
    "open_lazily",
    "sparse_vectors",
    "vector_source",
]

Progress = Callable[[str, int | None], AbstractContextManager[Callable[[int], None]]]

_CACHE_FORMAT = 2
"""Cached vectors of another format are not used."""


@dataclass(frozen=True)
class Backend:
    """What an evaluation runs on."""

    open_encoder: OpenEncoder
    """Opens an encoder."""

    open_index: OpenIndex
    """Opens an index over documents."""

    cache: Path
    """Folder of the cached vectors."""

    progress: Progress
    """Shows the progress of a job."""

    through: str = "exact"
    """What searches, by the name in result rows."""

    run_windows: RunWindows = run_here
    """Encodes what is not cached."""


@dataclass(frozen=True)
class SideEncoder:
    """An encoder that is measured, and what runs it."""

    encoder: LoadedEncoder
    run: RunBatch


def vector_source(
    dataset: Dataset, variant: EncoderVariant, opened: Mapping[Side, SideEncoder], backend: Backend
) -> VectorSource:
    """A dataset's vectors, from the cache or the side's encoder, with its prompts."""

    def source(side: Side, exit: int) -> Encoded:
        count, own = dataset.count(side), variant.encoding(side)
        exit = variant.encoding_exit(side, exit)
        work = WindowWork(dataset.name, side, dataset.towers[side], own, exit)
        cache = VectorCache(backend.cache / _key(dataset, work), count, own.manifest.dim)
        title = f"Encoding {dataset.name}, {'queries' if side == 'query' else 'documents'}, "
        encoder, run = opened[side].encoder, opened[side].run
        with backend.progress(f"{title}{own.manifest.name}, exit {exit}", count) as advance:
            return encode_cached(
                (work.prompt + text for text in dataset.inputs(side)),
                cache,
                lambda inputs: work.encode(encoder, run, inputs, advance),
                advance,
                run_windows=partial(backend.run_windows, work, advance),
            )

    return source


def sparse_vectors(
    dataset: Dataset,
    variant: EncoderVariant,
    encoder: LoadedEncoder,
    run: RunBatch,
    backend: Backend,
    side: Side,
) -> SparseVectors:
    """The sparse vectors of one side; queries use the encoder's expert for them, if it has one."""
    work = WindowWork(dataset.name, side, "text", variant, variant.manifest.depth)
    folder = backend.cache / _key(dataset, work)
    title = f"Encoding {dataset.name}, {'queries' if side == 'query' else 'documents'}, "
    with backend.progress(f"{title}{variant.manifest.name}", dataset.count(side)) as advance:
        windows = cached_windows(
            folder,
            (work.prompt + values for values in dataset.inputs(side)),
            WINDOW,
            lambda texts: work.encode(encoder, run, texts, advance),
            advance,
            run_windows=partial(backend.run_windows, work, advance),
        )
    weights = [
        values
        for arrays, _ in windows
        for values in np.split(arrays["weights"], np.cumsum(arrays["lengths"])[:-1])
    ]
    return SparseVectors(weights, sum(seconds for _, seconds in windows) / len(weights))


def _key(dataset: Dataset, work: WindowWork) -> str:
    """The name of the cache folder, which changes with everything that changes the vectors.

    It does not depend on the direction: captioned images are documents in one and queries in the other.
    """
    manifest, part = work.variant.manifest, work.part
    parts = {
        "format": _CACHE_FORMAT,
        "window": WINDOW,
        "files": dict(sorted(manifest.files.items())),
        "tower": manifest.tower_of_part(part).model_dump(mode="json"),
        "inputs": dataset.digests[work.side],
        **({"part": part} if manifest.kind == "sparse" or part == manifest.query_expert else {}),
        "prompt": work.prompt,
        "exit": work.exit,
        "dim": manifest.dim,
    }
    return f"{manifest.name}-{work.tower}-{work.exit}-{cache_digest(parts)}"
