"""Pictures as a run keeps them: read once, within limits, their pixels in a file; and moved a little."""

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

from nestvec_exporters.train.captions.data import CaptionData, Prepared
from nestvec_exporters.train.result import writing
from nestvec_schemas.errors import NestvecError, TrainingDataUnusable
from nestvec_schemas.preprocessing.pixels import Picture, pixels

Levels = NDArray[np.uint8]

PIXELS: Final = "pixels.npy"

_ZOOM = (0.85, 1.3)
_SHIFT = 0.15
_TURN = math.radians(10)


def read_pictures(
    data: CaptionData,
    prepared: Prepared,
    how: Picture,
    work: Path,
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> Levels:
    """The pixels of every picture, (n, height, width, 3) uint8, mapped from a file in ``work``.

    Raises TrainingDataUnusable for the first that is missing, no picture or over the limits, with its row;
    CheckpointError where there is no room for them.
    """
    path = work / PIXELS
    if not path.is_file():
        new = path.with_name(f"new-{PIXELS}")
        shape = (len(prepared.pictures), how.height, how.width, 3)
        with writing(work):
            levels = np.lib.format.open_memmap(new, "w+", np.uint8, shape)
        for at, picture in enumerate(prepared.pictures):
            try:
                levels[at] = pixels(data.opened(picture), how)
            except NestvecError as error:
                raise TrainingDataUnusable(
                    f"{data.name}, row {prepared.rows[at] + 1}: {error.cause}",
                    value=error.value,
                    next_step=error.next_step,
                ) from error
            on_step(at + 1, shape[0])
        levels.flush()
        del levels
        new.replace(path)
    found: Levels = np.load(path, mmap_mode="r", allow_pickle=False)
    return found


def moved(levels: Tensor, draw: np.random.Generator, *, shifted: bool, mirrored: bool) -> Tensor:
    """Pictures, (n, height, width, 3) of levels, each zoomed, shifted and turned a little by chance, float32.

    What comes in at an edge is what was there. ``mirrored`` mirrors every second one on average: left and
    right then mean nothing any more.
    """
    count, much = len(levels), 1.0 if shifted else 0.0
    zoom = 1 / draw.uniform(*_ZOOM, count) ** much
    turn = draw.uniform(-_TURN, _TURN, count) * much
    flip = np.where(draw.random(count) < 0.5, -1.0, 1.0) if mirrored else np.ones(count)
    place = np.empty((count, 2, 3))
    place[:, 0, 0], place[:, 0, 1] = zoom * np.cos(turn) * flip, -zoom * np.sin(turn)
    place[:, 1, 0], place[:, 1, 1] = zoom * np.sin(turn) * flip, zoom * np.cos(turn)
    place[:, :, 2] = draw.uniform(-_SHIFT, _SHIFT, (count, 2)) * much
    planes = levels.permute(0, 3, 1, 2).to(torch.float32)
    grid = affine_grid(torch.from_numpy(place).to(planes), list(planes.shape), align_corners=False)
    found = grid_sample(planes, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return found.permute(0, 2, 3, 1)
