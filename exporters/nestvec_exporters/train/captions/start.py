"""Where the towers of two checkpoints start: images in the text encoder's own space, rotated."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from nestvec_exporters.nesting.rotation import learn_rotation
from nestvec_exporters.nesting.sampling import check_finite
from nestvec_exporters.progress import Listener
from nestvec_exporters.train.captions.objective import CaptionTask
from nestvec_schemas.vectors import Vectors, normalise

_MAX_ROTATION_CAPTIONS: Final = 4000
_ROTATION_STEPS = 300
_MAX_REGRESSION_IMAGES: Final = 20_000
_RIDGE_PENALTY: Final = 1.0
"""The penalty on the weights, in units of the features' mean square; 0.1 to 10 gave the same figures."""


def initialise_projections(task: CaptionTask, listener: Listener) -> None:
    """Set both projections of a ``PooledDualEncoderModel`` in place.

    The texts' is a rotation whose prefixes are good vectors of the captions; the images' is the ridge
    regression (Hoerl & Kennard 1970) from their features to the mean of their captions. Raises
    CheckpointUnsupported.
    """
    towers, data, model = task.model, task.data, task.model.model
    texts = list(dict.fromkeys(text for index in data.training for text in data.captions[index]))
    listener.stage("embedding the captions")
    vectors = towers.embed(towers.texts, texts, listener.step)
    check_finite(vectors)
    listener.stage("rotating")
    seed = task.options.hyperparameters.seed
    sample = vectors[np.random.default_rng(seed).permutation(len(vectors))[:_MAX_ROTATION_CAPTIONS]]
    rotation = learn_rotation(
        sample, dims=task.dims[1:], steps=_ROTATION_STEPS, seed=seed, on_step=listener.step
    )
    _set_weights(model.text_projection, rotation)
    rotated = np.asarray(vectors @ rotation, np.float32)
    index_of = {text: index for index, text in enumerate(texts)}
    chosen = np.sort(np.random.default_rng(seed).permutation(data.training)[:_MAX_REGRESSION_IMAGES])
    means = [_mean_caption(rotated, [index_of[text] for text in data.captions[index]]) for index in chosen]
    if task.frozen is not None:
        features = task.frozen.unaugmented(chosen).cpu().numpy()
    else:
        listener.stage("computing the images' features")
        features = towers.embed(towers.features, task.pixels[chosen], listener.step)
    check_finite(features)
    _set_weights(model.visual_projection, _ridge_regression(features, np.stack(means)))


@torch.no_grad()
def _set_weights(layer: Any, weights: NDArray[np.float64]) -> None:
    layer.weight.copy_(torch.from_numpy(np.asarray(weights.T, np.float32).copy()))


def _mean_caption(vectors: Vectors, captions: list[int]) -> Vectors:
    """The normalised mean of an image's captions; the first one makes up half of it."""
    mean: Vectors = normalise((vectors[captions].mean(axis=0) + vectors[captions[0]])[None])[0]
    return mean


def _ridge_regression(features: Vectors, targets: Vectors) -> NDArray[np.float64]:
    """The weights W, (width, dim), that map ``features``, (n, width), nearest to ``targets``."""
    rows = features.astype(np.float64)
    squares = rows.T @ rows
    penalty = _RIDGE_PENALTY * np.trace(squares) / len(squares) * np.eye(len(squares))
    weights: NDArray[np.float64] = np.linalg.solve(squares + penalty, rows.T @ targets)
    return weights
