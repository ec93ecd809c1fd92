from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from nestvec_schemas.errors import ImageUnreadable
from nestvec_schemas.preprocessing import pixels as module
from nestvec_schemas.preprocessing.pixels import ImageTransform, image_pixels, to_8bit_color

sides = st.integers(1, 40)
pictures = st.one_of(
    st.builds(
        ImageTransform,
        height=sides,
        width=sides,
        resize=st.just("shortest"),
        edge=sides,
        crop=st.sampled_from(["floor", "round"]),
    ),
    st.builds(ImageTransform, height=sides, width=sides, resize=st.just("exact")),
    st.builds(
        ImageTransform,
        height=sides,
        width=sides,
        resize=st.just("exact"),
        edge=sides,
        crop=st.sampled_from(["floor", "round"]),
    ),
    st.builds(
        ImageTransform,
        height=sides,
        width=sides,
        resize=st.just("none"),
        crop=st.sampled_from(["floor", "round"]),
    ),
)


def noise(width: int, height: int, low: int = 0, high: int = 256) -> Image.Image:
    levels = np.random.default_rng(width * 1000 + height).integers(low, high, (height, width, 3))
    return Image.fromarray(levels.astype(np.uint8))


@given(pictures, sides, sides)
def test_every_picture_gets_the_size_that_the_graph_takes(
    how: ImageTransform, width: int, height: int
) -> None:
    found = image_pixels(noise(width, height), how)
    assert (found.shape, found.dtype) == ((how.height, how.width, 3), np.uint8)
    assert found.flags.c_contiguous


@given(pictures)
def test_a_picture_of_one_colour_stays_so_within_it(how: ImageTransform) -> None:
    found = image_pixels(Image.new("RGB", (50, 30), (200, 10, 60)), how)
    assert {tuple(one) for one in found.reshape(-1, 3).tolist()} <= {(200, 10, 60), (0, 0, 0)}


@given(pictures)
def test_how_survives_json(how: ImageTransform) -> None:
    assert ImageTransform.model_validate_json(how.model_dump_json()) == how


