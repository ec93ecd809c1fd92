from __future__ import annotations

import io
import os
import struct
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from nestvec.images.decode import FORMATS, decode
from nestvec_schemas.errors import ImageUnreadable

DATA = Path(os.environ.get("NESTVEC_DATA", "../shared/data")).resolve()


def picture(width: int = 12, height: int = 8, mode: str = "RGB") -> Image.Image:
    levels = np.random.default_rng(width * 1000 + height).integers(0, 256, (height, width, 3))
    return Image.fromarray(levels.astype(np.uint8)).convert(mode)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def read(data: bytes, max_pixels: int = 1_000_000) -> Image.Image:
    return decode(data, max_pixels=max_pixels, shown="https://example.org/it")


def same(found: Image.Image, expected: Image.Image) -> bool:
    return found.mode == expected.mode and np.array_equal(np.asarray(found), np.asarray(expected))


LOSSLESS: dict[str, dict[str, Any]] = {
    "PNG": {},
    "WEBP": {"lossless": True},
    "TIFF": {"compression": "tiff_lzw"},
    "BMP": {},
}


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format(kind: str) -> None:
    image = picture(40, 30)
    found = read(encoded(image, kind, **LOSSLESS.get(kind, {})))
    assert (found.mode, found.size, found.info) == ("RGB", (40, 30), {})
    if kind in LOSSLESS:
        assert same(found, image)


@pytest.mark.parametrize(
    ("mode", "kind", "expected"),
    [
        ("1", "PNG", "RGB"),
        ("L", "PNG", "RGB"),
        ("L", "JPEG", "RGB"),
        ("LA", "PNG", "RGBA"),
        ("P", "PNG", "RGB"),
        ("P", "GIF", "RGB"),
        ("RGBA", "PNG", "RGBA"),
        ("RGBA", "WEBP", "RGBA"),
        ("RGBA", "AVIF", "RGBA"),
        ("RGBA", "TIFF", "RGBA"),
        ("CMYK", "TIFF", "RGB"),
        ("CMYK", "JPEG", "RGB"),
        ("YCbCr", "TIFF", "RGB"),
        ("LAB", "TIFF", "RGB"),
    ],
)
def test_every_mode(mode: str, kind: str, expected: str) -> None:
    image = Image.new("LAB", (32, 32), (128, 0, 0)) if mode == "LAB" else picture(32, 32, mode)
    if "A" in mode[1:] and mode != "LAB":
        image.putalpha(picture(32, 32, "L"))  # an opaque one is saved without its alpha
    found = read(encoded(image, kind))
    assert (found.mode, found.size) == (expected, (32, 32))


def test_a_palette_with_a_clear_colour() -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.putpixel((0, 0), 0)
    for kind in ("PNG", "GIF"):
        found = read(encoded(image, kind, transparency=0))
        assert found.mode == "RGBA"
        assert found.getpixel((0, 0)) == (0, 0, 0, 0)
        assert found.getpixel((3, 3)) == (10, 20, 30, 255)


def test_sixteen_bits_of_grey() -> None:
    levels = np.array([[0, 255, 256, 32768, 65535]], dtype=np.uint16)
    for kind in ("PNG", "TIFF"):
        found = read(encoded(Image.fromarray(levels), kind))
        assert np.asarray(found)[0, :, 0].tolist() == [0, 0, 1, 128, 255]


def png(width: int, height: int, rows: bytes, *, depth: int, colour: int) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows, 9))
        + chunk(b"IEND", b"")
    )


def test_sixteen_bits_of_rgb() -> None:
    rows = b"\x00" + struct.pack(">6H", 0, 0x80FF, 0xFFFF, 0x01FF, 0x0200, 0x7F00)
    found = read(png(2, 1, rows, depth=16, colour=2))
    assert np.asarray(found).tolist() == [[[0, 128, 255], [1, 2, 127]]]


def test_cmyk_is_not_inverted() -> None:
    white = read(encoded(Image.new("CMYK", (8, 8), (0, 0, 0, 0)), "JPEG"))
    black = read(encoded(Image.new("CMYK", (8, 8), (0, 0, 0, 255)), "JPEG"))
    assert white.getpixel((4, 4)) == (255, 255, 255)
    assert black.getpixel((4, 4)) == (0, 0, 0)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_of_an_animation_the_first_frame_is_taken(kind: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ((250, 0, 0), (0, 250, 0), (0, 0, 250))]
    found = read(encoded(frames[0], kind, save_all=True, append_images=frames[1:]))
    red, green, blue = found.convert("RGB").getpixel((8, 8))  # type: ignore[misc]
    assert red > 200 and green < 50 and blue < 50


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(10))
def test_a_camera_s_orientation_is_undone(kind: str, orientation: int) -> None:
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(picture(24, 16), kind, exif=exif)
    with Image.open(io.BytesIO(data)) as image:
        expected = ImageOps.exif_transpose(image)
    assert same(read(data), expected)
    assert (read(data).width < 24) is (5 <= orientation <= 8)


