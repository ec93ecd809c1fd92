"""An image as the numbers that an encoder's graph takes, identical for export, the embedded engine and
Triton.

Scale, mean and standard deviation are not part of this: they are in the graph, which takes uint8.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, model_validator

from nestvec_schemas.errors import ImageUnreadable

Resize = Literal["shortest", "exact", "none"]
Crop = Literal["none", "floor", "round"]
Resample = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]

Side = Annotated[int, Field(ge=1, le=8192)]
ColorLevel = Annotated[int, Field(ge=0, le=255)]

RESAMPLING_FILTERS: Final[dict[Resample, Image.Resampling]] = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

# A strip of 1 × 1,000,000 pixels whose shorter edge is resized to 224 would fill 150 GB before it is cropped.
# Above this size, Pillow's two passes, horizontal and vertical, run one after the other on what the crop
# keeps, with the same pixels as result. Where even that is too much, only what the crop keeps is resized,
# whose coordinates Pillow rounds.
_MAX_RESIZED_PIXELS = 1 << 24
_MAX_PASS_PIXELS = 1 << 26

# Rows whose transparency is flattened at a time.
_STRIP_PIXELS = 1 << 18


class ImageTransform(BaseModel):
    """How an image becomes ``height`` × ``width`` pixels of RGB."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    height: Side
    width: Side

    resize: Resize = "exact"
    """``shortest`` resizes the shorter edge to ``edge`` and keeps the aspect ratio, ``exact`` resizes to
    ``edge`` × ``edge`` (without ``edge``, to ``height`` × ``width``), ``none`` keeps the size."""

    edge: Side | None = None

    crop: Crop = "none"
    """The centre is kept, with black if the image is too small. An odd pixel goes to the right and the
    bottom (``floor``, as in transformers) or is rounded half to even (``round``, as in torchvision)."""

    resample: Resample = "bicubic"

    background: tuple[ColorLevel, ColorLevel, ColorLevel] = (255, 255, 255)
    """The color behind transparent pixels."""

    @model_validator(mode="after")
    def _gives_its_size(self) -> ImageTransform:
        if self.resize == "shortest" and self.edge is None:
            raise ValueError("resize 'shortest' needs an edge")
        if self.resize == "none" and self.edge is not None:
            raise ValueError("resize 'none' takes no edge")
        if self.resize == "shortest" and self.crop == "none":
            raise ValueError("resize 'shortest' gives images of any shape: it needs a crop")
        if self.crop == "none" and self.edge is not None and {self.edge} != {self.height, self.width}:
            raise ValueError(
                f"resize to {self.edge} × {self.edge} does not give {self.height} × {self.width}"
            )
        return self


def image_pixels(image: Image.Image, transform: ImageTransform) -> NDArray[np.uint8]:
    """The image as the graph takes it: (height, width, 3) uint8, RGB, C-contiguous.

    Raises ImageUnreadable if its mode has no colors (see ``to_8bit_color``), or if it is not resized
    and does not have the size that the encoder accepts.
    """
    flat = flatten_transparency(to_8bit_color(image), transform.background)
    size = _resized_size(flat.size, transform)
    if transform.crop == "none":
        if size != (transform.width, transform.height):
            raise ImageUnreadable(
                f"the encoder accepts only images of {transform.width} × {transform.height} pixels",
                value=f"{size[0]} × {size[1]}",
                next_step="Resize the image before it is stored.",
            )
        return np.array(flat.resize(size, RESAMPLING_FILTERS[transform.resample]), dtype=np.uint8)
    return np.array(_center_crop(flat, size, transform), dtype=np.uint8)


def resizing_bytes(size: tuple[int, int], transform: ImageTransform) -> int:
    """An upper bound of the memory that ``image_pixels`` takes besides an RGB image of ``size``."""
    width, height = _resized_size(size, transform)
    first_pass = min(width * size[1], _MAX_PASS_PIXELS)
    return 4 * (first_pass + 2 * min(width * height, _MAX_RESIZED_PIXELS))


def to_8bit_color(image: Image.Image) -> Image.Image:
    """The image with 8 bits per channel: RGBA if it has transparency, else RGB.

    The upper 8 of 16 bits are kept, as in Pillow's 16-bit RGB; floating-point levels are from 0 to 1. Color
    profiles are not applied: no reference implementation of an encoder applies them.
    Raises ImageUnreadable for other levels, and for modes that Pillow does not convert to RGB.
    """
    if image.mode in ("RGB", "RGBA") and "transparency" not in image.info:
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return _gray_to_8bit(image).convert("RGB")
    try:
        return image.convert("RGBA" if image.has_transparency_data else "RGB")
    except ValueError as error:
        raise _unusable_levels(f"{image.mode} colors") from error


