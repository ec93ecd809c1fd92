"""Features of pictures whose tower is not trained: computed once, of each picture as it is and moved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nestvec_exporters.train.captions.image_cache import Levels, moved
from nestvec_exporters.train.captions.options import CaptionOptions
from nestvec_exporters.train.captions.pair import Pair

VIEWS: Final = 4
"""Of each picture that is moved, the first as it is."""

_PASS: Final = 64


class Frozen:
    """Features of ``levels``, which ``of`` gives for a step in place of a pass through the tower."""

    def __init__(
        self,
        pair: Pair,
        levels: Levels,
        options: CaptionOptions,
        on_step: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self._views: list[Tensor] = []
        count = VIEWS if options.moved or options.mirrored else 1
        for view in range(count):
            found = []
            for start in range(0, len(levels), _PASS):
                part = torch.from_numpy(np.ascontiguousarray(levels[start : start + _PASS]))
                if view:
                    draw = np.random.default_rng([options.seed, start, view, 2])
                    part = moved(part, draw, shifted=options.moved, mirrored=options.mirrored)
                with torch.no_grad():
                    found.append(pair.features(part))
                on_step(view * len(levels) + start, count * len(levels))
            self._views.append(torch.cat(found))

    def of(self, rows: NDArray[np.intp], draw: np.random.Generator) -> Tensor:
        """A view by chance of each picture in ``rows``, (n, width) float32."""
        chosen = draw.integers(len(self._views), size=len(rows))
        pairs = zip(rows, chosen, strict=True)
        return torch.stack([self._views[view][int(at)] for at, view in pairs])

    def plain(self, rows: NDArray[np.intp]) -> Tensor:
        """Those of pictures as they are, (n, width) float32."""
        return self._views[0][torch.from_numpy(rows)]
