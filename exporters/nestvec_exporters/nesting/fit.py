"""Fit a rotation, and maps of exits, on an encoder's vectors of a sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nestvec_exporters.nesting.fit_texts import FitTexts
from nestvec_exporters.nesting.neighbours import neighbours, retention
from nestvec_exporters.nesting.orthogonal import pca_rotation
from nestvec_exporters.nesting.rotation import OnStep
from nestvec_exporters.nesting.selection import (
    PRINCIPAL_AXES,
    QueryVectors,
    RotationChoice,
    SelectionOptions,
    choose_rotation,
)
from nestvec_schemas.errors import SampleUnusable
from nestvec_schemas.manifest import ExitQuality, FitSummary, RotationMethod
from nestvec_schemas.samples.sample import Sample
from nestvec_schemas.vectors import Matrix, Vectors, cosines

MIN_FIT_TEXTS: Final = 256
"""The distinct texts that any fit needs; an encoder with more dims needs as many texts as dims."""

_HELD_OUT_SHARE = 0.1
_MAX_HELD_OUT = 500
_RIDGE_WEIGHTS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)


@dataclass(frozen=True)
class FitOptions:
    """How to fit."""

    method: RotationMethod | None
    """The rotation's method; None for exits alone."""

    dims: tuple[int, ...]
    """Prefixes to measure."""

    seed: int = 0


@dataclass(frozen=True)
class NestingFit:
    """What was fitted, and its quality for the manifest. Matrices are (d, d) float64 and multiply rows."""

    rotation: Matrix | None

    exit_maps: dict[int, Matrix]
    """From each exit but the deepest to the deepest exit's space."""

    record: FitSummary

    retention: dict[int, float]
    """Per dim, the share of the ten nearest neighbours that a prefix keeps."""

    exits: dict[int, ExitQuality]


def distinct_texts(sample: Sample, dim: int) -> tuple[str, ...]:
    """The sample's texts, each once, without blank ones. Raises SampleUnusable if there are too few."""
    texts = tuple(dict.fromkeys(text for text in sample.texts if text.strip()))
    minimum = max(MIN_FIT_TEXTS, dim)
    if len(texts) < minimum:
        raise SampleUnusable(
            f"the sample {sample.name} has too few distinct texts to fit {dim} dims",
            value=f"{len(texts)} distinct texts, of {len(sample.texts)}",
            next_step=f"Give at least {minimum}; a few thousand are best.",
        )
    return texts


def fit_nesting(
    vectors: Mapping[int, Vectors],
    texts: FitTexts,
    options: FitOptions,
    on_step: OnStep = lambda done, total: None,
) -> NestingFit:
    """Fit on nine tenths of the documents with their queries, and measure on the rest.

    ``vectors`` maps each exit to its vectors, (n, d) float32, of the sample's texts and then of
    ``texts.query_texts``, row by row. The other exits are fitted to the deepest one, on documents and
    sentences of them: other queries are of words without order, or few, and make an early layer's map worse
    (whole vectors at exit 3 of MiniLM: 0.61 of nDCG@10 with keywords instead of 0.65). Raises SampleUnusable
    if too few vectors differ.
    """
    depth = max(vectors)
    sample = texts.sample
    documents = texts.documents_in_order
    ordered_rows = len(documents)
    full_depth = vectors[depth]
    sentence_vectors = full_depth[:ordered_rows]
    _check_spread(sentence_vectors, sample.name)
    held_out, training = split_by_document(documents, options.seed)
    choice = _fit_rotation(full_depth, texts, (held_out, training), options, on_step)
    rotation = None if choice is None else choice.rotation
    target = sentence_vectors if rotation is None else np.asarray(sentence_vectors @ rotation, np.float32)
    maps = {
        layer: fit_ridge(vectors[layer][training], target[training], rotation, seed=options.seed)
        for layer in sorted(vectors, reverse=True)
        if layer != depth
    }
    near = neighbours(sentence_vectors[held_out], held_out, sentence_vectors)
    exits = {
        layer: _exit_quality(
            vectors[layer][:ordered_rows] @ maps[layer], target, held_out, near, options.dims
        )
        for layer in maps
    }
    return NestingFit(
        rotation=rotation,
        exit_maps=maps,
        record=FitSummary(
            method=options.method,
            sample=sample.name,
            sample_texts=len(sample.texts),
            texts=len(full_depth) - len(held_out),
            held_out=len(held_out),
            seed=options.seed,
            plain=retention(sentence_vectors[held_out], sentence_vectors, held_out, near, options.dims),
            queries=texts.query_log_name,
            learned_from=None if choice is None else choice.name,
            compared={} if choice is None else choice.retention,
        ),
        retention=retention(target[held_out], target, held_out, near, options.dims),
        exits=exits,
    )


