"""What is fitted on an encoder's own vectors of a sample: a rotation, and maps from its exits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nestvec_exporters.nesting.rotation import OnStep, learned, pca
from nestvec_schemas.errors import SampleUnusable
from nestvec_schemas.manifest import ExitQuality, Fit, RotationMethod
from nestvec_schemas.samples.sample import Sample
from nestvec_schemas.vectors import Matrix, Vectors, cosines, normalise

LEAST: Final = 256
"""Distinct texts that any fit needs; an encoder of more dims needs as many texts as it has dims."""

NEIGHBOURS: Final = 10
_HELD_OUT = 0.1
_MOST_HELD_OUT = 500
_RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)


@dataclass(frozen=True)
class Fitting:
    """How to fit: the rotation's method (None for exits alone), prefixes to measure, and the seed."""

    method: RotationMethod | None
    dims: tuple[int, ...]
    seed: int = 0


@dataclass(frozen=True)
class Fitted:
    """``rotation`` is None where there is none; ``maps`` leads from each exit but the deepest to its space.

    All matrices are (d, d) float64, to be multiplied from the right; ``record``, ``retention`` and
    ``exits`` are what a manifest says of them.
    """

    rotation: Matrix | None
    maps: dict[int, Matrix]
    record: Fit
    retention: dict[int, float]
    exits: dict[int, ExitQuality]


def distinct(sample: Sample, dim: int) -> tuple[str, ...]:
    """The sample's texts, each once, without blank ones. Raises SampleUnusable where they are too few."""
    texts = tuple(dict.fromkeys(text for text in sample.texts if text.strip()))
    least = max(LEAST, dim)
    if len(texts) < least:
        raise SampleUnusable(
            f"the sample {sample.name} has too few different texts to fit {dim} dims on",
            value=f"{len(texts)} different texts, of {len(sample.texts)}",
            next_step=f"Give at least {least}; a few thousand do best.",
        )
    return texts


def fit(
    vectors: Mapping[int, Vectors],
    sample: Sample,
    how: Fitting,
    on_step: OnStep = lambda done, total: None,
    *,
    keywords: int = 0,
) -> Fitted:
    """Fit on nine tenths of the vectors, and on keywords, measure on the rest.

    ``vectors`` maps each exit to the vectors there, (n, d) float32, rows alike, of ``sample``'s texts and
    then of sentences of them; the deepest exit's are what all others are brought near to. The last
    ``keywords`` rows are of words in no order, from which a rotation alone learns: an early layer's map would
    be worse for them (whole vectors at exit 3 of MiniLM: 0.61 of nDCG@10 instead of 0.65). Raises
    SampleUnusable where the vectors are too much alike.
    """
    depth = max(vectors)
    asked = vectors[depth]
    whole = asked[: len(asked) - keywords]
    _check_spread(whole, sample.name)
    held, rest = _split(len(whole), how.seed)
    documents = int((rest < len(sample.texts)).sum())
    rotation = _rotation(np.concatenate([asked[rest], asked[len(whole) :]]), documents, how, on_step)
    target = whole if rotation is None else np.asarray(whole @ rotation, np.float32)
    maps = {
        layer: ridge(vectors[layer][rest], target[rest], rotation, seed=how.seed)
        for layer in sorted(vectors, reverse=True)
        if layer != depth
    }
    near = neighbours(whole[held], held, whole)
    exits = {
        layer: _exit_quality(vectors[layer][: len(whole)] @ maps[layer], target, held, near, how.dims)
        for layer in maps
    }
    return Fitted(
        rotation=rotation,
        maps=maps,
        record=Fit(
            method=how.method,
            sample=sample.name,
            drawn=len(sample.texts),
            texts=len(rest) + keywords,
            held_out=len(held),
            seed=how.seed,
            plain=retention(whole[held], whole, held, near, how.dims),
        ),
        retention=retention(target[held], target, held, near, how.dims),
        exits=exits,
    )


def ridge(given: Vectors, target: Vectors, rotation: Matrix | None, *, seed: int) -> Matrix:
    """The matrix W, (d, d) float64, by which ``given`` W comes nearest to ``target``, both (n, d) float32.

    Least squares with a penalty for being far from nothing, or from the rotation (an exit that was trained
    into the encoder's space needs no more than that): whichever, at whichever weight, has the best mean
    cosine on a tenth that is kept back (Hoerl & Kennard 1970).
    """
    kept, rest = _split(len(given), seed + 1)
    rows, aims = given[rest].astype(np.float64), target[rest].astype(np.float64)
    squares, products = rows.T @ rows, rows.T @ aims
    dim = given.shape[1]
    unit = np.trace(squares) / dim
    priors = (np.zeros((dim, dim)), np.eye(dim) if rotation is None else rotation)
    found: list[Matrix] = []
    for weight in _RIDGES:
        penalty = weight * unit
        # One solve for both priors.
        right = np.concatenate([products + penalty * prior for prior in priors], axis=1)
        found += np.split(np.linalg.solve(squares + penalty * np.eye(dim), right), len(priors), axis=1)
    return np.ascontiguousarray(max(found, key=lambda one: cosines(given[kept] @ one, target[kept]).mean()))


def neighbours(queries: Vectors, rows: NDArray[np.intp], vectors: Vectors) -> NDArray[np.intp]:
    """The NEIGHBOURS nearest by cosine of each query, (m, d), among ``vectors``, (n, d): (m, 10) indices.

    ``rows``, (m,), are the queries' own places there, which do not count.
    """
    scores = normalise(queries) @ normalise(vectors).T
    scores[np.arange(len(rows)), rows] = -np.inf
    count = min(NEIGHBOURS, len(vectors) - 1)
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
        found = neighbours(queries[:, :dim], rows, vectors[:, :dim])
        hits = (found[:, :, None] == near[:, None, :]).any(axis=2)
        shares[dim] = round(float(hits.mean()), 4)
    return shares


def _exit_quality(
    found: NDArray[np.float64],
    target: Vectors,
    held: NDArray[np.intp],
    near: NDArray[np.intp],
    dims: Sequence[int],
) -> ExitQuality:
    asked = np.asarray(found[held], np.float32)
    return ExitQuality(
        retention=retention(asked, target, held, near, dims),
        cosine=round(float(cosines(asked, target[held]).mean()), 4),
    )


def _rotation(vectors: Vectors, documents: int, how: Fitting, on_step: OnStep) -> Matrix | None:
    if how.method is None:
        return None
    if how.method == "pca":
        return pca(vectors)
    return learned(vectors, documents=documents, dims=how.dims, seed=how.seed, on_step=on_step)


def _split(rows: int, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    order = np.random.default_rng(seed).permutation(rows)
    held = min(_MOST_HELD_OUT, max(1, round(rows * _HELD_OUT)))
    return np.sort(order[:held]), np.sort(order[held:])


def _check_spread(vectors: Vectors, sample: str) -> None:
    different = len(np.unique(np.round(vectors, 5), axis=0))
    least = max(LEAST, vectors.shape[1])
    if different < least:
        raise SampleUnusable(
            f"the encoder gives too many texts of {sample} the same vector",
            value=f"{different} different vectors of {len(vectors)} texts",
            next_step=f"Give at least {least} texts that the encoder tells apart, in a language it reads.",
        )
