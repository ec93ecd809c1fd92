"""Generated images, the same every time, for comparing image towers."""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
from PIL import Image, ImageDraw

PROBE_IMAGES: Final = 24

_SIDES: Final = (40, 96, 224, 61, 300, 513)


@cache
def probe_images() -> tuple[Image.Image, ...]:
    """PROBE_IMAGES images, RGB, of many sizes and shapes: clouds of colour with figures on them.

    Clouds because natural images change slowly over most of their area, and figures because they do not
    at edges (Field 1987).
    """
    return tuple(_draw(number) for number in range(PROBE_IMAGES))


def _draw(number: int) -> Image.Image:
    chance = np.random.default_rng(number)
    size = (_SIDES[number % len(_SIDES)], _SIDES[(number * 5 + number // 6 + 2) % len(_SIDES)])
    image = Image.new("RGB", size)
    for grid in (2, 5, 13):
        levels = chance.integers(0, 256, (grid, grid, 3), dtype=np.uint8)
        cloud = Image.fromarray(levels).resize(size, Image.Resampling.BICUBIC)
        image = Image.blend(image, cloud, 0.5)
    pen = ImageDraw.Draw(image)
    for _ in range(number % 4):
        corners = chance.integers(0, max(size), 4).tolist()
        box = (*map(min, corners[:2], corners[2:]), *map(max, corners[:2], corners[2:]))
        colour = tuple(chance.integers(0, 256, 3).tolist())
        (pen.ellipse if chance.random() < 0.5 else pen.rectangle)(box, fill=colour)
    return image
