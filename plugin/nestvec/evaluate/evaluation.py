"""An evaluation: every encoder on every dataset, checked, encoded, searched and scored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from nestvec.datasets.beir import PAIRS, Dataset, Side, open_dataset
from nestvec.datasets.image_pairs import open_pairs
from nestvec.evaluate.measure_dense import measure_dense, memoize
from nestvec.evaluate.measure_sparse import measure_sparse
from nestvec.evaluate.metrics.concept_depth import ConceptDepth
from nestvec.evaluate.outcomes import EvaluateOptions, Measurement
from nestvec.evaluate.rerank import RerankerVariant, check_is_text, rerank
from nestvec.evaluate.rows import MEAN, ResultRow, make_rows
from nestvec.evaluate.search.exact import ExactIndex, VectorIndex
from nestvec.evaluate.search.forms import VectorForm
from nestvec.evaluate.search_plan import count_steps
from nestvec.evaluate.variants import EncoderVariant
from nestvec.evaluate.vectors.encode import RunBatch, VectorSource
from nestvec.evaluate.vectors.sources import (
    Backend,
    SideEncoder,
    open_lazily,
    sparse_vectors,
    vector_source,
)
from nestvec.service.encoders import LoadedEncoder, open_encoder
from nestvec_schemas.errors import DatasetUnusable, EncoderNotFound
from nestvec_schemas.vectors import Vectors


@dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation."""

    rows: list[ResultRow]
    """One per setting and dataset, and one per setting for the mean of several datasets."""

    depths: dict[tuple[str, str], ConceptDepth] = field(default_factory=dict)
    """Concept depth by dataset and encoder."""

    notes: tuple[str, ...] = ()
    """Sentences about what was left out."""


@contextmanager
def exact_index(vectors: Vectors, rotation: Vectors | None) -> Iterator[VectorIndex]:
    """An index that computes every similarity."""
    yield ExactIndex(vectors, rotation)


def open_datasets(folders: Sequence[Path], languages: Sequence[str] = ()) -> dict[str, Dataset]:
    """The datasets by name; captioned images are two, one per direction, and two per language.

    Raises DatasetUnusable, also for two of one name.
    """
    datasets: dict[str, Dataset] = {}
    for dataset in _open_each(folders, languages):
        if dataset.name in datasets or dataset.name == MEAN:
            raise DatasetUnusable(
                "two datasets have this name"
                if dataset.name in datasets
                else "the name is reserved for the mean",
                value=dataset.name,
                next_step="Give the folders different names.",
            )
        datasets[dataset.name] = dataset
    return datasets


def _open_each(folders: Sequence[Path], languages: Sequence[str]) -> Iterator[Dataset]:
    for folder in folders:
        if (folder / PAIRS).is_file():
            yield from open_pairs(folder, languages)
        else:
            yield open_dataset(folder)


def evaluate(
    datasets: dict[str, Dataset],
    variants: Sequence[EncoderVariant],
    options: EvaluateOptions,
    backend: Backend,
    rerankers: Sequence[EncoderVariant] = (),
) -> Evaluation:
    """Measure every variant on every dataset, and its full-length ranking reranked by each of ``rerankers``.

    Raises DatasetUnusable, EngineError, StoreError, and EncoderNotFound for an encoder without a tower that a
    dataset needs, or of a kind that cannot be measured in this way.
    """
    _check_towers(datasets, variants)
    _check_kinds(datasets, variants, rerankers, backend)
    opened_rerankers = [
        RerankerVariant(variant, open_encoder(variant.folder), open_lazily(backend.open_encoder, variant))
        for variant in rerankers
    ]
    measured: dict[str, list[tuple[EncoderVariant, Measurement]]] = {name: [] for name in datasets}
    for variant in variants:
        encoder = open_encoder(variant.folder)
        run = open_lazily(backend.open_encoder, variant)
        for name, dataset in datasets.items():
            measure_variant = _measure_sparse if variant.manifest.kind == "sparse" else _measure_dense
            measurement = measure_variant(dataset, variant, encoder, run, options, backend)
            reranked = _reranked(dataset, measurement, opened_rerankers, options, backend)
            measured[name].append((variant, reranked))
    outcomes = {
        name: (datasets[name], [outcome for _, measurement in results for outcome in measurement.outcomes])
        for name, results in measured.items()
    }
    return Evaluation(
        rows=make_rows(outcomes, seed=options.seed, through=backend.through),
        depths={
            (name, variant.name): measurement.concept_depth
            for name, results in measured.items()
            for variant, measurement in results
            if measurement.concept_depth is not None
        },
        notes=(
            *_excluded_notes(datasets),
            *_skipped_notes([measurement for results in measured.values() for _, measurement in results]),
        ),
    )