def fit_ridge(inputs: Vectors, target: Vectors, rotation: Matrix | None, *, seed: int) -> Matrix:
    """The matrix W, (d, d) float64, for which ``inputs`` W is nearest to ``target``, both (n, d) float32.

    Least squares with a penalty on the distance from zero or from the rotation (an exit that was trained
    into the encoder's space needs no more than the rotation): the prior and weight with the best mean cosine
    on a held-out tenth win (Hoerl & Kennard 1970).
    """
    held_out, training = _split(len(inputs), seed + 1)
    rows, targets = inputs[training].astype(np.float64), target[training].astype(np.float64)
    squares, products = rows.T @ rows, rows.T @ targets
    dim = inputs.shape[1]
    unit = np.trace(squares) / dim
    priors = (np.zeros((dim, dim)), np.eye(dim) if rotation is None else rotation)
    candidates: list[Matrix] = []
    for weight in _RIDGE_WEIGHTS:
        penalty = weight * unit
        # One solve for both priors.
        right_hand_sides = np.concatenate([products + penalty * prior for prior in priors], axis=1)
        candidates += np.split(
            np.linalg.solve(squares + penalty * np.eye(dim), right_hand_sides), len(priors), axis=1
        )
    return np.ascontiguousarray(
        max(candidates, key=lambda candidate: cosines(inputs[held_out] @ candidate, target[held_out]).mean())
    )


def _exit_quality(
    mapped: NDArray[np.float64],
    target: Vectors,
    held_out: NDArray[np.intp],
    near: NDArray[np.intp],
    dims: Sequence[int],
) -> ExitQuality:
    queries = np.asarray(mapped[held_out], np.float32)
    return ExitQuality(
        retention=retention(queries, target, held_out, near, dims),
        cosine=round(float(cosines(queries, target[held_out]).mean()), 4),
    )


def _fit_rotation(
    vectors: Vectors,
    texts: FitTexts,
    split: tuple[NDArray[np.intp], NDArray[np.intp]],
    options: FitOptions,
    on_step: OnStep,
) -> RotationChoice | None:
    held_out, training = split
    if options.method is None:
        return None
    if options.method == "pca":
        return RotationChoice(PRINCIPAL_AXES, {}, {PRINCIPAL_AXES: pca_rotation(vectors[training])})
    documents = len(texts.sample.texts)
    queries = {
        kind: QueryVectors(vectors[start:end], rows)
        for kind, (start, end, rows) in texts.query_rows().items()
    }
    return choose_rotation(
        vectors[:documents],
        queries,
        held_out[held_out < documents],
        SelectionOptions(options.dims, options.seed),
        on_step,
    )


def _split(rows: int, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    return split_by_document(np.arange(rows), seed)


def split_by_document(documents: NDArray[np.intp], seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The rows that are held out, and the others. ``documents``, (n,), has the document of each row.

    A rotation learns from the sentences of the documents that it learns from, so that a sentence is held out
    exactly if its document is.
    """
    held_out_count = min(_MAX_HELD_OUT, max(1, round(len(documents) * _HELD_OUT_SHARE)))
    rows = np.bincount(documents)
    order = np.random.default_rng(seed).permutation(len(rows))
    held_out = np.isin(documents, order[np.cumsum(rows[order]) <= held_out_count])
    return np.flatnonzero(held_out), np.flatnonzero(~held_out)


def _check_spread(vectors: Vectors, sample: str) -> None:
    different = len(np.unique(np.round(vectors, 5), axis=0))
    minimum = max(MIN_FIT_TEXTS, vectors.shape[1])
    if different < minimum:
        raise SampleUnusable(
            f"the encoder maps too many texts of {sample} to the same vector",
            value=f"{different} distinct vectors of {len(vectors)} texts",
            next_step=f"Give at least {minimum} texts that differ to the encoder, in a language it knows.",
        )
