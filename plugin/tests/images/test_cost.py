"""The memory that decoding takes, measured, against what is reckoned from the header."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from nestvec.images.cost import decoding_bytes, scan_count
from nestvec.images.decode import open_image
from nestvec.images.policy import ImageLimits
from nestvec_schemas.errors import ImageUnreadable

WIDTH, HEIGHT = 4000, 3000

SAMPLES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "png rgb": ("RGB", "PNG", {}),
    "png rgba": ("RGBA", "PNG", {}),
    "png palette": ("P", "PNG", {}),
    "png palette, transparent": ("P", "PNG", {"transparency": 0}),
    "png gray": ("L", "PNG", {}),
    "png gray with alpha": ("LA", "PNG", {}),
    "png 16 bits": ("I;16", "PNG", {}),
    "png one bit": ("1", "PNG", {}),
    "jpeg": ("RGB", "JPEG", {}),
    "jpeg progressive": ("RGB", "JPEG", {"progressive": True}),
    "jpeg progressive, full colors": ("RGB", "JPEG", {"progressive": True, "subsampling": 0}),
    "jpeg on its side": ("RGB", "JPEG", {"orientation": 6}),
    "jpeg cmyk": ("CMYK", "JPEG", {}),
    "webp": ("RGB", "WEBP", {}),
    "webp lossless": ("RGBA", "WEBP", {"lossless": True, "quality": 0, "method": 0}),
    "gif": ("P", "GIF", {}),
    "avif": ("RGB", "AVIF", {"speed": 10}),
    "tiff lzw": ("RGB", "TIFF", {"compression": "tiff_lzw"}),
    "tiff floats": ("F", "TIFF", {"compression": "tiff_adobe_deflate"}),
    "tiff one strip": ("CMYK", "TIFF", {"compression": "tiff_lzw", "strip_size": 1 << 30}),
    "bmp": ("RGB", "BMP", {}),
}

_MEASURE = """
import gc, re, sys
from pathlib import Path
from nestvec.images.decode import decode_opened, open_image
from nestvec.images.policy import ImageLimits
from nestvec_schemas.preprocessing.pixels import ImageTransform, image_pixels, resizing_bytes

transform = ImageTransform(height=64, width=64, resize="shortest", edge=64, crop="floor")

def status(field):
    (kilobytes,) = re.findall(rf"^{field}:\\s+(\\d+) kB", Path("/proc/self/status").read_text(), re.M)
    return int(kilobytes) << 10

limits = ImageLimits(max_memory=1 << 40)
image_pixels(decode_opened(open_image(Path(sys.argv[1]).read_bytes(), limits, "warm")), transform)
for path in sys.argv[1:]:
    data = Path(path).read_bytes()
    opened = open_image(data, limits, "it")
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    image_pixels(decode_opened(opened), transform)
    print(status("VmHWM") - before, opened.decoding_bytes + resizing_bytes((4000, 3000), transform))
    del opened
    gc.collect()
"""


_RETURN_MEMORY = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}
"""What has the allocator give memory back at once, so that none of it is used again unseen."""


def encoded(mode: str, kind: str, options: dict[str, Any], size: tuple[int, int]) -> bytes:
    options = dict(options)
    if "orientation" in options:
        exif = Image.Exif()
        exif[0x0112] = options.pop("orientation")
        options["exif"] = exif
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux says the peak of memory")
def test_no_image_takes_more_memory_than_reckoned(tmp_path: Path) -> None:
    warm = tmp_path / "warm"
    warm.write_bytes(encoded("RGB", "PNG", {}, (8, 8)))
    paths = []
    for name, sample in SAMPLES.items():
        path = tmp_path / name
        path.write_bytes(encoded(*sample, (WIDTH, HEIGHT)))
        paths.append(str(path))
    command = [sys.executable, "-W", "ignore", "-c", _MEASURE, str(warm), *paths]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
        env=os.environ | _RETURN_MEMORY,
    )
    measured = [tuple(map(int, line.split())) for line in done.stdout.splitlines()][1:]
    assert len(measured) == len(SAMPLES)
    slack = 12 << 20  # decoders' tables, and memory that the allocator keeps
    over = {
        name: (peak >> 20, reckoned >> 20)
        for name, (peak, reckoned) in zip(SAMPLES, measured, strict=True)
        if peak > reckoned + slack
    }
    assert not over, over
    peaks, bounds = (sum(column) for column in zip(*measured, strict=True))
    assert peaks > bounds / 3, "memory was measured at all"


def test_a_tile_may_be_larger_than_its_image() -> None:
    image = Image.new("L", (8, 8))
    tags = {322: 1 << 16, 323: 1 << 16}
    buffer = io.BytesIO()
    image.save(buffer, "TIFF")
    with Image.open(buffer) as opened:
        small = decoding_bytes(opened, buffer.getvalue())
        for tag, value in tags.items():
            opened.tag_v2[tag] = value  # type: ignore[attr-defined]
        assert decoding_bytes(opened, buffer.getvalue()) - small > 1 << 34


@pytest.mark.parametrize(
    ("size", "limits", "message"),
    [
        ((70_000, 1), ImageLimits(), "a side of more than 65535 pixels"),
        ((1, 300), ImageLimits(max_side=299), "a side of more than 299 pixels"),
        ((300, 300), ImageLimits(max_pixels=89_999), "more than 89999 pixels"),
        ((2000, 2000), ImageLimits(max_memory=2 << 20), r"more memory .* 2000 × 2000, 15 MB.*--image-memory"),
    ],
)
def test_limits_that_the_header_shows(size: tuple[int, int], limits: ImageLimits, message: str) -> None:
    with pytest.raises(ImageUnreadable, match=message):
        open_image(encoded("RGB", "PNG", {}, size), limits, "it")


def test_many_scans_of_a_large_jpeg() -> None:
    data = encoded("RGB", "JPEG", {"progressive": True}, (5000, 5000))
    scan = data[data.rindex(b"\xff\xda") : -2]
    data = data[:-2] + scan * 40 + b"\xff\xd9"
    assert scan_count(data) > 40
    with pytest.raises(ImageUnreadable, match="too many scans for its size"):
        open_image(data, ImageLimits(), "it")
