"""Text drawn as pixels, for encoders that read pictures of text (PIXEL, Rust et al. 2023).

One line of square patches: 2 pixels of margin, the text, 2 more, blank up to the next patch, and one patch of
the text's colour that ends it, as PIXEL's own renderer lays it out; blank patches after that are masked.

The same text gives the same pixels wherever Pillow and its FreeType are the same. What Pillow carries as its
own font (Aileron) holds ASCII and 18 more signs: every other character is the same empty box, so that only
English can be told apart by it. An encoder that was trained on more brings its font as a file. With any font,
characters stand one after the other from left to right: no shaping, no ligatures, no right-to-left order, no
second font for what the first lacks, no colour. So Arabic, Hebrew and Indic scripts do not look as PIXEL's
own renderer (Pango) draws them.
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
"""Pixels before the text and at least as many after it."""

_SPACES: Final = frozenset("\t\n\v\f\r\x1c\x1d\x1e\x1f\x85\u2028\u2029")
_SELECTORS: Final = (range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0))


class Rendering(BaseModel):
    """How text is drawn: pixels of a patch, patches at most, font size in pixels, colours as RGB.

    The first size at which Pillow's own font fills 16 pixels is 13, and PIXEL's 8 points at 120 dpi are
    13.3 pixels. ``max_patches`` counts the patch that ends the text.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    patch_height: Annotated[int, Field(ge=1, le=128)] = 16
    patch_width: Annotated[int, Field(ge=1, le=128)] = 16
    max_patches: Annotated[int, Field(ge=1, le=4096)] = 529
    font_size: Annotated[int, Field(ge=1, le=256)] = 13
    background: Colour = (255, 255, 255)
    foreground: Colour = (0, 0, 0)


def render(text: str, how: Rendering, font: Path | None = None) -> tuple[Pixels, int]:
    """The text as one line of pixels, and its number of patches with the one that ends it.

    The pixels are (patch_height, patches * patch_width, 3) uint8. What does not fit ``max_patches`` is cut,
    and no more than a character for each pixel of their width is read. No text is only the patch that ends
    it. ``font`` is a TrueType or OpenType file in place of Pillow's own. Raises ManifestCorrupt where it
    cannot be read.
    """
    face = _font(font, how.font_size)
    most = how.max_patches * how.patch_width
    drawn = _filling(drawable(text[:most]), face, most)
    end = min(_needed(drawn, face, how), how.max_patches - 1)
    picture = Image.new("RGB", ((end + 1) * how.patch_width, how.patch_height), how.background)
    ascent, descent = face.getmetrics()
    baseline = (how.patch_height - ascent - descent) // 2 + ascent
    ImageDraw.Draw(picture).text((_MARGIN, baseline), drawn, how.foreground, face, anchor="ls")
    pixels = np.array(picture)
    pixels[:, end * how.patch_width :] = how.foreground
    return pixels, end + 1


def patches_wanted(text: str, how: Rendering, font: Path | None = None) -> int:
    """The patches that the whole text would take with the one that ends it; of a text that is cut, some
    number above ``max_patches``."""
    face = _font(font, how.font_size)
    most = how.max_patches * how.patch_width
    unread = 1 if len(text) > most else 0
    wanted = _needed(_filling(drawable(text[:most]), face, most), face, how) + 1
    return max(wanted, how.max_patches + 1) if unread else wanted


def patches_of(pixels: Pixels, how: Rendering) -> dict[str, NDArray[Any]]:
    """A line of ``render`` as a row of a batch: ``patches``, (p, patch_height, patch_width, 3) uint8, and
    ``attention_mask``, (p,) int64 of ones. The zeros that pad shorter rows are masked by it."""
    count = pixels.shape[1] // how.patch_width
    apart = pixels.reshape(how.patch_height, count, how.patch_width, 3).swapaxes(0, 1)
    return {"patches": np.ascontiguousarray(apart), "attention_mask": np.ones(count, np.int64)}


def stack(
    rows: Sequence[Pixels], how: Rendering, patches: int | None = None
) -> tuple[Pixels, NDArray[np.int64]]:
    """Lines of ``render`` as one batch, and its attention mask: 1 up to the patch that ends each text.

    (n, patch_height, p * patch_width, 3) uint8, filled with background, and (n, p) int64. p is ``patches``,
    which no line may exceed, or else that of the longest line.
    """
    counts = [row.shape[1] // how.patch_width for row in rows]
    width = max(counts, default=0) if patches is None else patches
    pixels = np.empty((len(rows), how.patch_height, width * how.patch_width, 3), np.uint8)
    pixels[:] = how.background
    for line, row in enumerate(rows):
        pixels[line, :, : row.shape[1]] = row
    mask = np.arange(width) < np.asarray(counts, np.int64).reshape(-1, 1)
    return pixels, mask.astype(np.int64)


def drawable(text: str) -> str:
    """The text as it is drawn: composed (NFC), a space for each line break and tab, nothing invisible.

    Other control and format characters (joiners and directions among them) and variation selectors are
    left out, since fonts draw a box for them; half of a surrogate pair is ``?``.
    """
    if text.isascii() and text.isprintable():
        return text
    shown = text.encode("utf-8", "replace").decode("utf-8")
    kept = (" " if one in _SPACES else one for one in shown if one in _SPACES or not _invisible(one))
    return unicodedata.normalize("NFC", "".join(kept))


def _needed(drawn: str, face: ImageFont.FreeTypeFont, how: Rendering) -> int:
    """Patches that hold the drawn text and its margins."""
    return math.ceil((2 * _MARGIN + face.getlength(drawn)) / how.patch_width) if drawn else 0


def _filling(drawn: str, face: ImageFont.FreeTypeFont, pixels: int) -> str:
    """A beginning of the text that is at least so wide, all of it if it is not: the rest would be cut."""
    characters = 256
    while characters < len(drawn) and face.getlength(drawn[:characters]) < pixels:
        characters *= 2
    return drawn[:characters]


def _invisible(character: str) -> bool:
    selector = any(ord(character) in some for some in _SELECTORS)
    return selector or unicodedata.category(character) in {"Cc", "Cf"}


@lru_cache(maxsize=32)
def _font(path: Path | None, size: int) -> ImageFont.FreeTypeFont:
    """Laid out by FreeType alone: with Raqm, pixels would depend on what else the machine has."""
    if path is None:
        face = ImageFont.load_default(size)
        if isinstance(face, ImageFont.FreeTypeFont):
            return face.font_variant(layout_engine=ImageFont.Layout.BASIC)
        raise ManifestCorrupt(
            "text cannot be drawn: Pillow was built without FreeType",
            next_step="Install Pillow from PyPI.",
        )
    try:
        # By its bytes: of a path that is not there, Pillow looks for the name among the system's fonts.
        return ImageFont.truetype(BytesIO(path.read_bytes()), size, layout_engine=ImageFont.Layout.BASIC)
    except OSError as error:
        raise ManifestCorrupt(
            f"{path} is not a font", value=str(error), next_step="Export the encoder again."
        ) from error
