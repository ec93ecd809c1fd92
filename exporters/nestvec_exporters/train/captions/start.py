"""Where towers of two checkpoints start from: the text encoder's own space, rotated, and pictures in it."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from nestvec_exporters.nesting.rotation import learned
from nestvec_exporters.nesting.sampling import check_finite
from nestvec_exporters.progress import Listener
from nestvec_exporters.train.captions.loop import Task
from nestvec_schemas.vectors import Vectors, normalise

_ROTATED_ON: Final = 4000
_ROTATION_STEPS = 300
_MAPPED_ON: Final = 20_000
_RIDGE: Final = 1.0
"""The penalty for long weights, in units of the features' mean square: one of 0.1 to 10 did as well."""


def project(task: Task, hears: Listener) -> None:
    """Set both projections of a ``PooledDualEncoderModel`` in place.

    Texts' is a rotation whose prefixes are good vectors of the captions; pictures' the ridge regression
    (Hoerl & Kennard 1970) from their features to their captions' mean. Raises CheckpointUnsupported.
    """
    pair, data, model = task.pair, task.data, task.pair.model
    texts = list(dict.fromkeys(text for at in data.training for text in data.captions[at]))
    hears.stage("embedding the captions")
    vectors = pair.embed(pair.texts, texts, hears.step)
    check_finite(vectors)
    hears.stage("rotating")
    seed = task.options.seed
    some = vectors[np.random.default_rng(seed).permutation(len(vectors))[:_ROTATED_ON]]
    rotation = learned(some, dims=task.dims[1:], steps=_ROTATION_STEPS, seed=seed, on_step=hears.step)
    _set(model.text_projection, rotation)
    turned = np.asarray(vectors @ rotation, np.float32)
    place = {text: at for at, text in enumerate(texts)}
    chosen = np.sort(np.random.default_rng(seed).permutation(data.training)[:_MAPPED_ON])
    means = [_mean(turned, [place[text] for text in data.captions[at]]) for at in chosen]
    if task.frozen is not None:
        features = task.frozen.plain(chosen).cpu().numpy()
    else:
        hears.stage("reading the pictures' features")
        features = pair.embed(pair.features, task.levels[chosen], hears.step)
    check_finite(features)
    _set(model.visual_projection, _ridge(features, np.stack(means)))


@torch.no_grad()
def _set(layer: Any, weights: NDArray[np.float64]) -> None:
    layer.weight.copy_(torch.from_numpy(np.asarray(weights.T, np.float32).copy()))


def _mean(vectors: Vectors, captions: list[int]) -> Vectors:
    """Half of it is the first caption's."""
    found: Vectors = normalise((vectors[captions].mean(axis=0) + vectors[captions[0]])[None])[0]
    return found


def _ridge(features: Vectors, targets: Vectors) -> NDArray[np.float64]:
    """The weights W, (width, dim), by which ``features``, (n, width), come nearest to ``targets``."""
    rows = features.astype(np.float64)
    squares = rows.T @ rows
    penalty = _RIDGE * np.trace(squares) / len(squares) * np.eye(len(squares))
    found: NDArray[np.float64] = np.linalg.solve(squares + penalty, rows.T @ targets)
    return found
