"""Vectors from the cache or the encoder: dense ones at an exit, or sparse ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nestvec.datasets.beir import PAIRS, Dataset, Side
from nestvec.engines.contract import Batch
from nestvec.evaluate.search.exact import OpenIndex
from nestvec.evaluate.search.postings import SparseVectors
from nestvec.evaluate.variants import EncoderVariant
from nestvec.evaluate.vectors.encode import (
    WINDOW,
    Encoded,
    RunBatch,
    VectorCache,
    VectorSource,
    answer_window,
    encode_cached,
    encode_window,
)
from nestvec.evaluate.vectors.window_cache import WindowResult, cache_digest, cached_windows
from nestvec.images import ImagePolicy
from nestvec.service.batching.outputs import SPARSE_DTYPE
from nestvec.service.encoders import LoadedEncoder
from nestvec.service.preprocess.inputs import ModelInput as Input
from nestvec.service.preprocess.prepare import prepare_inputs
from nestvec.service.preprocess.truncation import Truncation
from nestvec_schemas.errors import DatasetUnusable, NestvecError
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.packed_outputs import EXTRA_COLUMNS
from nestvec_schemas.towers import Modality
from nestvec_schemas.vectors import Vectors

Progress = Callable[[str, int | None], AbstractContextManager[Callable[[int], None]]]
OpenEncoder = Callable[[EncoderVariant], RunBatch]

_LOCAL_FILES = ImagePolicy(schemes=frozenset({"file"}), roots=(Path("/"),))
"""Evaluation runs with the rights of its user, and may read any local image."""

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


def open_lazily(open_encoder: OpenEncoder, variant: EncoderVariant) -> RunBatch:
    """The encoder, opened with the first batch: cached vectors do not need it."""
    opened: list[RunBatch] = []

    def run(batch: Batch) -> Vectors:
        if not opened:
            opened.append(open_encoder(variant))
        output = opened[0](batch)
        manifest = variant.manifest
        if manifest.outputs:
            # Of several outputs, the first row begins with the vector of the text.
            return output[:, 0, :-EXTRA_COLUMNS]
        # A bridge's vectors may be longer than the encoder's own, and rows are as long as the longest.
        return output if manifest.bridges is None else output[:, : manifest.dim]

    return run


def vector_source(
    dataset: Dataset, variant: EncoderVariant, encoder: LoadedEncoder, run: RunBatch, backend: Backend
) -> VectorSource:
    """A dataset's vectors, from the cache or the encoder, with the encoder's prompts."""

    def source(side: Side, exit: int) -> Encoded:
        tower, count = dataset.towers[side], dataset.count(side)
        prompt = _prompt(variant, side, tower)
        cache = VectorCache(backend.cache / _key(dataset, variant, side, exit), count, variant.manifest.dim)
        title = f"Encoding {dataset.name}, {'queries' if side == 'query' else 'documents'}, "
        with backend.progress(f"{title}{variant.manifest.name}, exit {exit}", count) as advance:

            def encode(inputs: Sequence[str]) -> tuple[Vectors, float]:
                rows = _rows(dataset, encoder, side, inputs)
                return encode_window(rows, run, exit, _part(variant.manifest, side, tower), advance)

            return encode_cached((prompt + text for text in dataset.inputs(side)), cache, encode, advance)

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
    manifest = variant.manifest
    prompt, part = _prompt(variant, side, "text"), _part(variant.manifest, side, "text")
    folder = backend.cache / _key(dataset, variant, side, manifest.depth)
    title = f"Encoding {dataset.name}, {'queries' if side == 'query' else 'documents'}, {manifest.name}"
    with backend.progress(title, dataset.count(side)) as advance:

        def weigh(texts: Sequence[str]) -> WindowResult:
            rows = _rows(dataset, encoder, side, texts)
            weights_by_text, seconds = answer_window(rows, run, manifest, part, advance)
            flat = np.concatenate([*weights_by_text, np.empty(0, SPARSE_DTYPE)])
            return {
                "weights": flat,
                "lengths": np.array([len(values) for values in weights_by_text], np.int64),
            }, seconds

        texts = (prompt + values for values in dataset.inputs(side))
        windows = cached_windows(folder, texts, WINDOW, weigh, advance)
    weights = [
        values
        for arrays, _ in windows
        for values in np.split(arrays["weights"], np.cumsum(arrays["lengths"])[:-1])
    ]
    return SparseVectors(weights, sum(seconds for _, seconds in windows) / len(weights))


def _part(manifest: Manifest, side: Side, tower: Modality) -> str:
    queries = manifest.query_expert if side == "query" and tower == "text" else None
    return manifest.part(tower, queries)


def _prompt(variant: EncoderVariant, side: Side, tower: Modality) -> str:
    return variant.prompt(side) if tower == "text" else ""


def _rows(dataset: Dataset, encoder: LoadedEncoder, side: Side, inputs: Sequence[str]) -> list[Input]:
    """The inputs of one side's tower. Raises DatasetUnusable for images that cannot be read."""
    tower = dataset.towers[side]
    part = _part(encoder.manifest, side, tower)
    preparing = prepare_inputs(encoder, tower, inputs, Truncation(), _LOCAL_FILES, part=part, role=side)
    prepared = asyncio.run(preparing)
    rows = [row for row in prepared if not isinstance(row, NestvecError)]
    if len(rows) < len(prepared):
        first = next(row for row in prepared if isinstance(row, NestvecError))
        raise DatasetUnusable(
            f"{len(prepared) - len(rows)} images of {dataset.name} cannot be embedded; the first one: "
            f"{first.cause}",
            value=first.value,
            next_step=f"Repair it, or remove its line from {PAIRS}.",
        ) from first
    return rows


def _key(dataset: Dataset, variant: EncoderVariant, side: Side, exit: int) -> str:
    """The name of the cache folder, which changes with everything that changes the vectors.

    It does not depend on the direction: captioned images are documents in one and queries in the other.
    """
    manifest, tower = variant.manifest, dataset.towers[side]
    part = _part(variant.manifest, side, tower)
    parts = {
        "format": _CACHE_FORMAT,
        "window": WINDOW,
        "files": dict(sorted(manifest.files.items())),
        "tower": manifest.tower_of_part(part).model_dump(mode="json"),
        "inputs": dataset.digests[side],
        **({"part": part} if manifest.kind == "sparse" or part == manifest.query_expert else {}),
        "prompt": _prompt(variant, side, tower),
        "exit": exit,
        "dim": manifest.dim,
    }
    return f"{manifest.name}-{tower}-{exit}-{cache_digest(parts)}"
