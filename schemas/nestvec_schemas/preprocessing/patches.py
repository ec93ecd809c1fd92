"""A picture in its own shape, as patches of a budget: the same for export, embedded and Triton.

NaFlex of SigLIP 2 (Tschannen et al. 2025), as transformers' image processor does it.
"""

from __future__ import annotations

import math
from typing import Annotated, Final

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from nestvec_schemas.preprocessing.collate import Arrays
from nestvec_schemas.preprocessing.pixels import FILTERS, Level, Resample, coloured, on_background

PATCHES: Final = "patches"
SHAPES: Final = "spatial_shapes"
"""The input of a graph that reads pictures of any shape: rows and columns of their patches, (2,) int64."""

# As transformers seeks it: other steps would end beside an edge here and there.
_STEP: Final = 1e-5
_LARGEST: Final = 100.0


class Patching(BaseModel):
    """How a picture becomes at most ``most`` square patches of ``edge`` pixels.

    Its sides become multiples of ``edge``, as near to its shape as the budget allows; small pictures grow.
    ``background`` shows through transparency.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    edge: Annotated[int, Field(ge=1, le=256)]
    most: Annotated[int, Field(ge=1, le=4096)]
    resample: Resample = "bilinear"
    background: tuple[Level, Level, Level] = (255, 255, 255)


def grid(width: int, height: int, how: Patching) -> tuple[int, int]:
    """The rows and columns of patches of a picture of ``width`` × ``height`` pixels.

    The largest scale whose patches, rounded up on both sides, keep to the budget, found by halving as
    transformers' Siglip2ImageProcessor finds it.
    """

    def at(scale: float) -> tuple[int, int]:
        rows, columns = (max(1, math.ceil(side * scale / how.edge)) for side in (height, width))
        return rows, columns

    low, high = _STEP / 10, _LARGEST
    while high - low >= _STEP:
        middle = (low + high) / 2
        if math.prod(at(middle)) <= how.most:
            low = middle
        else:
            high = middle
    return at(low)


def patched(image: Image.Image, how: Patching) -> Arrays:
    """The picture as the graph takes it: ``patches``, (p, edge, edge, 3) uint8 RGB, row by row; their
    ``attention_mask``, (p,) int64 of ones; ``spatial_shapes``. Raises ImageUnreadable as ``coloured`` does.
    """
    flat = on_background(coloured(image), how.background)
    rows, columns = grid(*flat.size, how)
    size = (columns * how.edge, rows * how.edge)
    levels = np.array(flat.resize(size, FILTERS[how.resample]), dtype=np.uint8)
    apart = levels.reshape(rows, how.edge, columns, how.edge, 3).swapaxes(1, 2)
    return {
        PATCHES: np.ascontiguousarray(apart.reshape(-1, how.edge, how.edge, 3)),
        "attention_mask": np.ones(rows * columns, np.int64),
        SHAPES: np.array([rows, columns], np.int64),
    }
