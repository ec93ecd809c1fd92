from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from nestvec.images.decode import decode
from nestvec.service.verification import _address, _dense_weights

ORIENTATION = 0x0112


def sent(image: Image.Image) -> bytes:
    head, _, data = _address(image).partition(",")
    assert head == "data:image/png;base64"
    return base64.b64decode(data)


def test_an_image_keeps_its_palette_and_transparency() -> None:
    image = Image.new("RGB", (8, 6), "red").quantize(4)
    image.info["transparency"] = 0
    opened = Image.open(io.BytesIO(sent(image)))
    assert (opened.mode, opened.info["transparency"]) == ("P", 0)


@pytest.mark.parametrize("mode", ["L", "1", "RGBA", "LA"])
def test_an_image_keeps_its_mode(mode: str) -> None:
    assert Image.open(io.BytesIO(sent(Image.new(mode, (8, 6))))).mode == mode


def test_a_service_turns_an_image_as_the_camera_says() -> None:
    image = Image.new("RGB", (8, 6), "red")
    image.getexif()[ORIENTATION] = 6
    assert decode(sent(image), max_pixels=100, shown="a test").size == (6, 8)


def test_weights_of_words_stand_at_their_places() -> None:
    weights = np.array([(1, 0.5), (3, 2.0)], dtype=[("index", "<i4"), ("value", "<f4")])
    np.testing.assert_array_equal(_dense_weights(weights, 5), np.array([0, 0.5, 0, 2, 0], np.float32))