def test_the_shorter_edge_is_resized_and_the_centre_kept() -> None:
    image = noise(90, 60)
    how = ImageTransform(height=20, width=20, resize="shortest", edge=30, crop="floor")
    whole = np.asarray(image.resize((45, 30), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(image_pixels(image, how), whole[5:25, 12:32])


@pytest.mark.parametrize(
    ("length", "kept", "floor", "rounded"),
    [(10, 4, 3, 3), (11, 4, 3, 4), (9, 4, 2, 2), (4, 4, 0, 0), (4, 9, -3, -2), (4, 8, -2, -2)],
)
def test_where_a_crop_starts(length: int, kept: int, floor: int, rounded: int) -> None:
    """Rounding half to even, and padding, as torchvision's ``center_crop`` does."""
    image = Image.fromarray(np.arange(1, length + 1, dtype=np.uint8)[None, :].repeat(length, 0))
    for crop, start in (("floor", floor), ("round", rounded)):
        how = ImageTransform(height=kept, width=kept, resize="none", crop=crop)
        row = image_pixels(image, how)[kept // 2, :, 0].tolist()
        assert row == [x + 1 if 0 <= x < length else 0 for x in range(start, start + kept)]


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from(["bilinear", "bicubic", "lanczos"]))
def test_a_part_resized_alone_is_the_part_of_the_whole(width: int, height: int, resample: Any) -> None:
    how = ImageTransform(height=24, width=24, resize="shortest", edge=28, crop="floor", resample=resample)
    image = noise(width, height, 90, 166)  # what overshoots 0 or 255 is cut between Pillow's two passes
    whole = image_pixels(image, how)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_MAX_RESIZED_PIXELS", 0)
        part = image_pixels(image, how)
    assert np.abs(whole.astype(int) - part).max() <= 2


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from(["nearest", "bilinear", "bicubic", "lanczos"]))
def test_pass_by_pass_the_pixels_are_those_of_the_whole(width: int, height: int, resample: Any) -> None:
    how = ImageTransform(height=24, width=24, resize="shortest", edge=28, crop="floor", resample=resample)
    image = noise(width, height)
    whole = image_pixels(image, how)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_MAX_RESIZED_PIXELS", module._resized_size(image.size, how)[0] * height)
        np.testing.assert_array_equal(image_pixels(image, how), whole)


def test_a_strip_takes_no_memory_to_speak_of() -> None:
    how = ImageTransform(height=224, width=224, resize="shortest", edge=256, crop="floor")
    assert image_pixels(Image.new("RGB", (1_000_000, 1), (7, 8, 9)), how).reshape(-1, 3).tolist()[0] == [
        7,
        8,
        9,
    ]


def test_the_background_shows_through() -> None:
    clear = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    for background in ((255, 255, 255), (0, 0, 0), (1, 2, 3)):
        how = ImageTransform(height=4, width=4, background=background)
        assert image_pixels(clear, how)[0, 0].tolist() == list(background)
    half = Image.new("LA", (8, 8), (0, 128))
    assert image_pixels(half, ImageTransform(height=4, width=4))[0, 0].tolist() == [127, 127, 127]


def test_a_palette_and_its_clear_colour() -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    assert image_pixels(image, ImageTransform(height=2, width=2))[0, 0].tolist() == [10, 20, 30]
    image.info["transparency"] = 1
    assert image_pixels(image, ImageTransform(height=2, width=2))[0, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "LAB", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV"]
)
def test_each_mode_of_pillow_has_colours(mode: str) -> None:
    found = to_8bit_color(Image.new(mode, (3, 2)))
    assert found.mode == ("RGBA" if mode in ("LA", "PA", "RGBA", "RGBa") else "RGB")


@pytest.mark.parametrize("dtype", ["<u2", ">u2"])
def test_sixteen_bits_of_grey_keep_their_upper_half(dtype: str) -> None:
    levels = np.array([[0, 255, 256, 32768, 65535]], dtype=dtype)
    assert np.asarray(to_8bit_color(Image.fromarray(levels)))[0, :, 0].tolist() == [0, 0, 1, 128, 255]
    wide = Image.fromarray(levels.astype(np.int32))
    assert np.asarray(to_8bit_color(wide))[0, :, 0].tolist() == [0, 0, 1, 128, 255]


def test_floating_point_runs_from_0_to_1() -> None:
    levels = np.array([[0, 0.5, 1]], dtype=np.float32)
    assert np.asarray(to_8bit_color(Image.fromarray(levels)))[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize(
    ("levels", "found"),
    [
        (np.array([[-1]], np.int32), "negative"),
        (np.array([[70000]], np.int32), "above 65535"),
        (np.array([[1.5]], np.float32), "above 1"),
        (np.array([[np.nan]], np.float32), "infinite"),
    ],
)
def test_other_numbers_are_refused(levels: Any, found: str) -> None:
    with pytest.raises(ImageUnreadable, match=found):
        to_8bit_color(Image.fromarray(levels))


def test_a_mode_without_a_way_to_rgb_is_refused() -> None:
    with pytest.raises(ImageUnreadable, match="La colors"):
        to_8bit_color(Image.new("La", (2, 2)))


def test_a_size_that_is_not_resized_must_fit() -> None:
    how = ImageTransform(height=4, width=6, resize="none")
    assert image_pixels(noise(6, 4), how).shape == (4, 6, 3)
    with pytest.raises(ImageUnreadable, match="accepts only images of 6 × 4 pixels: 5 × 4"):
        image_pixels(noise(5, 4), how)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"resize": "shortest", "crop": "floor"}, "needs an edge"),
        ({"resize": "shortest", "edge": 8}, "needs a crop"),
        ({"resize": "none", "edge": 8}, "takes no edge"),
        ({"resize": "exact", "edge": 9}, "does not give 8 × 8"),
        ({"height": 0}, "greater than or equal to 1"),
        ({"resample": "sharp"}, "bicubic"),
        ({"background": (0, 0, 256)}, "less than or equal to 255"),
        ({"mean": 0.5}, "Extra inputs"),
    ],
)
def test_what_makes_no_sense_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        ImageTransform.model_validate({"height": 8, "width": 8, **fields})