def test_a_damaged_orientation_is_ignored() -> None:
    data = encoded(picture(24, 16), "JPEG", exif=b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\xff\xff")
    assert read(data).size == (24, 16)


def test_the_size_is_looked_at_before_the_pixels() -> None:
    bomb = png(40_000, 40_000, b"", depth=8, colour=2)
    assert len(bomb) < 200
    with pytest.raises(ImageUnreadable, match="more than 1000000 pixels"):
        read(bomb)
    mild = png(2000, 2000, b"", depth=8, colour=2)
    with pytest.raises(
        ImageUnreadable, match=r"more than 1000000 pixels: https://example.org/it: 2000 × 2000"
    ):
        read(mild)
    with pytest.raises(ImageUnreadable, match="pixels"):
        read(encoded(Image.new("1", (1001, 1000)), "GIF"))
    assert read(encoded(Image.new("1", (1000, 1000)), "PNG")).size == (1000, 1000)


def test_a_jpeg_with_endless_scans() -> None:
    data = encoded(picture(64, 64), "JPEG", progressive=True)
    scan = data[data.rindex(b"\xff\xda") : -2]
    with pytest.raises(ImageUnreadable, match="more than 100 scans"):
        read(data[:-2] + scan * 200 + b"\xff\xd9")
    assert read(data).size == (64, 64)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "but nothing"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><!-- a --><SVG/>", "SVG"),
        (b"<?xml version='1.0'?><note/>", "XML"),
        (b"\n<!DOCTYPE html><html></html>", "a web page"),
        (b"<!-- a\n --><html>", "a web page"),
        (b"%PDF-1.7", "PDF"),
        (b"\x00\x00\x00\x18ftypheic", "HEIC"),
        (b"\x1f\x8b\x08", "archive"),
        (b'{"error": 1}', "JSON"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "an unknown format"),
        (b"\x00" * 64, "an unknown format"),
        (encoded(picture(), "PPM"), "an unknown format"),
        (encoded(picture(), "ICO"), "an unknown format"),
        (encoded(picture(), "JPEG2000"), "JPEG 2000"),
    ],
)
def test_what_is_no_image(data: bytes, said: str) -> None:
    with pytest.raises(ImageUnreadable, match=said) as caught:
        read(data)
    assert "https://example.org/it" in str(caught.value)


def test_numbers_that_are_no_colours() -> None:
    with pytest.raises(ImageUnreadable, match=r"not colors .*https://example.org/it: gray levels above 1"):
        read(encoded(Image.fromarray(np.array([[2.0]], np.float32)), "TIFF"))


@cache
def samples() -> tuple[bytes, ...]:
    made = [encoded(picture(40, 30, "RGB"), kind) for kind in FORMATS]
    made += [
        encoded(picture(40, 30, "P"), "PNG", transparency=1),
        encoded(
            picture(40, 30), "JPEG", progressive=True, exif=b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x00"
        ),
        encoded(picture(40, 30), "GIF", save_all=True, append_images=[picture(40, 30, "L")]),
        encoded(picture(40, 30, "CMYK"), "TIFF", compression="tiff_adobe_deflate"),
    ]
    made += [path.read_bytes() for path in sorted(DATA.glob("tuxpaint-stamps/images/*"))[::200]]
    made += [path.read_bytes() for path in sorted(DATA.glob("emoji/images/*"))[::700]]
    return tuple(made)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_an_image_that_is_cut_short_is_refused_or_whole(data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from(samples()))
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    try:
        found = read(cut)
    except ImageUnreadable:
        return
    assert same(found, read(whole))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_image_is_read_or_refused(data: st.DataObject) -> None:
    damaged = bytearray(data.draw(st.sampled_from(samples())))
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = read(bytes(damaged), max_pixels=100_000)
    except ImageUnreadable:
        return
    assert found.mode in ("RGB", "RGBA") and 0 < found.width * found.height <= 100_000


heads = [
    b"",
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"GIF89a",
    b"RIFF\x10\0\0\0WEBPVP8 ",
    b"II*\0",
    b"MM\0*",
    b"BM",
]


@settings(deadline=None)
@given(st.sampled_from(heads), st.binary(max_size=300))
@example(b"II*\0", b"\x08\0\0\0\xff\xff")
def test_random_bytes_are_refused(head: bytes, rest: bytes) -> None:
    try:
        read(head + rest, max_pixels=10_000)
    except ImageUnreadable:
        return
