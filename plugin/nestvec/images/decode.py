"""Bytes to a picture: the format by content, the size looked at before the pixels."""

from __future__ import annotations

import io
import re
from functools import lru_cache
from typing import Final

from PIL import Image, UnidentifiedImageError

from nestvec_schemas.errors import ImageUnreadable
from nestvec_schemas.preprocessing.pixels import to_8bit_color

FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "TIFF", "BMP")
"""What is decoded, by Pillow's names. Not the formats that run an interpreter (EPS) or that nobody tests."""

# libjpeg decodes the whole picture once for every scan: a file of 20 MB can keep it busy for hours.
_MAX_SCANS: Final = 100

_ORIENTATION: Final = 0x0112
_UPRIGHT: Final[dict[int, Image.Transpose]] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""How a picture is turned upright, by the value of EXIF's orientation (CIPA DC-008, 4.6.5.1.6)."""

# What often comes instead of a picture, by how it begins.
_UNSUPPORTED_FORMATS: Final[tuple[tuple[re.Pattern[bytes], str], ...]] = (
    (re.compile(rb"(?s).{0,1000}<svg\b", re.IGNORECASE), "an SVG drawing"),
    (
        re.compile(rb"(?s)\s*(?:<!--.*?-->\s*)*<(?:!doctype html|html|head|body)\b", re.IGNORECASE),
        "a web page",
    ),
    (re.compile(rb"\s*<\?xml"), "XML"),
    (re.compile(rb"%PDF"), "a PDF"),
    (re.compile(rb"(?s)....ftyp(?:hei|hev|mif)"), "a HEIC picture"),
    (re.compile(rb"\x00\x00\x00\x0cJXL |\xff\x0a"), "a JPEG XL picture"),
    (re.compile(rb"\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51"), "a JPEG 2000 picture"),
    (re.compile(rb"8BPS"), "a Photoshop file"),
    (re.compile(rb"\x1f\x8b|PK\x03\x04"), "an archive"),
    (re.compile(rb"\s*[{\[]"), "JSON or text"),
    (re.compile(rb"\Z"), "nothing"),
)


@lru_cache(maxsize=1)
def _available_formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)  # Pillow before 11.3 knows no AVIF


def decode(data: bytes, *, max_pixels: int, shown: str) -> Image.Image:
    """The first frame, upright, with 8 bits a channel: RGB, or RGBA where it has transparency.

    ``shown`` names the picture in errors. Raises ImageUnreadable for what is no picture, is cut short, or
    has more than ``max_pixels``.
    """
    if data.startswith(b"\xff\xd8") and data.count(b"\xff\xda") > _MAX_SCANS:
        raise _unreadable(f"it has more than {_MAX_SCANS} scans", shown)
    try:
        image = Image.open(io.BytesIO(data), formats=_available_formats())
        width, height = image.size
        if width * height > max_pixels:
            raise _too_many_pixels(max_pixels, f"{shown}: {width} × {height}")
        image.load()
        turn = _UPRIGHT.get(_orientation(image))
        pixels = to_8bit_color(image if turn is None else image.transpose(turn))
        pixels = pixels.copy() if pixels is image else pixels  # without the file that it was read from
        pixels.info.clear()
        return pixels
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
    except Exception as error:  # decoders of hostile bytes raise whatever comes to them
        raise _unreadable("it is damaged or cut short", shown) from error


def _orientation(image: Image.Image) -> int:
    try:
        found = image.getexif().get(_ORIENTATION)
    except Exception:  # a picture is no worse for what a camera wrote beside it
        return 1
    return found if isinstance(found, int) else 1


def _unsupported(data: bytes, shown: str) -> ImageUnreadable:
    what = next(
        (name for pattern, name in _UNSUPPORTED_FORMATS if pattern.match(data)), "no format that is known"
    )
    return ImageUnreadable(
        f"what came is not a picture that can be embedded but {what}",
        value=shown,
        next_step=f"Store it as one of {', '.join(FORMATS)}.",
    )


def _too_many_pixels(limit: int, shown: str) -> ImageUnreadable:
    return ImageUnreadable(
        f"the picture has more than {limit} pixels",
        value=shown,
        next_step="Store a smaller one, or have the service take more pixels a picture.",
    )


def _unreadable(why: str, shown: str) -> ImageUnreadable:
    return ImageUnreadable(
        f"the picture cannot be read: {why}", value=shown, next_step="Store it anew, as JPEG or PNG."
    )
