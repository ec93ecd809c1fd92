"""What is fitted on an encoder's own vectors of a sample: a rotation, and maps from its exits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nestvec_exporters.nesting.rotation import OnStep, learn_rotation, pca_rotation
from nestvec_schemas.errors import SampleUnusable
from nestvec_schemas.manifest import ExitQuality, FitSummary, RotationMethod
from nestvec_schemas.samples.sample import Sample
from nestvec_schemas.vectors import Matrix, Vectors, cosines, normalise

MIN_FIT_TEXTS: Final = 256
"""Distinct texts that any fit needs; an encoder of more dims needs as many texts as it has dims."""

MAX_NEIGHBOURS: Final = 10
_HELD_OUT_SHARE = 0.1
_MAX_HELD_OUT = 500
_RIDGE_WEIGHTS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)


@dataclass(frozen=True)
class FitOptions:
    """How to fit: the rotation's method (None for exits alone), prefixes to measure, and the seed."""

    method: RotationMethod | None
    dims: tuple[int, ...]
    seed: int = 0


@dataclass(frozen=True)
class NestingFit:
    """``rotation`` is None where there is none; ``maps`` leads from each exit but the deepest to its space.

    All matrices are (d, d) float64, to be multiplied from the right; ``record``, ``retention`` and
    ``exits`` are what a manifest says of them.
    """

    rotation: Matrix | None
    exit_maps: dict[int, Matrix]
    record: FitSummary
    retention: dict[int, float]
    exits: dict[int, ExitQuality]


def distinct_texts(sample: Sample, dim: int) -> tuple[str, ...]:
    """The sample's texts, each once, without blank ones. Raises SampleUnusable where they are too few."""
    texts = tuple(dict.fromkeys(text for text in sample.texts if text.strip()))
    least = max(MIN_FIT_TEXTS, dim)
    if len(texts) < least:
        raise SampleUnusable(
            f"the sample {sample.name} has too few different texts to fit {dim} dims on",
            value=f"{len(texts)} different texts, of {len(sample.texts)}",
            next_step=f"Give at least {least}; a few thousand do best.",
        )
    return texts


def fit_nesting(
    vectors: Mapping[int, Vectors],
    sample: Sample,
    options: FitOptions,
    on_step: OnStep = lambda done, total: None,
    *,
    keywords: int = 0,
) -> NestingFit:
    """Fit on nine tenths of the vectors, and on keywords, measure on the rest.

    ``vectors`` maps each exit to the vectors there, (n, d) float32, rows alike, of ``sample``'s texts and
    then of sentences of them; the deepest exit's are what all others are brought near to. The last
    ``keywords`` rows are of words in no order, from which a rotation alone learns: an early layer's map would
    be worse for them (whole vectors at exit 3 of MiniLM: 0.61 of nDCG@10 instead of 0.65). Raises
    SampleUnusable where the vectors are too much alike.
    """
    depth = max(vectors)
    full_depth = vectors[depth]
    sentence_vectors = full_depth[: len(full_depth) - keywords]
    _check_spread(sentence_vectors, sample.name)
    held_out, training = _split(len(sentence_vectors), options.seed)
    documents = int((training < len(sample.texts)).sum())
    rotation = _fit_rotation(
        np.concatenate([full_depth[training], full_depth[len(sentence_vectors) :]]),
        documents,
        options,
        on_step,
    )
    target = sentence_vectors if rotation is None else np.asarray(sentence_vectors @ rotation, np.float32)
    maps = {
        layer: fit_ridge(vectors[layer][training], target[training], rotation, seed=options.seed)
        for layer in sorted(vectors, reverse=True)
        if layer != depth
    }
    near = neighbours(sentence_vectors[held_out], held_out, sentence_vectors)
    exits = {
        layer: _exit_quality(
            vectors[layer][: len(sentence_vectors)] @ maps[layer], target, held_out, near, options.dims
        )
        for layer in maps
    }
    return NestingFit(
        rotation=rotation,
        exit_maps=maps,
        record=FitSummary(
            method=options.method,
            sample=sample.name,
            drawn=len(sample.texts),
            texts=len(training) + keywords,
            held_out=len(held_out),
            seed=options.seed,
            plain=retention(sentence_vectors[held_out], sentence_vectors, held_out, near, options.dims),
        ),
        retention=retention(target[held_out], target, held_out, near, options.dims),
        exits=exits,
    )


def fit_ridge(inputs: Vectors, target: Vectors, rotation: Matrix | None, *, seed: int) -> Matrix:
    """The matrix W, (d, d) float64, by which ``given`` W comes nearest to ``target``, both (n, d) float32.

    Least squares with a penalty for being far from nothing, or from the rotation (an exit that was trained
    into the encoder's space needs no more than that): whichever, at whichever weight, has the best mean
    cosine on a tenth that is kept back (Hoerl & Kennard 1970).
    """
    held_out, training = _split(len(inputs), seed + 1)
    rows, aims = inputs[training].astype(np.float64), target[training].astype(np.float64)
    squares, products = rows.T @ rows, rows.T @ aims
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


def neighbours(queries: Vectors, rows: NDArray[np.intp], vectors: Vectors) -> NDArray[np.intp]:
    """The NEIGHBOURS nearest by cosine of each query, (m, d), among ``vectors``, (n, d): (m, 10) indices.

    ``rows``, (m,), are the queries' own places there, which do not count.
    """
    scores = normalise(queries) @ normalise(vectors).T
    scores[np.arange(len(rows)), rows] = -np.inf
    count = min(MAX_NEIGHBOURS, len(vectors) - 1)
    return np.argpartition(-scores, count - 1, axis=1)[:, :count]


def retention(
    queries: Vectors,
    vectors: Vectors,
    rows: NDArray[np.intp],
    near: NDArray[np.intp],
    dims: Sequence[int],
) -> dict[int, float]:
    """Per dim, the share of ``near`` that prefixes of ``queries`` find among their own ten nearest."""
    shares = {}
    for dim in dims:
        retrieved = neighbours(queries[:, :dim], rows, vectors[:, :dim])
        hits = (retrieved[:, :, None] == near[:, None, :]).any(axis=2)
        shares[dim] = round(float(hits.mean()), 4)
    return shares


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


def _fit_rotation(vectors: Vectors, documents: int, options: FitOptions, on_step: OnStep) -> Matrix | None:
    if options.method is None:
        return None
    if options.method == "pca":
        return pca_rotation(vectors)
    return learn_rotation(vectors, documents=documents, dims=options.dims, seed=options.seed, on_step=on_step)


def _split(rows: int, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    order = np.random.default_rng(seed).permutation(rows)
    held_out_count = min(_MAX_HELD_OUT, max(1, round(rows * _HELD_OUT_SHARE)))
    return np.sort(order[:held_out_count]), np.sort(order[held_out_count:])


def _check_spread(vectors: Vectors, sample: str) -> None:
    different = len(np.unique(np.round(vectors, 5), axis=0))
    least = max(MIN_FIT_TEXTS, vectors.shape[1])
    if different < least:
        raise SampleUnusable(
            f"the encoder gives too many texts of {sample} the same vector",
            value=f"{different} different vectors of {len(vectors)} texts",
            next_step=f"Give at least {least} texts that the encoder tells apart, in a language it reads.",
        )
