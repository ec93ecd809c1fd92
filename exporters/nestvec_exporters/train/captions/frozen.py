"""Features of images whose tower is not trained: computed once, of each image as it is and augmented."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nestvec_exporters.train.captions.image_cache import Pixels, augment
from nestvec_exporters.train.captions.options import CaptionOptions
from nestvec_exporters.train.captions.two_tower import TwoTowerModel

MAX_VIEWS: Final = 4
"""Views of an image if images are augmented; the first is the image as it is."""

_BATCH_IMAGES: Final = 64


class FrozenFeatures:
    """Features of all images, which ``sample`` returns instead of a pass through the tower."""

    def __init__(
        self,
        model: TwoTowerModel,
        pixels: Pixels,
        options: CaptionOptions,
        on_step: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self._views: list[Tensor] = []
        augmentation = options.augmentation
        count = MAX_VIEWS if augmentation.any else 1
        for view in range(count):
            features = []
            for start in range(0, len(pixels), _BATCH_IMAGES):
                batch = torch.from_numpy(np.ascontiguousarray(pixels[start : start + _BATCH_IMAGES]))
                if view:
                    rng = np.random.default_rng([options.hyperparameters.seed, start, view, 2])
                    batch = augment(batch, rng, shifted=augmentation.moved, mirrored=augmentation.mirrored)
                with torch.no_grad():
                    features.append(model.features(batch))
                on_step(view * len(pixels) + start, count * len(pixels))
            self._views.append(torch.cat(features))

    def sample(self, rows: NDArray[np.intp], rng: np.random.Generator) -> Tensor:
        """A random view of each image in ``rows``, (n, width) float32."""
        chosen = rng.integers(len(self._views), size=len(rows))
        pairs = zip(rows, chosen, strict=True)
        return torch.stack([self._views[view][int(row)] for row, view in pairs])

    def unaugmented(self, rows: NDArray[np.intp]) -> Tensor:
        """The features of images as they are, (n, width) float32."""
        return self._views[0][torch.from_numpy(rows)]
