"""Choose the rotation of a collection by what it keeps on a held-out part of the collection's own sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nestvec_exporters.nesting.neighbours import nearest_rows, relevant_gains
from nestvec_exporters.nesting.orthogonal import mean_rotation, pca_rotation, sort_within_prefixes
from nestvec_exporters.nesting.rotation import DEFAULT_STEPS, OnStep, learn_rotation, learned_prefixes
from nestvec_schemas.vectors import Matrix, Vectors

Rows = NDArray[np.intp]

QUERY_LOG: Final = "queries"
"""The kind of queries that are real: a log."""

NO_ROTATION: Final = "none"
PRINCIPAL_AXES: Final = "pca"
MEAN: Final = "mean"

MIN_QUERY_LOG: Final = 256
"""The distinct real queries that are needed: a quarter of them decides between rotations."""

_MIN_QUERIES = 64
"""A kind with fewer queries is neither learned from nor measured."""

_HELD_OUT_LOG_SHARE = 0.25

_LEARNED_KINDS = ("sentence", "keywords")
"""Kinds of sampled queries to learn from. Other kinds are measured on only: a rotation that has learned from
spans of words serves them better and other queries worse."""

_MARGIN = 0.01
"""By how much principal axes, or no rotation, must lead to be chosen over what was learned: less than a
standard error of a hundred queries, and real queries profit more from learning than sampled ones do."""

_MAX_SCORED_DIM = 128
"""Longer prefixes keep nearly everything, whatever the rotation."""


@dataclass(frozen=True)
class QueryVectors:
    """Vectors of queries of one kind."""

    vectors: Vectors
    """(m, d) float32."""

    rows: Rows
    """The row of the document that each was taken from, (m,); -1 for a real query."""


@dataclass(frozen=True)
class RotationChoice:
    """The rotation that keeps most on held-out queries, or nearly so."""

    name: str
    """Its name among ``candidates``."""

    retention: dict[str, float]
    """What each candidate keeps: the nDCG@10 by prefixes, over kinds of held-out queries and over prefixes.
    To a sampled query the document is relevant that it was taken from, to a real query the nearest at full
    length. Where too few queries could be sampled, held-out documents are queries as well."""

    candidates: Mapping[str, Matrix]
    """The rotations that were compared, (d, d) float64."""

    @property
    def rotation(self) -> Matrix:
        """The one that was chosen, (d, d) float64."""
        return self.candidates[self.name]


@dataclass(frozen=True)
class SelectionOptions:
    """How rotations are learned and compared."""

    dims: tuple[int, ...]
    """Prefixes to offer."""

    seed: int = 0

    steps: int = DEFAULT_STEPS
    """Optimizer steps of each learned rotation."""


def choose_rotation(
    documents: Vectors,
    queries: Mapping[str, QueryVectors],
    held_out: Rows,
    options: SelectionOptions,
    on_step: OnStep = lambda done, total: None,
) -> RotationChoice:
    """The rotation for ``documents``, (n, d) float32, by what it keeps on the rows ``held_out``.

    Candidates are no rotation, principal axes, a rotation learned from the documents alone, another from
    ``queries`` as well, and the mean of both. None is fitted on a held-out document, on a query that was
    taken from it, or on a quarter of the real queries. Real queries, if there are any, decide alone. Between
    near equals what was learned wins.
    """
    held_out_mask = np.zeros(len(documents), bool)
    held_out_mask[held_out] = True
    split = {
        kind: _split_queries(query_vectors, held_out_mask, options.seed)
        for kind, query_vectors in queries.items()
        if len(query_vectors.vectors) >= _MIN_QUERIES
    }
    training = documents[~held_out_mask]
    position = np.cumsum(~held_out_mask) - 1
    candidates = {NO_ROTATION: np.eye(documents.shape[1]), PRINCIPAL_AXES: pca_rotation(training)}
    learned = _learn_all(
        training,
        {
            kind: QueryVectors(learn.vectors, np.where(learn.rows < 0, -1, position[learn.rows]))
            for kind, (_, learn) in split.items()
        },
        options,
        on_step,
    )
    candidates.update(learned)
    if len(learned) > 1:
        prefixes = learned_prefixes(documents.shape[1], options.dims)
        mean = mean_rotation(list(learned.values()), prefixes)
        candidates[MEAN] = sort_within_prefixes(mean, training, prefixes)
    judged = _judged(documents, held_out, {kind: parts[0] for kind, parts in split.items()})
    scores = _scores(candidates, documents, judged, options.dims)
    return RotationChoice(_best(scores), scores, candidates)


def _best(scores: Mapping[str, float]) -> str:
    unlearned = (NO_ROTATION, PRINCIPAL_AXES)
    return max(scores, key=lambda name: scores[name] - (_MARGIN if name in unlearned else 0))


def mixtures(kinds: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The kinds of queries beside the documents in each mixture to learn from, by the mixture's name."""
    by_name: dict[str, tuple[str, ...]] = {"documents": ()}
    learned = (QUERY_LOG,) if QUERY_LOG in kinds else tuple(kind for kind in _LEARNED_KINDS if kind in kinds)
    if learned:
        by_name[" + ".join(("documents", *learned))] = learned
    return by_name


