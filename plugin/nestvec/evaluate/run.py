"""An evaluation from beginning to end: datasets and encoders checked, encoded, searched, scored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from nestvec.evaluate.dataset import PAIRS, Dataset, open_dataset
from nestvec.evaluate.depth import ConceptDepth
from nestvec.evaluate.encode import Run
from nestvec.evaluate.forms import Cut
from nestvec.evaluate.measuring import Measured, Options, Source, measure, memorised, steps
from nestvec.evaluate.pairs import open_pairs
from nestvec.evaluate.reranking import Reranker, check_texts, rerank
from nestvec.evaluate.rows import MEAN, Row, make_rows
from nestvec.evaluate.search import ExactIndex, Index
from nestvec.evaluate.sources import Means, lazily, vectors_of, weights_of
from nestvec.evaluate.sparse import measure_sparse
from nestvec.evaluate.subject import Subject
from nestvec.service.encoders import Encoder, open_encoder
from nestvec_schemas.errors import DatasetUnusable, EncoderNotFound
from nestvec_schemas.vectors import Vectors


@dataclass(frozen=True)
class Evaluation:
    """``rows`` are all settings of all datasets; ``depths`` maps dataset and encoder to concept depth;
    ``notes`` are sentences about what was left out."""

    rows: list[Row]
    depths: dict[tuple[str, str], ConceptDepth] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


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
    datasets: dict[str, Dataset],
    subjects: Sequence[Subject],
    options: Options,
    means: Means,
    rerankers: Sequence[Subject] = (),
) -> Evaluation:
    """Measure every subject on every dataset; by each of ``rerankers`` its whole vectors' ranking, too.

    Raises DatasetUnusable, EncoderNotFound for a tower that a dataset needs or a kind that what is asked does
    not go with, EngineError, StoreError.
    """
    _check_towers(datasets, subjects)
    _check_kinds(datasets, subjects, rerankers, means)
    ranking = [Reranker(one, open_encoder(one.folder), lazily(means.open_run, one)) for one in rerankers]
    measured: dict[str, list[tuple[Subject, Measured]]] = {name: [] for name in datasets}
    for subject in subjects:
        encoder = open_encoder(subject.folder)
        run = lazily(means.open_run, subject)
        for name, dataset in datasets.items():
            how = _measure_sparse if subject.manifest.kind == "sparse" else _measure_dense
            found = how(dataset, subject, encoder, run, options, means)
            measured[name].append((subject, _reranked(dataset, found, ranking, options, means)))
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


def _measure_dense(
    dataset: Dataset, subject: Subject, encoder: Encoder, run: Run, options: Options, means: Means
) -> Measured:
    source = memorised(vectors_of(dataset, subject, encoder, run, means))
    _encode_all(source, subject)
    title = f"Searching {dataset.name} with {subject.manifest.name}"
    with means.progress(title, steps(subject, options.forms)) as advance:
        return measure(dataset, subject, source, means.open_index, options, advance)


def _measure_sparse(
    dataset: Dataset, subject: Subject, encoder: Encoder, run: Run, options: Options, means: Means
) -> Measured:
    queries, documents = (
        weights_of(dataset, subject, encoder, run, means, side) for side in ("query", "document")
    )
    title = f"Searching {dataset.name} with {subject.manifest.name}"
    with means.progress(title, 1 + len(subject.top)) as advance:
        return measure_sparse(dataset, subject, queries, documents, options, advance)


def _reranked(
    dataset: Dataset, found: Measured, ranking: Sequence[Reranker], options: Options, means: Means
) -> Measured:
    """What was measured, and what each reranker makes of the whole vectors' ranking."""
    whole = found.whole
    if whole is None or not ranking:
        return found
    more = [rerank(dataset, one, whole, options.depth, means.cache, means.progress) for one in ranking]
    return replace(found, outcomes=(*found.outcomes, *more))


def _check_kinds(
    datasets: dict[str, Dataset], subjects: Sequence[Subject], rerankers: Sequence[Subject], means: Means
) -> None:
    for dataset in datasets.values():
        for one in rerankers:
            check_texts(dataset, one.manifest.name)
    for subject in subjects:
        if subject.manifest.kind == "sparse" and means.through != "exact":
            raise EncoderNotFound(
                f"{subject.manifest.name} is a sparse encoder, whose weights are searched exactly alone",
                value=f"--through {means.through}",
                next_step="Leave --through away, or name dense encoders alone.",
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
