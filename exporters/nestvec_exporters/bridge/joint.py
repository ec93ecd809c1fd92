"""Fit a map from a text encoder's space into an image encoder's, on images with captions.

Linear maps between such spaces exist although neither encoder has seen the other's inputs (Merullo et al.
2023). Queries through the map rank stored vectors of images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from nestvec_exporters.space_maps.mapping import BridgeMap, Rows
from nestvec_schemas.errors import SampleUnusable
from nestvec_schemas.vectors import Matrix, Vectors, normalise

MIN_IMAGES: Final = 200
"""The images that any fit needs."""

RANKS: Final = (1, 5, 10)

_RIDGE_WEIGHTS: Final = (1e-2, 1e-1, 1.0, 10.0)
"""Penalties in units of the mean variance of the vectors that are mapped from."""

_MIN_SPREAD: Final = 1e-6
"""The range of values below which vectors are the same."""

_HELD_OUT_SHARE: Final = 0.15
_MAX_HELD_OUT: Final = 500


@dataclass(frozen=True)
class CaptionedVectors:
    """Images and their captions, each by its encoder, all of length 1."""

    images: Vectors
    """(n, d_image) float32."""

    captions: Vectors
    """(m, d_text) float32."""

    rows: Rows
    """The image of each caption, (m,)."""


@dataclass(frozen=True)
class JointFit:
    """The chosen map, and how many images captions find through it."""

    mapping: BridgeMap

    method: str
    """Its name among ``compared``."""

    compared: dict[str, float]
    """By candidate, recall@10 among the held-out images that it is chosen by."""

    recall: dict[int, float]
    """By k, the share of captions of further held-out images that have their image among the k nearest."""

    held_out: int
    """The number of those images; by chance, the share is k of them."""


def fit_joint_space(vectors: CaptionedVectors, seed: int = 0) -> JointFit:
    """The linear map from texts to images that finds most images by their captions.

    Candidates are ridge regressions from captions to images, and from images to captions, transposed: the
    latter has no hubs, images that are near to every query (Shigeto et al. 2015). A part of the images
    chooses between them, another is measured on; neither is fitted on. Raises SampleUnusable if there are
    too few images with captions, or all have the same vector.
    """
    captioned = np.unique(vectors.rows)
    if len(captioned) < MIN_IMAGES:
        raise SampleUnusable(
            "there are too few images with captions to fit a bridge",
            value=f"{len(captioned)} images",
            next_step=f"Give at least {MIN_IMAGES}; a few thousand are best.",
        )
    for name, rows in (("images", vectors.images[captioned]), ("captions", vectors.captions)):
        if float(np.ptp(rows, axis=0).max()) < _MIN_SPREAD:
            raise SampleUnusable(
                f"all {name} have the same vector",
                value=f"{len(rows)} {name}",
                next_step="Give images and captions that differ, or another encoder.",
            )
    shuffled = np.random.default_rng(seed).permutation(captioned)
    size = min(_MAX_HELD_OUT, round(len(captioned) * _HELD_OUT_SHARE))
    chosen_by, measured, learned = np.split(shuffled, [size, 2 * size])
    candidates = _candidates(vectors, learned)
    compared = {
        name: round(_recall(vectors, mapping, chosen_by)[max(RANKS)], 4)
        for name, mapping in candidates.items()
    }
    method = max(compared, key=lambda name: compared[name])
    recall = _recall(vectors, candidates[method], measured)
    shares = {rank: round(share, 4) for rank, share in recall.items()}
    return JointFit(candidates[method], method, compared, shares, held_out=size)


def _candidates(vectors: CaptionedVectors, learned: Rows) -> dict[str, BridgeMap]:
    own = np.flatnonzero(np.isin(vectors.rows, learned))
    captions = vectors.captions[own].astype(np.float64)
    images = vectors.images[vectors.rows[own]].astype(np.float64)
    caption_mean, image_mean = captions.mean(axis=0), images.mean(axis=0)
    captions, images = captions - caption_mean, images - image_mean
    candidates = {}
    for weight in _RIDGE_WEIGHTS:
        # A query's product with the images' mean is the same for every image, which the map may omit.
        transposed = _ridge(images, captions, weight).T
        candidates[f"images to captions, ridge {weight:g}"] = _map(transposed, -caption_mean @ transposed)
        direct = _ridge(captions, images, weight)
        candidates[f"captions to images, ridge {weight:g}"] = _map(direct, image_mean - caption_mean @ direct)
    return candidates


def _ridge(inputs: Matrix, targets: Matrix, weight: float) -> Matrix:
    squares = inputs.T @ inputs
    penalty = weight * float(np.trace(squares)) / len(squares) * np.eye(len(squares))
    return np.asarray(np.linalg.solve(squares + penalty, inputs.T @ targets), np.float64)


def _map(matrix: Matrix, bias: Matrix) -> BridgeMap:
    """The map at a scale at which float32 loses nothing; lengths do not matter, as vectors are normalised."""
    scale = float(np.abs(matrix).max()) or 1.0
    return BridgeMap(np.asarray(matrix / scale, np.float32), np.asarray(bias / scale, np.float32))


def _recall(vectors: CaptionedVectors, mapping: BridgeMap, images: Rows) -> dict[int, float]:
    """By k, the share of the captions of ``images`` that have their image among the k nearest of them."""
    gallery = np.sort(images)
    queries = np.flatnonzero(np.isin(vectors.rows, gallery))
    scores = mapping(vectors.captions[queries]) @ normalise(vectors.images[gallery]).T
    own = np.searchsorted(gallery, vectors.rows[queries])
    # Equal images share the worst rank, so that an encoder that gives one vector for all finds nothing.
    ranks = (scores >= np.take_along_axis(scores, own[:, None], axis=1)).sum(axis=1) - 1
    return {rank: float((ranks < rank).mean()) for rank in RANKS}