def _learn_all(
    training: Vectors, queries: Mapping[str, QueryVectors], options: SelectionOptions, on_step: OnStep
) -> dict[str, Matrix]:
    """A rotation for each mixture, each from a seed of its own."""
    by_mixture = mixtures(tuple(queries))
    rotations = {}
    for number, (name, kinds) in enumerate(by_mixture.items()):
        rotations[name] = learn_rotation(
            np.concatenate([training, *(queries[kind].vectors for kind in kinds)]),
            documents=len(training),
            sources=np.concatenate([np.empty(0, np.intp), *(queries[kind].rows for kind in kinds)]),
            dims=options.dims,
            steps=options.steps,
            seed=options.seed * len(by_mixture) + number,
            on_step=partial(_report_part, on_step, number, len(by_mixture)),
        )
    return rotations


def _report_part(on_step: OnStep, part: int, parts: int, done: int, total: int) -> None:
    on_step(part * total + done, parts * total)


def _split_queries(
    queries: QueryVectors, held_out: NDArray[np.bool_], seed: int
) -> tuple[QueryVectors, QueryVectors]:
    """The queries to measure on, and those to learn from."""
    apart = held_out[queries.rows]
    real = queries.rows < 0
    apart[real] = np.random.default_rng(seed).random(int(real.sum())) < _HELD_OUT_LOG_SHARE
    learned = ~apart
    return (
        QueryVectors(queries.vectors[apart], queries.rows[apart]),
        QueryVectors(queries.vectors[learned], queries.rows[learned]),
    )


@dataclass(frozen=True)
class _Judged:
    """Queries of one kind, and the document that is relevant to each."""

    queries: QueryVectors
    """``rows`` are of documents that do not count: a document is not its own answer."""

    relevant: Rows
    """(m,)."""


def _judged(documents: Vectors, held_out: Rows, queries: Mapping[str, QueryVectors]) -> list[_Judged]:
    if QUERY_LOG in queries:
        return [_nearest(queries[QUERY_LOG], documents)]
    # The nearest at full length, and documents as queries, would favour principal axes of the documents.
    by_source = [
        _Judged(QueryVectors(kind.vectors, np.full(len(kind.rows), -1)), kind.rows)
        for kind in queries.values()
        if len(kind.rows)
    ]
    if sum(len(kind.relevant) for kind in by_source) >= _MIN_QUERIES:
        return by_source
    return [_nearest(QueryVectors(documents[held_out], held_out), documents), *by_source]


def _nearest(queries: QueryVectors, documents: Vectors) -> _Judged:
    return _Judged(queries, nearest_rows(queries.vectors, queries.rows, documents))


def _scores(
    candidates: Mapping[str, Matrix], documents: Vectors, kinds: Sequence[_Judged], dims: Sequence[int]
) -> dict[str, float]:
    short = [dim for dim in dims if dim <= _MAX_SCORED_DIM and dim < documents.shape[1]] or list(dims)
    scores = {}
    for name, rotation in candidates.items():
        rotated = np.asarray(documents @ rotation, np.float32)
        gains = [
            relevant_gains(
                np.asarray(kind.queries.vectors @ rotation, np.float32),
                rotated,
                kind.queries.rows,
                kind.relevant,
                short,
            )
            for kind in kinds
        ]
        scores[name] = round(float(np.mean([list(gain.values()) for gain in gains])), 4)
    return scores
