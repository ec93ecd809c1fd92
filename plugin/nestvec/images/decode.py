"""Bytes to an image: the format is found by content, and the size is checked before decoding."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from PIL import Image, ImageOps, UnidentifiedImageError

from nestvec.images.cost import decoding_bytes, scan_count
from nestvec.images.policy import ImageLimits
from nestvec_schemas.errors import ImageUnreadable
from nestvec_schemas.preprocessing.pixels import to_8bit_color

FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "TIFF", "BMP")
"""The formats that are decoded, by Pillow's names. Formats that run an interpreter (EPS), or that
nobody tests, are not among them."""

# libjpeg goes through the whole image once for every scan: a file of 20 MB can keep it busy for hours.
_MAX_SCANS: Final = 100
_MAX_SCANNED_PIXELS: Final = 1_000_000_000
"""Pixels times scans of a JPEG: about 2 s."""

# What often arrives instead of a supported image, by how it begins.
_UNSUPPORTED_FORMATS: Final[tuple[tuple[re.Pattern[bytes], str], ...]] = (
    (re.compile(rb"(?s).{0,1000}<svg\b", re.IGNORECASE), "an SVG drawing"),
    (
        re.compile(rb"(?s)\s*(?:<!--.*?-->\s*)*<(?:!doctype html|html|head|body)\b", re.IGNORECASE),
        "a web page",
    ),
    (re.compile(rb"\s*<\?xml"), "XML"),
    (re.compile(rb"%PDF"), "a PDF"),
    (re.compile(rb"(?s)....ftyp(?:hei|hev|mif)"), "a HEIC image"),
    (re.compile(rb"\x00\x00\x00\x0cJXL |\xff\x0a"), "a JPEG XL image"),
    (re.compile(rb"\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51"), "a JPEG 2000 image"),
    (re.compile(rb"8BPS"), "a Photoshop file"),
    (re.compile(rb"\x1f\x8b|PK\x03\x04"), "an archive"),
    (re.compile(rb"\s*[{\[]"), "JSON or text"),
    (re.compile(rb"\Z"), "nothing"),
)


@lru_cache(maxsize=1)
def _available_formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)  # Pillow before 11.3 has no AVIF


@dataclass(frozen=True)
class OpenedImage:
    """An image whose header was read."""

    image: Image.Image
    shown: str
    """Its name in errors."""
    decoding_bytes: int
    """An upper bound of the memory to decode it."""


def open_image(data: bytes, limits: ImageLimits, shown: str) -> OpenedImage:
    """Read the header of an image; ``shown`` names it in errors.

    Raises ImageUnreadable for what is not an image, and for one that has more pixels, sides or scans than
    ``limits`` allow, or takes too much memory to decode.
    """
    scans = scan_count(data)
    with _errors_named(data, limits.max_pixels, shown):
        if scans > _MAX_SCANS:
            raise _unreadable(f"it has more than {_MAX_SCANS} scans", shown)
        image = Image.open(io.BytesIO(data), formats=_available_formats())
        width, height = image.size
        if width * height > limits.max_pixels:
            raise _too_many_pixels(limits.max_pixels, f"{shown}: {width} × {height}")
        if max(width, height) > limits.max_side:
            raise _too_much(f"a side of more than {limits.max_side} pixels", f"{shown}: {width} × {height}")
        if scans * width * height > _MAX_SCANNED_PIXELS:
            raise _too_much("too many scans for its size", f"{shown}: {scans} scans of {width} × {height}")
        needed = decoding_bytes(image, data)
        if needed > limits.max_decoding_bytes:
            raise ImageUnreadable(
                "decoding the image takes more memory than the service has for it",
                value=f"{shown}: {width} × {height}, {needed >> 20} MB",
                next_step="Store a smaller one, or have the service allow more (--image-memory).",
            )
        return OpenedImage(image, shown, needed)


def decode_opened(opened: OpenedImage, max_pixels: int = ImageLimits.max_pixels) -> Image.Image:
    """The first frame, upright, with 8 bits per channel: RGB, or RGBA if it has transparency.

    Raises ImageUnreadable for what is truncated, or cannot be decoded.
    """
    image = opened.image
    with _errors_named(b"", max_pixels, opened.shown):
        image.load()
        with suppress(Exception):  # damaged metadata does not make an image unreadable
            ImageOps.exif_transpose(image, in_place=True)
        upright = to_8bit_color(image)
        upright.info.clear()
        return upright


def detached(image: Image.Image) -> Image.Image:
    """The image without the file that it was read from."""
    return image.copy() if type(image) is not Image.Image else image


def decode(data: bytes, *, max_pixels: int, shown: str) -> Image.Image:
    """The first frame, upright, with 8 bits per channel: RGB, or RGBA if it has transparency.

    ``shown`` names the image in errors. Raises ImageUnreadable for what is not an image, is truncated, or has
    more than ``max_pixels``.
    """
    opened = open_image(data, ImageLimits(max_pixels=max_pixels), shown)
    return detached(decode_opened(opened, max_pixels))


@contextmanager
def _errors_named(data: bytes, max_pixels: int, shown: str) -> Iterator[None]:
    """Whatever a decoder raises, as an ImageUnreadable that names the image."""
    try:
        yield
    except UnidentifiedImageError as error:
        raise _unsupported(data, shown) from error
    except ImageUnreadable as error:
        if error.value is None or shown in str(error.value):
            raise
        raise ImageUnreadable(
            error.cause, value=f"{shown}: {error.value}", next_step=error.next_step
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_many_pixels(max_pixels, shown) from error
    except Exception as error:  # given hostile bytes, decoders raise anything
        raise _unreadable("it is damaged or truncated", shown) from error


def _unsupported(data: bytes, shown: str) -> ImageUnreadable:
    what = next((name for pattern, name in _UNSUPPORTED_FORMATS if pattern.match(data)), "an unknown format")
    return ImageUnreadable(
        f"this is not a supported image but {what}",
        value=shown,
        next_step=f"Store it as one of {', '.join(FORMATS)}.",
    )


def _too_many_pixels(max_pixels: int, shown: str) -> ImageUnreadable:
    return ImageUnreadable(
        f"the image has more than {max_pixels} pixels",
        value=shown,
        next_step="Store a smaller one.",
    )


def _too_much(of_what: str, value: str) -> ImageUnreadable:
    return ImageUnreadable(f"the image has {of_what}", value=value, next_step="Store a smaller one.")


def _unreadable(reason: str, shown: str) -> ImageUnreadable:
    return ImageUnreadable(
        f"the image cannot be read: {reason}", value=shown, next_step="Save it again, as JPEG or PNG."
    )
