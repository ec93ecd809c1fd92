"""Contact sheets of the images that were found: one PNG, and one self-contained HTML page."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw, ImageFont, ImageOps

from nestvec_schemas.preprocessing.pixels import to_8bit_color

_EDGE: Final = 128
_GAP: Final = 16
_TITLE: Final = 40
_CAPTION: Final = 34
_PAPER, _CARD, _INK, _MUTED = "#f6f6f4", "#ffffff", "#1b1b1a", "#6a6a66"

_STYLE: Final = """
:root { color-scheme: light dark; --paper: #f6f6f4; --card: #fff; --ink: #1b1b1a; --muted: #6a6a66 }
@media (prefers-color-scheme: dark) {
  :root { --paper: #191918; --card: #e9e9e6; --ink: #f0f0ee; --muted: #a3a39e } }
body { margin: 2rem auto; max-width: 76rem; padding: 0 1rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem }
h2 img { height: 2.5rem; width: 2.5rem; object-fit: contain; vertical-align: middle; margin-left: .5rem }
ol { display: grid; grid-template-columns: repeat(auto-fill, minmax(7.5rem, 1fr)); gap: 1rem; padding: 0;
  list-style: none } figure { margin: 0 }
figure img { width: 100%; aspect-ratio: 1; object-fit: contain; background: var(--card);
  border-radius: .5rem }
figcaption { color: var(--muted); font-size: .8rem; overflow-wrap: anywhere }
"""


@dataclass(frozen=True)
class ImageMatch:
    """An image that was found, and its cosine similarity."""

    path: Path
    score: float


@dataclass(frozen=True)
class Strip:
    """A question and what was found."""

    question: str

    matches: tuple[ImageMatch, ...]
    """Best first."""

    image: Path | None = None
    """The image that the matches are similar to, if the question is not a text."""


def render_png(strips: Sequence[Strip]) -> Image.Image:
    """The sheet as one image: a row of thumbnails per question."""
    columns = max(len(match.matches) for match in strips)
    row_height = _TITLE + _EDGE + _CAPTION + _GAP
    sheet = Image.new("RGB", (_GAP + columns * (_EDGE + _GAP), _GAP + len(strips) * row_height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    large, small = ImageFont.load_default(20), ImageFont.load_default(12)
    for row, strip in enumerate(strips):
        top = _GAP + row * row_height
        pen.text((_GAP, top + 6), strip.question, _INK, large)
        if strip.image is not None:
            at = int(_GAP + pen.textlength(strip.question, large) + _GAP)
            sheet.paste(_thumbnail(strip.image, _TITLE - 4), (at, top))
        for column, match in enumerate(strip.matches):
            left = _GAP + column * (_EDGE + _GAP)
            sheet.paste(_thumbnail(match.path, _EDGE), (left, top + _TITLE))
            caption = f"{_shorten(match.path.stem, small)}\n{match.score:.2f}"
            pen.multiline_text((left, top + _TITLE + _EDGE + 4), caption, _MUTED, small)
    return sheet


def render_html(strips: Sequence[Strip], title: str) -> str:
    """The sheet as an HTML document, the thumbnails inside it."""
    sections = "\n".join(_section(strip) for strip in strips)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style></head>\n"
        f"<body><h1>{escape(title)}</h1>\n{sections}\n</body></html>\n"
    )


def _section(strip: Strip) -> str:
    like = f'<img src="{_data_uri(strip.image)}" alt="">' if strip.image is not None else ""
    figures = "\n".join(
        f'<li><figure><img src="{_data_uri(match.path)}" alt="{escape(match.path.stem)}">'
        f"<figcaption>{escape(match.path.stem)}<br>{match.score:.2f}</figcaption></figure></li>"
        for match in strip.matches
    )
    return f"<section><h2>{escape(strip.question)}{like}</h2>\n<ol>{figures}</ol></section>"


def _data_uri(path: Path) -> str:
    buffer = io.BytesIO()
    _thumbnail(path, _EDGE).save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _thumbnail(path: Path, edge: int) -> Image.Image:
    """The image fitted into a square of ``edge`` pixels, enlarged to at most twice its size."""
    card = Image.new("RGB", (edge, edge), _CARD)
    with Image.open(path) as image:
        shown = to_8bit_color(ImageOps.exif_transpose(image))
    room = min(edge, 2 * max(shown.size))
    shown = ImageOps.contain(shown, (room, room))
    at = ((edge - shown.width) // 2, (edge - shown.height) // 2)
    card.paste(shown, at, shown if shown.mode == "RGBA" else None)
    return card


def _shorten(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """As much of a text as is no wider than a thumbnail."""
    while text and font.getlength(text) > _EDGE:
        text = text.rstrip("…")[:-1] + "…"
    return text
