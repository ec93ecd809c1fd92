"""A run's images: decoded once, within limits, into a file of pixels; and augmented."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from nestvec_exporters.train.captions.data import CaptionData, PreparedCaptions
from nestvec_exporters.train.result import reporting_write_errors
from nestvec_schemas.errors import NestvecError, TrainingDataUnusable
from nestvec_schemas.preprocessing.pixels import ImageTransform, image_pixels

Pixels = NDArray[np.uint8]

PIXELS_FILE: Final = "pixels.npy"

_ZOOM_RANGE = (0.85, 1.3)
_MAX_SHIFT = 0.15
_MAX_ROTATION = math.radians(10)


def read_images(
    data: CaptionData,
    prepared: PreparedCaptions,
    preprocessing: ImageTransform,
    folder: Path,
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> Pixels:
    """The pixels of every image, (n, height, width, 3) uint8, mapped from a file in ``folder``.

    Raises TrainingDataUnusable for the first image that is missing, unreadable or over the limits, with its
    row; CheckpointError if the disk has no room for them.
    """
    path = folder / PIXELS_FILE
    if not path.is_file():
        temporary = path.with_name(f"new-{PIXELS_FILE}")
        shape = (len(prepared.images), preprocessing.height, preprocessing.width, 3)
        with reporting_write_errors(folder):
            table = np.lib.format.open_memmap(temporary, "w+", np.uint8, shape)
        for index, image_path in enumerate(prepared.images):
            try:
                table[index] = image_pixels(data.open_image(image_path), preprocessing)
            except NestvecError as error:
                raise TrainingDataUnusable(
                    f"{data.name}, row {prepared.rows[index] + 1}: {error.cause}",
                    value=error.value,
                    next_step=error.next_step,
                ) from error
            on_step(index + 1, shape[0])
        table.flush()
        del table
        temporary.replace(path)
    stored: Pixels = np.load(path, mmap_mode="r", allow_pickle=False)
    return stored


def augment(pixels: Tensor, rng: np.random.Generator, *, shifted: bool, mirrored: bool) -> Tensor:
    """Images, (n, height, width, 3), each zoomed, shifted and rotated slightly at random, as float32.

    Edges repeat outwards. ``mirrored`` mirrors half of the images on average, so that left and right lose
    their meaning.
    """
    count, strength = len(pixels), 1.0 if shifted else 0.0
    zoom = 1 / rng.uniform(*_ZOOM_RANGE, count) ** strength
    angle = rng.uniform(-_MAX_ROTATION, _MAX_ROTATION, count) * strength
    flip = np.where(rng.random(count) < 0.5, -1.0, 1.0) if mirrored else np.ones(count)
    transforms = np.empty((count, 2, 3))
    transforms[:, 0, 0], transforms[:, 0, 1] = zoom * np.cos(angle) * flip, -zoom * np.sin(angle)
    transforms[:, 1, 0], transforms[:, 1, 1] = zoom * np.sin(angle) * flip, zoom * np.cos(angle)
    transforms[:, :, 2] = rng.uniform(-_MAX_SHIFT, _MAX_SHIFT, (count, 2)) * strength
    planes = pixels.permute(0, 3, 1, 2).to(torch.float32)
    grid = affine_grid(torch.from_numpy(transforms).to(planes), list(planes.shape), align_corners=False)
    sampled = grid_sample(planes, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return sampled.permute(0, 2, 3, 1)
