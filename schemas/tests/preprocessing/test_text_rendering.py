from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont
from pydantic import ValidationError

from nestvec_schemas.errors import ManifestCorrupt
from nestvec_schemas.preprocessing.text_rendering import (
    Pixels,
    Rendering,
    line_patches,
    normalise_for_drawing,
    patch_count,
    render_text,
    stack_lines,
)

PIXEL = Rendering()
SHORT = Rendering(max_patches=6)
MANY_SIGNS = Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"

characters = st.characters(exclude_categories=()) | st.sampled_from(
    "aW.i \t\né\u0301\u200d\ufe0f\u202e字\U0001f600\0"
)
texts = st.text(characters, max_size=40)
printable = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40)


def black(pixels: Pixels, patch: int) -> bool:
    return bool((pixels[:, patch * 16 : (patch + 1) * 16] == 0).all())


@given(texts)
def test_a_line_is_whole_patches_that_a_black_one_ends(text: str) -> None:
    pixels, patches = render_text(text, PIXEL)
    assert pixels.dtype == np.uint8
    assert pixels.shape == (16, patches * 16, 3)
    assert [patch for patch in range(patches) if black(pixels, patch)] == [patches - 1]
    assert (pixels[:, :, :1] == pixels).all()


@given(texts)
def test_the_margins_stay_blank(text: str) -> None:
    pixels, patches = render_text(text, PIXEL)
    assert (pixels[:, : 1 if patches > 1 else 0] == 255).all()
    assert (pixels[:, (patches - 1) * 16 - 1 : (patches - 1) * 16] == 255).all()


@given(texts)
def test_the_same_text_gives_the_same_pixels(text: str) -> None:
    np.testing.assert_array_equal(render_text(text, PIXEL)[0], render_text(text, Rendering())[0])


@given(texts, texts)
def test_more_words_never_take_fewer_patches(text: str, more: str) -> None:
    assert render_text(f"{text} {more}", PIXEL)[1] >= render_text(text, PIXEL)[1]


@given(printable, printable)
def test_more_letters_never_take_fewer_patches(text: str, more: str) -> None:
    assert render_text(text + more, PIXEL)[1] >= render_text(text, PIXEL)[1]


@given(texts)
def test_what_is_cut_is_a_beginning_of_the_whole(text: str) -> None:
    whole, needed = render_text(text, PIXEL)
    pixels, patches = render_text(text, SHORT)
    assert patches == min(needed, 6)
    np.testing.assert_array_equal(pixels[:, : (patches - 1) * 16], whole[:, : (patches - 1) * 16])
    assert black(pixels, patches - 1)


@pytest.mark.parametrize("text", ["word " * 2_000_000, "i" * 40_000, "W" * 2_000, "\u0301" * 2_000_000])
def test_a_text_far_too_long_fills_every_patch(text: str) -> None:
    pixels, patches = render_text(text, PIXEL)
    assert patches == 529
    assert black(pixels, 528)
    assert (pixels[:, 527 * 16 : 528 * 16] < 255).any()


@pytest.mark.parametrize("text", ["", "\0\x07\x1b", "\u200b\u202e\ufeff"])
def test_where_nothing_is_to_be_seen_only_the_end_is(text: str) -> None:
    pixels, patches = render_text(text, PIXEL)
    assert patches == 1
    assert black(pixels, 0)


def test_one_patch_is_the_end_of_any_text() -> None:
    assert render_text("text", Rendering(max_patches=1))[0].tolist() == render_text("", PIXEL)[0].tolist()


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("a\tb\r\nc\u2028d", "a b  c d"),
        ("a\0\x1b[1mb", "a[1mb"),
        ("e\u0301", "é"),
        ("\U0001f468\u200d\U0001f52c \u2764\ufe0f", "\U0001f468\U0001f52c \u2764"),
        ("\ud83dx", "?x"),
    ],
)
def test_what_has_no_picture_is_not_drawn(text: str, drawn: str) -> None:
    assert normalise_for_drawing(text) == drawn
    np.testing.assert_array_equal(render_text(text, PIXEL)[0], render_text(drawn, PIXEL)[0])


@given(texts)
def test_what_is_drawn_is_drawn_as_it_is(text: str) -> None:
    assert normalise_for_drawing(normalise_for_drawing(text)) == normalise_for_drawing(text)


def test_letters_stand_between_the_edges_of_the_line() -> None:
    pixels, _ = render_text("".join(map(chr, range(33, 127))), PIXEL)
    taller = Rendering(patch_height=24)
    rows = (render_text("".join(map(chr, range(33, 127))), taller)[0][:, :-16] < 255).any(axis=(1, 2))
    first, last = np.flatnonzero(rows)[[0, -1]]
    assert last - first < 16
    assert (pixels[:, :-16] < 255).any(axis=(1, 2)).sum() == rows.sum()