def _measure_dense(
    dataset: Dataset,
    variant: EncoderVariant,
    encoder: LoadedEncoder,
    run: RunBatch,
    options: EvaluateOptions,
    backend: Backend,
) -> Measurement:
    own = SideEncoder(encoder, run)
    opened: dict[Side, SideEncoder] = {"document": own, "query": own}
    if variant.queries is not None:
        other = open_encoder(variant.queries.folder), open_lazily(backend.open_encoder, variant.queries)
        opened["query"] = SideEncoder(*other)
    source = memoize(vector_source(dataset, variant, opened, backend))
    _encode_all(source, variant)
    title = f"Searching {dataset.name} with {variant.name}"
    with backend.progress(title, count_steps(variant, options.forms)) as advance:
        return measure_dense(dataset, variant, source, backend.open_index, options, advance)


def _measure_sparse(
    dataset: Dataset,
    variant: EncoderVariant,
    encoder: LoadedEncoder,
    run: RunBatch,
    options: EvaluateOptions,
    backend: Backend,
) -> Measurement:
    queries, documents = (
        sparse_vectors(dataset, variant, encoder, run, backend, side) for side in ("query", "document")
    )
    title = f"Searching {dataset.name} with {variant.manifest.name}"
    with backend.progress(title, 1 + len(variant.top)) as advance:
        return measure_sparse(dataset, variant, queries, documents, options, advance)


def _reranked(
    dataset: Dataset,
    measurement: Measurement,
    rerankers: Sequence[RerankerVariant],
    options: EvaluateOptions,
    backend: Backend,
) -> Measurement:
    """The measurement with an outcome per reranker, of the full-length ranking."""
    full_length = measurement.full_length
    if full_length is None or not rerankers:
        return measurement
    reranked = [
        rerank(dataset, reranker, full_length, options.rerank_depth, backend.cache, backend.progress)
        for reranker in rerankers
    ]
    return replace(measurement, outcomes=(*measurement.outcomes, *reranked))


def _check_kinds(
    datasets: dict[str, Dataset],
    variants: Sequence[EncoderVariant],
    rerankers: Sequence[EncoderVariant],
    backend: Backend,
) -> None:
    for dataset in datasets.values():
        for reranker in rerankers:
            check_is_text(dataset, reranker.manifest.name)
    for variant in variants:
        if variant.manifest.kind == "sparse" and backend.through != "exact":
            raise EncoderNotFound(
                f"{variant.manifest.name} is a sparse encoder, which can only be searched exactly",
                value=f"--through {backend.through}",
                next_step="Omit --through, or name dense encoders only.",
            )


def _check_towers(datasets: dict[str, Dataset], variants: Sequence[EncoderVariant]) -> None:
    for dataset in datasets.values():
        for variant in variants:
            for side, tower in dataset.towers.items():
                manifest = variant.encoding(side).manifest
                if tower not in manifest.towers:
                    raise EncoderNotFound(
                        f"{dataset.name} needs an encoder with a tower for {tower}s",
                        value=f"{manifest.name}, with {' and '.join(manifest.towers)}",
                        next_step="Name another with --encoder; nestvec encoders lists them.",
                    )


def _encode_all(source: VectorSource, variant: EncoderVariant) -> None:
    for exit in sorted({variant.manifest.depth, *variant.exits}, reverse=True):
        source("query", exit)
        source("document", exit)


def _excluded_notes(datasets: dict[str, Dataset]) -> Iterator[str]:
    for name, dataset in datasets.items():
        if dataset.queries.unjudged:
            yield f"{name}: {dataset.queries.unjudged} queries without judgements are left out."
        own = int((dataset.queries.own_documents >= 0).sum())
        if own:
            yield f"{name}: {own} queries are documents themselves; they do not find their own document."


def _skipped_notes(measured: Sequence[Measurement]) -> Iterator[str]:
    forms: dict[VectorForm, None] = dict.fromkeys(
        form for measurement in measured for form in measurement.skipped
    )
    for coding in dict.fromkeys(form.coding for form in forms):
        dims = ", ".join(dict.fromkeys(str(form.dim) for form in forms if form.coding == coding))
        yield f"This Milvus does not support the form {coding} at {dims} dims: skipped."
