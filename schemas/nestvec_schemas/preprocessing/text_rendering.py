"""Text drawn as pixels, for encoders that read images of text (PIXEL, Rust et al. 2023).

One line of square patches: 2 pixels of margin, the text, 2 more, blank up to the next patch, and one patch of
the text's color that ends it, as in PIXEL's own renderer; blank patches after that are masked.

The same text gives the same pixels wherever Pillow and its FreeType are the same. Pillow's own font
(Aileron) has ASCII and 18 more signs: every other character is the same empty box, so that it is useful for
English only. An encoder that was trained on more has its font as a file. With any font, characters are set
one after the other from left to right, without shaping, ligatures, right-to-left order, fallback fonts or
color. So Arabic, Hebrew and Indic scripts do not look as they do in PIXEL's own renderer (Pango).
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pydantic import BaseModel, ConfigDict, Field

from nestvec_schemas.errors import ManifestCorrupt

Pixels = NDArray[np.uint8]
Channel = Annotated[int, Field(ge=0, le=255)]
Colour = tuple[Channel, Channel, Channel]

_MARGIN: Final = 2
"""Pixels before the text, and at least as many after it."""

_LINE_BREAKS: Final = frozenset("\t\n\v\f\r\x1c\x1d\x1e\x1f\x85\u2028\u2029")
_VARIATION_SELECTORS: Final = (range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0))


class Rendering(BaseModel):
    """How text is drawn."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    patch_height: Annotated[int, Field(ge=1, le=128)] = 16
    """In pixels."""

    patch_width: Annotated[int, Field(ge=1, le=128)] = 16
    """In pixels."""

    max_patches: Annotated[int, Field(ge=1, le=4096)] = 529
    """The patch that ends the text included."""

    font_size: Annotated[int, Field(ge=1, le=256)] = 13
    """In pixels. 13 is the smallest size at which Pillow's own font fills 16 pixels; PIXEL's 8 points at 120
    dpi are 13.3 pixels."""

    background: Colour = (255, 255, 255)
    foreground: Colour = (0, 0, 0)


def render_text(text: str, rendering: Rendering, font: Path | None = None) -> tuple[Pixels, int]:
    """The text as one line of pixels, and its number of patches, the one that ends it included.

    The pixels are (patch_height, patches * patch_width, 3) uint8. What does not fit into ``max_patches`` is
    cut off; at most one character for each pixel of their width is read. An empty text is only the patch
    that ends it. ``font`` is a TrueType or OpenType file instead of Pillow's own font. Raises
    ManifestCorrupt if it cannot be read.
    """
    face = _load_font(font, rendering.font_size)
    max_width = rendering.max_patches * rendering.patch_width
    visible_text = _visible_prefix(normalise_for_drawing(text[:max_width]), face, max_width)
    end = min(_text_patches(visible_text, face, rendering), rendering.max_patches - 1)
    line = Image.new("RGB", ((end + 1) * rendering.patch_width, rendering.patch_height), rendering.background)
    ascent, descent = face.getmetrics()
    baseline = (rendering.patch_height - ascent - descent) // 2 + ascent
    ImageDraw.Draw(line).text((_MARGIN, baseline), visible_text, rendering.foreground, face, anchor="ls")
    pixels = np.array(line)
    pixels[:, end * rendering.patch_width :] = rendering.foreground
    return pixels, end + 1


def patch_count(text: str, rendering: Rendering, font: Path | None = None) -> int:
    """The number of patches of the text, the one that ends it included; any number above ``max_patches``
    if the text does not fit."""
    face = _load_font(font, rendering.font_size)
    max_width = rendering.max_patches * rendering.patch_width
    unread = 1 if len(text) > max_width else 0
    count = (
        _text_patches(
            _visible_prefix(normalise_for_drawing(text[:max_width]), face, max_width), face, rendering
        )
        + 1
    )
    return max(count, rendering.max_patches + 1) if unread else count


