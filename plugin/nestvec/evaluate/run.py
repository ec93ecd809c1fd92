"""An evaluation from beginning to end: datasets and encoders checked, encoded, searched, scored."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from nestvec.engines.contract import Batch
from nestvec.evaluate.dataset import PAIRS, Dataset, Side, open_dataset
from nestvec.evaluate.depth import ConceptDepth
from nestvec.evaluate.encode import WINDOW, Encoded, Kept, Run, encode_kept, encode_window
from nestvec.evaluate.forms import Cut
from nestvec.evaluate.measuring import (
    Measured,
    OpenIndex,
    Options,
    Source,
    measure,
    memorised,
    steps,
)
from nestvec.evaluate.pairs import open_pairs
from nestvec.evaluate.rows import MEAN, Row, make_rows
from nestvec.evaluate.search import ExactIndex, Index
from nestvec.evaluate.subject import Subject
from nestvec.images import Policy
from nestvec.service.encoders import Encoder, open_encoder
from nestvec.service.inputs import Cut as CutInput
from nestvec.service.preparing import prepare
from nestvec.service.rows import Row as Input
from nestvec_schemas.errors import DatasetUnusable, EncoderNotFound, NestvecError
from nestvec_schemas.towers import Modality
from nestvec_schemas.vectors import Vectors

Progress = Callable[[str, int | None], AbstractContextManager[Callable[[int], None]]]
OpenRun = Callable[[Subject], Run]

_OWN = Policy(schemes=frozenset({"file"}), roots=(Path("/"),))
"""Whoever evaluates reads pictures with rights of their own."""

_FORMAT = 2
"""Of what is kept in the cache; vectors of another are not used."""


@dataclass(frozen=True)
class Evaluation:
    """``rows`` are all settings of all datasets; ``depths`` maps dataset and encoder to concept depth;
    ``notes`` are sentences about what was left out."""

    rows: list[Row]
    depths: dict[tuple[str, str], ConceptDepth] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Means:
    """What an evaluation runs on: how an encoder and an index are opened, where vectors are kept, and who
    hears of progress."""

    open_run: OpenRun
    open_index: OpenIndex
    cache: Path
    progress: Progress
    through: str = "exact"


@contextmanager
def exact(vectors: Vectors, rotation: Vectors | None) -> Iterator[Index]:
    """An index that computes every similarity."""
    yield ExactIndex(vectors, rotation)


def open_datasets(folders: Sequence[Path], languages: Sequence[str] = ()) -> dict[str, Dataset]:
    """The datasets by name; pictures with captions are one each way, in ``languages`` too.

    Raises DatasetUnusable, also for two of one name.
    """
    found: dict[str, Dataset] = {}
    for dataset in _opened(folders, languages):
        if dataset.name in found or dataset.name == MEAN:
            raise DatasetUnusable(
                "two datasets have this name" if dataset.name in found else "the name stands for the mean",
                value=dataset.name,
                next_step="Give the folders different names.",
            )
        found[dataset.name] = dataset
    return found


def _opened(folders: Sequence[Path], languages: Sequence[str]) -> Iterator[Dataset]:
    for folder in folders:
        if (folder / PAIRS).is_file():
            yield from open_pairs(folder, languages)
        else:
            yield open_dataset(folder)


def evaluate(
    datasets: dict[str, Dataset], subjects: Sequence[Subject], options: Options, means: Means
) -> Evaluation:
    """Measure every subject on every dataset.

    Raises DatasetUnusable, EncoderNotFound for a tower that a dataset needs, EngineError, StoreError.
    """
    _check_towers(datasets, subjects)
    measured: dict[str, list[tuple[Subject, Measured]]] = {name: [] for name in datasets}
    for subject in subjects:
        encoder = open_encoder(subject.folder)
        run = _lazily(means.open_run, subject)
        for name, dataset in datasets.items():
            source = memorised(_source(dataset, subject, encoder, run, means))
            title = f"Searching {name} with {subject.manifest.name}"
            _encode_all(source, subject)
            with means.progress(title, steps(subject, options.forms)) as advance:
                found = measure(dataset, subject, source, means.open_index, options, advance)
            measured[name].append((subject, found))
    outcomes = {
        name: (datasets[name], [one for _, some in found for one in some.outcomes])
        for name, found in measured.items()
    }
    return Evaluation(
        rows=make_rows(outcomes, seed=options.seed, through=means.through),
        depths={
            (name, subject.manifest.name): some.depth
            for name, found in measured.items()
            for subject, some in found
            if some.depth is not None
        },
        notes=(*_left_out(datasets), *_skipped([some for found in measured.values() for _, some in found])),
    )


def _check_towers(datasets: dict[str, Dataset], subjects: Sequence[Subject]) -> None:
    for dataset in datasets.values():
        for subject in subjects:
            for tower in dataset.towers.values():
                if tower not in subject.manifest.towers:
                    raise EncoderNotFound(
                        f"{dataset.name} needs an encoder with a tower for {tower}s",
                        value=f"{subject.manifest.name}, of {' and '.join(subject.manifest.towers)}",
                        next_step="Name another with --encoder: see nestvec encoders.",
                    )


def _encode_all(source: Source, subject: Subject) -> None:
    for exit in sorted({subject.manifest.depth, *subject.exits}, reverse=True):
        source("query", exit)
        source("document", exit)


def _lazily(open_run: OpenRun, subject: Subject) -> Run:
    """The encoder, opened when a first batch needs it: kept vectors do not."""
    opened: list[Run] = []

    def run(batch: Batch) -> Vectors:
        if not opened:
            opened.append(open_run(subject))
        return opened[0](batch)

    return run


def _source(dataset: Dataset, subject: Subject, encoder: Encoder, run: Run, means: Means) -> Source:
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
        "prompt": _prompt(subject, side, tower),
        "exit": exit,
        "dim": manifest.dim,
    }
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    return f"{manifest.name}-{tower}-{exit}-{digest[:32]}"


def _left_out(datasets: dict[str, Dataset]) -> Iterator[str]:
    for name, dataset in datasets.items():
        if dataset.unjudged:
            yield f"{name}: {dataset.unjudged} queries without judgements are left out."
        own = int((dataset.own >= 0).sum())
        if own:
            yield f"{name}: {own} queries are documents themselves; their own document does not count."


def _skipped(measured: Sequence[Measured]) -> Iterator[str]:
    cuts: dict[Cut, None] = dict.fromkeys(cut for one in measured for cut in one.skipped)
    for coding in dict.fromkeys(cut.coding for cut in cuts):
        dims = ", ".join(dict.fromkeys(str(cut.dim) for cut in cuts if cut.coding == coding))
        yield f"This Milvus has no field for the form {coding} at {dims} dims: skipped."