def test_every_ascii_sign_has_a_picture_of_its_own() -> None:
    pictures = {render_text(chr(one), PIXEL)[0].tobytes() for one in range(33, 127)}
    assert len(pictures) == 94


def test_what_the_font_lacks_is_one_box() -> None:
    np.testing.assert_array_equal(render_text("字", PIXEL)[0], render_text("ж", PIXEL)[0])


def test_a_font_of_more_signs_tells_them_apart() -> None:
    lambda_, zhe = (render_text(text, PIXEL, MANY_SIGNS)[0] for text in ("λ", "ж"))
    assert lambda_.tobytes() != zhe.tobytes()


def test_a_font_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "own.ttf").write_text("no font")
    with pytest.raises(ManifestCorrupt, match=r"own\.ttf is not a font.*Export the encoder again"):
        render_text("a", PIXEL, tmp_path / "own.ttf")


def test_a_missing_font_is_not_looked_for_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(ManifestCorrupt, match="is not a font"):
        render_text("a", PIXEL, tmp_path / "DejaVuSans.ttf")


def test_the_colours_are_those_that_were_asked_for() -> None:
    how = Rendering(background=(10, 20, 30), foreground=(200, 100, 0))
    pixels, patches = render_text("i", how)
    assert patches == 2
    assert pixels[0, 0].tolist() == [10, 20, 30]
    assert (pixels[:, 16:] == (200, 100, 0)).all()


@given(st.lists(texts, max_size=4), st.none() | st.integers(60, 70))
@settings(max_examples=50)
def test_a_batch_is_its_lines_and_a_mask_over_their_patches(some: list[str], patches: int | None) -> None:
    lines = [render_text(text, Rendering(max_patches=60)) for text in some]
    pixels, mask = stack_lines([line for line, _ in lines], PIXEL, patches)
    width = patches if patches is not None else max((count for _, count in lines), default=0)
    assert pixels.shape == (len(some), 16, width * 16, 3)
    assert (mask.shape, mask.dtype) == ((len(some), width), np.int64)
    for row, ones, (line, count) in zip(pixels, mask, lines, strict=True):
        assert ones.tolist() == [1] * count + [0] * (width - count)
        np.testing.assert_array_equal(row[:, : count * 16], line)
        assert (row[:, count * 16 :] == 255).all()


def test_another_process_draws_the_same() -> None:
    program = (
        "import hashlib; from nestvec_schemas.preprocessing.text_rendering import Rendering, render_text;"
        "print(hashlib.sha256(render_text('Größe fits, AV.', Rendering())[0].tobytes()).hexdigest())"
    )
    here = hashlib.sha256(render_text("Größe fits, AV.", PIXEL)[0].tobytes()).hexdigest()
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == here


def test_the_pixels_are_those_of_a_layout_that_every_pillow_has() -> None:
    text = "fi AV ffl " * 300
    pixels, patches = render_text(text, PIXEL, MANY_SIGNS)
    font = ImageFont.truetype(MANY_SIGNS, 13, layout_engine=ImageFont.Layout.BASIC)
    whole = Image.new("RGB", (2 + int(font.getlength(text)), 16), "white")
    ImageDraw.Draw(whole).text((2, 12), text, "black", font, anchor="ls")
    assert patches == 529
    np.testing.assert_array_equal(pixels[:, :-16], np.asarray(whole)[:, : 528 * 16])


def test_the_record_is_frozen_and_closed() -> None:
    assert Rendering.model_validate_json(PIXEL.model_dump_json()) == PIXEL
    assert hash(PIXEL) == hash(Rendering())
    for wrong in ({"dpi": 120}, {"max_patches": 0}, {"background": (0, 0, 256)}, {"font_size": 0}):
        with pytest.raises(ValidationError):
            Rendering.model_validate(wrong)
    with pytest.raises(ValidationError):
        PIXEL.font_size = 9  # type: ignore[misc]


@given(texts)
def test_the_patches_wanted_are_those_that_a_longer_line_has(text: str) -> None:
    whole, needed = render_text(text, PIXEL)
    assert patch_count(text, PIXEL) == needed
    assert patch_count(text, SHORT) == needed or patch_count(text, SHORT) > SHORT.max_patches
    assert (patch_count(text, SHORT) > SHORT.max_patches) == (needed > SHORT.max_patches)
    assert line_patches(whole, PIXEL)["patches"].shape == (needed, 16, 16, 3)


def test_a_text_too_long_to_read_wants_more_than_there_is() -> None:
    assert patch_count("i" * 1_000_000, PIXEL) > PIXEL.max_patches