def _gray_to_8bit(image: Image.Image) -> Image.Image:
    levels = np.asarray(image)
    if levels.size and not (np.isfinite(levels).all() and levels.min() >= 0):
        raise _unusable_levels("negative or infinite gray levels")
    max_level = 1.0 if image.mode == "F" else 65535
    if levels.size and levels.max() > max_level:
        raise _unusable_levels(f"gray levels above {max_level:g}")
    eight = np.rint(levels * 255.0) if image.mode == "F" else levels >> 8
    return Image.fromarray(eight.astype(np.uint8))


def _unusable_levels(description: str) -> ImageUnreadable:
    return ImageUnreadable(
        "the image's levels are not colors that an encoder accepts",
        value=description,
        next_step="Store it as 8-bit RGB or grayscale.",
    )


def flatten_transparency(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    if image.mode == "RGB":
        return image
    width, height = image.size
    flat = Image.new("RGB", image.size)
    step = max(1, _STRIP_PIXELS // max(1, width))
    for top in range(0, height, step):
        strip = image.crop((0, top, width, min(top + step, height)))
        below = Image.new("RGBA", strip.size, (*background, 255))
        flat.paste(Image.alpha_composite(below, strip).convert("RGB"), (0, top))
    return flat


def _resized_size(size: tuple[int, int], transform: ImageTransform) -> tuple[int, int]:
    """(width, height) after the resize. The longer edge is rounded down, as in torchvision."""
    width, height = size
    if transform.resize == "none":
        return size
    if transform.resize == "exact" or transform.edge is None:
        return (
            (transform.width, transform.height)
            if transform.edge is None
            else (transform.edge, transform.edge)
        )
    if width <= height:
        return transform.edge, int(transform.edge * height / width)
    return int(transform.edge * width / height), transform.edge


def _center_crop(image: Image.Image, size: tuple[int, int], transform: ImageTransform) -> Image.Image:
    """The centre of ``image`` resized to ``size``, computed within a bounded amount of memory."""
    left, top = (
        _crop_start(size[0], transform.width, transform.crop),
        _crop_start(size[1], transform.height, transform.crop),
    )
    visible_box = (
        max(left, 0),
        max(top, 0),
        min(left + transform.width, size[0]),
        min(top + transform.height, size[1]),
    )
    resample = RESAMPLING_FILTERS[transform.resample]
    if transform.resize == "none":
        part = image.crop(visible_box)
    elif size[0] * size[1] <= _MAX_RESIZED_PIXELS:
        part = image.resize(size, resample).crop(visible_box)
    elif (
        size[0] * image.height <= _MAX_RESIZED_PIXELS
        and (visible_box[2] - visible_box[0]) * size[1] <= _MAX_PASS_PIXELS
    ):
        part = _resize_in_strips(image, size, visible_box, resample)
    else:
        across, down = image.width / size[0], image.height / size[1]
        box = (visible_box[0] * across, visible_box[1] * down, visible_box[2] * across, visible_box[3] * down)
        part = image.resize(
            (visible_box[2] - visible_box[0], visible_box[3] - visible_box[1]), resample, box=box
        )
    canvas = Image.new("RGB", (transform.width, transform.height))
    canvas.paste(part, (visible_box[0] - left, visible_box[1] - top))
    return canvas


def _resize_in_strips(
    image: Image.Image,
    size: tuple[int, int],
    visible_box: tuple[int, int, int, int],
    resample: Image.Resampling,
) -> Image.Image:
    """``image`` resized to ``size`` and cropped to ``visible_box``, strip by strip to bound memory."""
    left, top, right, bottom = visible_box
    wide = image.resize((size[0], image.height), resample).crop((left, 0, right, image.height))
    part = Image.new("RGB", (right - left, bottom - top))
    step = max(1, _MAX_RESIZED_PIXELS // size[1])
    for at in range(0, wide.width, step):
        end = min(at + step, wide.width)
        strip = wide.crop((at, 0, end, wide.height)).resize((end - at, size[1]), resample)
        part.paste(strip.crop((0, top, end - at, bottom)), (at, 0))
    return part


def _crop_start(length: int, crop_length: int, crop: Crop) -> int:
    """Offset of a crop of ``crop_length`` pixels in ``length``; negative if the crop is longer."""
    if crop == "floor":
        return (length - crop_length) // 2
    return round((length - crop_length) / 2) if length >= crop_length else -((crop_length - length) // 2)
