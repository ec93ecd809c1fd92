from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

from nestvec.demo.contact_sheet import ImageMatch, Strip, render_html, render_png


@pytest.fixture
def strips(tmp_path: Path) -> list[Strip]:
    red, clear = tmp_path / "red<b>.png", tmp_path / "clear.png"
    Image.new("RGB", (300, 100), "#ff0000").save(red)
    Image.new("RGBA", (20, 20), (0, 0, 255, 0)).save(clear)
    found = (ImageMatch(red, 0.5), ImageMatch(clear, 0.25))
    return [Strip("what <is> it", found), Strip("like this one", found[:1], red)]


def test_a_row_per_question_and_uncropped_images_on_cards(strips: list[Strip]) -> None:
    sheet = render_png(strips)
    assert sheet.size == (16 + 2 * 144, 16 + 2 * 218)
    colours = {sheet.getpixel((16 + 64, 16 + 40 + down)) for down in (5, 64)}
    assert colours == {(255, 255, 255), (255, 0, 0)}
    # What is transparent shows the card.
    assert sheet.getpixel((16 + 144 + 64, 16 + 40 + 64)) == (255, 255, 255)


def test_the_page_needs_nothing_else_and_is_escaped(strips: list[Strip]) -> None:
    written = render_html(strips, "pictures & texts")
    assert written.count('src="data:image/png;base64,') == 4
    assert not re.search(r"https?://|<script|<link", written)
    assert "what &lt;is&gt; it" in written
    assert "red&lt;b&gt;" in written
    assert "<title>pictures &amp; texts</title>" in written
