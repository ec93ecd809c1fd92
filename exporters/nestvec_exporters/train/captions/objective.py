"""What training on captions minimises: a contrastive loss of images and captions over every prefix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nestvec_exporters.train.captions.data import PreparedCaptions, matching_captions
from nestvec_exporters.train.captions.frozen import FrozenFeatures
from nestvec_exporters.train.captions.image_cache import Pixels, augment
from nestvec_exporters.train.captions.losses import info_nce, nested_loss, sigmoid_loss
from nestvec_exporters.train.captions.measure import Recalls, mean_recall, recalls
from nestvec_exporters.train.captions.options import CaptionOptions
from nestvec_exporters.train.captions.two_tower import TwoTowerModel
from nestvec_exporters.train.loop import HeldOutEvaluation

_WEIGHT_DECAY = 0.05

_FIRST_CAPTION_SHARE = 0.5
"""How often an image's first caption is drawn; the others share the rest."""


@dataclass(frozen=True)
class CaptionTask:
    """A model of two towers, and what it is trained on."""

    model: TwoTowerModel

    data: PreparedCaptions

    pixels: Pixels
    """Of ``data.images``."""

    dims: tuple[int, ...]
    """Prefixes to train, the full dim first."""

    options: CaptionOptions

    frozen: FrozenFeatures | None = None
    """The images' features if training never changes them."""


class CaptionObjective:
    """Draws matching images and captions together, and pushes the others of a batch apart."""

    def __init__(self, task: CaptionTask) -> None:
        self.task = task
        self.model = task.model
        self._seed = task.options.hyperparameters.seed
        self._batch = min(task.options.hyperparameters.batch, len(task.data.training))
        self._loss = sigmoid_loss if task.model.sigmoid else info_nce

    @property
    def steps_per_epoch(self) -> int:
        return max(1, len(self.task.data.training) // self._batch)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The towers, projections and scales, each with its share of the learning rate."""
        return [{"weight_decay": _WEIGHT_DECAY, **group} for group in self.model.parameter_groups()]

    def loss(self, step: int) -> Tensor:
        """The loss of the batch of a step."""
        rng = np.random.default_rng([self._seed, step])
        rows = self._rows(step)
        captions = [self.task.data.captions[row] for row in rows]
        per_image = self.task.options.captions
        sampled = (text for own in captions for text in sample_captions(own, per_image, rng))
        texts = list(dict.fromkeys(sampled))
        matches = torch.from_numpy(matching_captions(captions, texts))
        images, vectors = self._image_vectors(rows, rng), self.model.texts(texts)
        return nested_loss(
            self._loss, (images, vectors), matches.to(vectors.device), self.model.logits, self.task.dims
        )

    def evaluate(self) -> HeldOutEvaluation:
        """The held-out figures of the towers as they are."""
        figures = evaluate_towers(self.task)
        return HeldOutEvaluation(mean_recall(figures), figures)

    def state(self) -> dict[str, Tensor]:
        """Nothing: a batch follows from the seed and the step."""
        return {}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Nothing to restore."""

    def _image_vectors(self, rows: NDArray[np.intp], rng: np.random.Generator) -> Tensor:
        task, augmentation = self.task, self.task.options.augmentation
        if task.frozen is not None:
            return task.model.projected(task.frozen.sample(rows, rng))
        pixels = torch.from_numpy(np.ascontiguousarray(task.pixels[rows]))
        if augmentation.any:
            pixels = augment(pixels, rng, shifted=augmentation.moved, mirrored=augmentation.mirrored)
        return task.model.images(pixels)

    def _rows(self, step: int) -> NDArray[np.intp]:
        """The step's images: each image once in an epoch, except for those that do not fill a batch."""
        epoch, batch = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng([self._seed, epoch, 1]).permutation(self.task.data.training)
        rows: NDArray[np.intp] = order[batch * self._batch : (batch + 1) * self._batch]
        return rows


def sample_captions(captions: Sequence[str], count: int, rng: np.random.Generator) -> list[str]:
    """``count`` different captions of an image, or all if it has fewer; the first one more often."""
    others = rng.permutation(len(captions) - 1) + 1
    order = [0, *others] if rng.random() < _FIRST_CAPTION_SHARE else [*others, 0]
    return [captions[index] for index in order[:count]]


def evaluate_towers(task: CaptionTask) -> Recalls:
    """The held-out figures of the towers as they are, with each image's first caption."""
    rows = task.data.held_out
    captions = [task.data.captions[row] for row in rows]
    texts = list(dict.fromkeys(own[0] for own in captions))
    if task.frozen is not None:
        with torch.no_grad():
            images = task.model.projected(task.frozen.unaugmented(rows)).cpu().numpy()
    else:
        images = task.model.embed(task.model.images, task.pixels[rows])
    vectors = task.model.embed(task.model.texts, texts)
    return recalls(images, vectors, matching_captions(captions, texts), task.dims)
