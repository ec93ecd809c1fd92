"""What is measured, from the cache or the encoder: vectors at an exit, or the weights of words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nestvec.engines.contract import Batch
from nestvec.evaluate.dataset import PAIRS, Dataset, Side
from nestvec.evaluate.encode import (
    WINDOW,
    Encoded,
    Kept,
    Run,
    answer_window,
    encode_kept,
    encode_window,
)
from nestvec.evaluate.measuring import OpenIndex, Source
from nestvec.evaluate.sparse import Weighed
from nestvec.evaluate.subject import Subject
from nestvec.evaluate.windows import Made, digest, kept_windows
from nestvec.images import Policy
from nestvec.service.answers import SPARSE
from nestvec.service.encoders import Encoder
from nestvec.service.inputs import Cut as CutInput
from nestvec.service.preparing import prepare
from nestvec.service.rows import Row as Input
from nestvec_schemas.errors import DatasetUnusable, NestvecError
from nestvec_schemas.towers import Modality
from nestvec_schemas.vectors import Vectors

Progress = Callable[[str, int | None], AbstractContextManager[Callable[[int], None]]]
OpenRun = Callable[[Subject], Run]

_OWN = Policy(schemes=frozenset({"file"}), roots=(Path("/"),))
"""Whoever evaluates reads pictures with rights of their own."""

_FORMAT = 2
"""Of what is kept in the cache; vectors of another are not used."""


@dataclass(frozen=True)
class Means:
    """What an evaluation runs on: how an encoder and an index are opened, where vectors are kept, and who
    hears of progress."""

    open_run: OpenRun
    open_index: OpenIndex
    cache: Path
    progress: Progress
    through: str = "exact"


def lazily(open_run: OpenRun, subject: Subject) -> Run:
    """The encoder, opened when a first batch needs it: kept vectors do not."""
    opened: list[Run] = []

    def run(batch: Batch) -> Vectors:
        if not opened:
            opened.append(open_run(subject))
        return opened[0](batch)

    return run


def vectors_of(dataset: Dataset, subject: Subject, encoder: Encoder, run: Run, means: Means) -> Source:
    """Vectors of a dataset from the cache or the encoder, with the encoder's own prompts."""

    def source(side: Side, exit: int) -> Encoded:
        tower, count = dataset.towers[side], dataset.count(side)
        prompt = _prompt(subject, side, tower)
        kept = Kept(means.cache / _key(dataset, subject, side, exit), count, subject.manifest.dim)
        title = f"Encoding {dataset.name}, {'queries' if side == 'query' else 'documents'}, "
        with means.progress(f"{title}{subject.manifest.name}, exit {exit}", count) as advance:

            def encode(inputs: Sequence[str]) -> tuple[Vectors, float]:
                rows = _rows(dataset, encoder, tower, inputs)
                return encode_window(rows, run, exit, subject.manifest.part(tower), advance)

            return encode_kept((prompt + one for one in dataset.inputs(side)), kept, encode, advance)

    return source


def weights_of(
    dataset: Dataset, subject: Subject, encoder: Encoder, run: Run, means: Means, side: Side
) -> Weighed:
    """The weights of one side's texts, by the expert that reads queries where the encoder has one."""
    manifest = subject.manifest
    prompt, part = _prompt(subject, side, "text"), _part(subject, side, "text")
    folder = means.cache / _key(dataset, subject, side, manifest.depth)
    title = f"Encoding {dataset.name}, {'queries' if side == 'query' else 'documents'}, {manifest.name}"
    with means.progress(title, dataset.count(side)) as advance:

        def weigh(texts: Sequence[str]) -> Made:
            rows = _rows(dataset, encoder, "text", texts)
            found, seconds = answer_window(rows, run, manifest, part, advance)
            flat = np.concatenate([*found, np.empty(0, SPARSE)])
            return {"weights": flat, "lengths": np.array([len(one) for one in found], np.int64)}, seconds

        texts = (prompt + one for one in dataset.inputs(side))
        made = kept_windows(folder, texts, WINDOW, weigh, advance)
    weights = [
        one for arrays, _ in made for one in np.split(arrays["weights"], np.cumsum(arrays["lengths"])[:-1])
    ]
    return Weighed(weights, sum(seconds for _, seconds in made) / len(weights))


def _part(subject: Subject, side: Side, tower: Modality) -> str:
    own = subject.manifest.kind == "sparse" and side == "query" and side in subject.manifest.experts
    return subject.manifest.part(tower, side if own else None)


def _prompt(subject: Subject, side: Side, tower: Modality) -> str:
    return subject.manifest.prompt(side) if tower == "text" else ""


def _rows(dataset: Dataset, encoder: Encoder, tower: Modality, inputs: Sequence[str]) -> list[Input]:
    """What a tower takes. Raises DatasetUnusable for a picture that cannot be read."""
    prepared = asyncio.run(prepare(encoder, tower, inputs, CutInput(), _OWN))
    rows = [one for one in prepared if not isinstance(one, NestvecError)]
    if len(rows) < len(prepared):
        first = next(one for one in prepared if isinstance(one, NestvecError))
        raise DatasetUnusable(
            f"{len(prepared) - len(rows)} pictures of {dataset.name} cannot be embedded; of the first, "
            f"{first.cause}",
            value=first.value,
            next_step=f"Repair it, or take its line out of {PAIRS}.",
        ) from first
    return rows


def _key(dataset: Dataset, subject: Subject, side: Side, exit: int) -> str:
    """The name of a folder for these vectors alone: whatever changes them changes it.

    Nothing else does: pictures and captions that are searched one way are asked for the other.
    """
    manifest, tower = subject.manifest, dataset.towers[side]
    parts = {
        "format": _FORMAT,
        "window": WINDOW,
        "files": dict(sorted(manifest.files.items())),
        "tower": manifest.towers[tower].model_dump(mode="json"),
        "inputs": dataset.digests[side],
        **({"part": _part(subject, side, tower)} if manifest.kind == "sparse" else {}),
        "prompt": _prompt(subject, side, tower),
        "exit": exit,
        "dim": manifest.dim,
    }
    return f"{manifest.name}-{tower}-{exit}-{digest(parts)}"
