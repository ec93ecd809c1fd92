"""Images as transformers' users load them, and what a checkpoint's own processor makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers.image_utils import load_image


def upright_rgb(image: Image.Image) -> Image.Image:
    """As ``transformers.image_utils.load_image`` gives it, on white where it is transparent.

    Its plain conversion would show the colours that are hidden behind transparency.
    """
    if image.has_transparency_data:
        above = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", above.size, "white"), above)
    upright: Image.Image = load_image(image)
    return upright


def processed(processor: Any, images: list[Image.Image]) -> dict[str, Tensor]:
    """The tensors that a model takes for images."""
    arrays = processor([upright_rgb(image) for image in images])
    return {name: torch.as_tensor(np.asarray(value)) for name, value in arrays.items()}


def frames_of(value: Any) -> list[Image.Image]:
    """An image, or the images of a sequence."""
    return list(value) if isinstance(value, tuple) else [value]
