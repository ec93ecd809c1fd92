"""An image of any shape as a bounded number of patches, identical for export, the embedded engine and Triton.

NaFlex of SigLIP 2 (Tschannen et al. 2025), as in transformers' image processor.
"""

from __future__ import annotations

import math
from typing import Annotated, Final

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from nestvec_schemas.preprocessing.collate import Arrays
from nestvec_schemas.preprocessing.pixels import (
    RESAMPLING_FILTERS,
    ColorLevel,
    Resample,
    flatten_transparency,
    to_8bit_color,
)

PATCHES: Final = "patches"
SPATIAL_SHAPES: Final = "spatial_shapes"
"""The input of a graph that reads images of any shape: rows and columns of their patches, (2,) int64."""

# As in transformers' search: another step would end at another number of patches here and there.
_SCALE_STEP: Final = 1e-5
_MAX_SCALE: Final = 100.0


class Patching(BaseModel):
    """How an image becomes square patches: its sides become multiples of ``edge``, with the aspect ratio as
    near to the original as the number of patches allows. Small images grow."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    edge: Annotated[int, Field(ge=1, le=256)]
    """Side of a patch in pixels."""

    most: Annotated[int, Field(ge=1, le=4096)]
    """Maximum number of patches."""

    resample: Resample = "bilinear"
    background: tuple[ColorLevel, ColorLevel, ColorLevel] = (255, 255, 255)
    """The color behind transparent pixels."""


def patch_grid(width: int, height: int, patching: Patching) -> tuple[int, int]:
    """The rows and columns of patches of an image of ``width`` × ``height`` pixels.

    They are those of the largest scale whose patches, rounded up on both sides, do not exceed the maximum,
    found by bisection as in transformers' Siglip2ImageProcessor.
    """

    def at(scale: float) -> tuple[int, int]:
        rows, columns = (max(1, math.ceil(side * scale / patching.edge)) for side in (height, width))
        return rows, columns

    low, high = _SCALE_STEP / 10, _MAX_SCALE
    while high - low >= _SCALE_STEP:
        middle = (low + high) / 2
        if math.prod(at(middle)) <= patching.most:
            low = middle
        else:
            high = middle
    return at(low)


def image_patches(image: Image.Image, patching: Patching) -> Arrays:
    """The image as the graph takes it: ``patches``, (p, edge, edge, 3) uint8 RGB, row by row; their
    ``attention_mask``, (p,) int64 of ones; ``spatial_shapes``. Raises ImageUnreadable as ``to_8bit_color``
    does.
    """
    flat = flatten_transparency(to_8bit_color(image), patching.background)
    rows, columns = patch_grid(*flat.size, patching)
    size = (columns * patching.edge, rows * patching.edge)
    levels = np.array(flat.resize(size, RESAMPLING_FILTERS[patching.resample]), dtype=np.uint8)
    apart = levels.reshape(rows, patching.edge, columns, patching.edge, 3).swapaxes(1, 2)
    return {
        PATCHES: np.ascontiguousarray(apart.reshape(-1, patching.edge, patching.edge, 3)),
        "attention_mask": np.ones(rows * columns, np.int64),
        SPATIAL_SHAPES: np.array([rows, columns], np.int64),
    }