def line_patches(pixels: Pixels, rendering: Rendering) -> dict[str, NDArray[Any]]:
    """A line of ``render_text`` as a row of a batch: ``patches``, (p, patch_height, patch_width, 3) uint8,
    and ``attention_mask``, (p,) int64 of ones. The mask excludes the zeros that pad shorter rows."""
    count = pixels.shape[1] // rendering.patch_width
    apart = pixels.reshape(rendering.patch_height, count, rendering.patch_width, 3).swapaxes(0, 1)
    return {"patches": np.ascontiguousarray(apart), "attention_mask": np.ones(count, np.int64)}


def stack_lines(
    rows: Sequence[Pixels], rendering: Rendering, patches: int | None = None
) -> tuple[Pixels, NDArray[np.int64]]:
    """Lines of ``render_text`` as one batch, and its attention mask: 1 up to the patch that ends each text.

    (n, patch_height, p * patch_width, 3) uint8, padded with background, and (n, p) int64. p is ``patches``,
    which no line may exceed, or that of the longest line.
    """
    counts = [row.shape[1] // rendering.patch_width for row in rows]
    width = max(counts, default=0) if patches is None else patches
    pixels = np.empty((len(rows), rendering.patch_height, width * rendering.patch_width, 3), np.uint8)
    pixels[:] = rendering.background
    for line, row in enumerate(rows):
        pixels[line, :, : row.shape[1]] = row
    mask = np.arange(width) < np.asarray(counts, np.int64).reshape(-1, 1)
    return pixels, mask.astype(np.int64)


def normalise_for_drawing(text: str) -> str:
    """The text as it is drawn: composed (NFC), with a space for each line break and tab, and nothing
    invisible.

    Other control and format characters, such as joiners and direction marks, and variation selectors are
    removed, since fonts draw a box for them; half of a surrogate pair becomes ``?``.
    """
    if text.isascii() and text.isprintable():
        return text
    shown = text.encode("utf-8", "replace").decode("utf-8")
    characters = (
        " " if character in _LINE_BREAKS else character
        for character in shown
        if character in _LINE_BREAKS or not _invisible(character)
    )
    return unicodedata.normalize("NFC", "".join(characters))


def _text_patches(visible_text: str, face: ImageFont.FreeTypeFont, rendering: Rendering) -> int:
    """Number of patches of the drawn text and its margins."""
    return (
        math.ceil((2 * _MARGIN + face.getlength(visible_text)) / rendering.patch_width) if visible_text else 0
    )


def _visible_prefix(text: str, face: ImageFont.FreeTypeFont, width: int) -> str:
    """A prefix of the text that is at least ``width`` wide, or all of it: the rest would be cut off."""
    characters = 256
    while characters < len(text) and face.getlength(text[:characters]) < width:
        characters *= 2
    return text[:characters]


def _invisible(character: str) -> bool:
    is_selector = any(ord(character) in code_points for code_points in _VARIATION_SELECTORS)
    return is_selector or unicodedata.category(character) in {"Cc", "Cf"}


@lru_cache(maxsize=32)
def _load_font(path: Path | None, size: int) -> ImageFont.FreeTypeFont:
    """The font, laid out by FreeType: with Raqm, pixels would depend on what else is installed."""
    if path is None:
        face = ImageFont.load_default(size)
        if isinstance(face, ImageFont.FreeTypeFont):
            return face.font_variant(layout_engine=ImageFont.Layout.BASIC)
        raise ManifestCorrupt(
            "text cannot be drawn: Pillow was built without FreeType",
            next_step="Install Pillow from PyPI.",
        )
    try:
        # By its bytes: for a path that does not exist, Pillow searches the system's fonts for the name.
        return ImageFont.truetype(BytesIO(path.read_bytes()), size, layout_engine=ImageFont.Layout.BASIC)
    except OSError as error:
        raise ManifestCorrupt(
            f"{path} is not a font", value=str(error), next_step="Export the encoder again."
        ) from error
