"""How much memory decoding an image takes, by its header alone."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Final

from PIL import Image

_EXIF_ORIENTATION: Final = 0x0112
_TIFF_ROWS_PER_STRIP, _TIFF_TILE_WIDTH, _TIFF_TILE_LENGTH = 278, 322, 323

_SMALL_MODES: Final = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}
"""Bytes for each pixel in Pillow's memory; 4 in all other modes."""

_DECODER_BYTES: Final = {"WEBP": 12, "AVIF": 10}
"""Bytes for each pixel that a decoder holds besides: libwebp two canvases and a copy, libavif planes and a
copy."""

_SCAN: Final = b"\xff\xda"


def decoding_bytes(image: Image.Image, data: bytes) -> int:
    """An upper bound of the memory to decode an opened image, until it is RGB without transparency."""
    width, height = image.size
    source = _SMALL_MODES.get(image.mode, 4)
    each = source + _DECODER_BYTES.get(image.format or "", 0)
    if image.format in ("JPEG", "MPO") and scan_count(data) > 1:
        each += math.ceil(2 * _samples(image))  # libjpeg keeps the coefficients of all scans
    if _may_be_turned(image, data):
        each += source
    transparent = image.has_transparency_data
    if image.mode == "F" or image.mode == "I":
        each += 16
    elif image.mode.startswith("I;"):
        each += 10
    elif image.mode not in ("RGB", "RGBA") or (image.mode == "RGB" and transparent):
        each += 4
    if transparent:
        each += 4
    return width * height * each + _strip_bytes(image)


def scan_count(data: bytes) -> int:
    """The scans of a JPEG; 0 for anything else."""
    return data.count(_SCAN) if data.startswith(b"\xff\xd8") else 0


def _may_be_turned(image: Image.Image, data: bytes) -> bool:
    """Whether the image may say that it lies on its side, also where only its end says it."""
    if image.format in ("JPEG", "MPO", "TIFF"):
        with suppress(Exception):  # what is damaged is not turned, but counting too much does no harm
            return bool(image.getexif().get(_EXIF_ORIENTATION, 1) != 1)
        return True
    return b"exif" in data.lower() if len(data) < 1 << 20 else True


def _samples(image: Image.Image) -> float:
    """The samples of a JPEG for each pixel: 3 in color, 1.5 if the colors have half the resolution."""
    layers: list[tuple[int, int, int, int]] = getattr(image, "layer", None) or [(0, 1, 1, 0)] * len(
        image.getbands()
    )
    full = max(layer[1] for layer in layers) * max(layer[2] for layer in layers)
    return sum(layer[1] * layer[2] for layer in layers) / max(1, full)


def _strip_bytes(image: Image.Image) -> int:
    """The largest strip or tile of a TIFF, which libtiff decodes as a whole; a tile may exceed the image."""
    tags = getattr(image, "tag_v2", None)
    if image.format != "TIFF" or tags is None:
        return 0
    width, height = image.size
    strip = width * min(int(tags.get(_TIFF_ROWS_PER_STRIP, height)), height)
    tile = int(tags.get(_TIFF_TILE_WIDTH, 0)) * int(tags.get(_TIFF_TILE_LENGTH, 0))
    return 8 * max(strip, tile)
