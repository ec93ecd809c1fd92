from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from nestvec.demo.local_images import find_images, image_folders
from nestvec_schemas.errors import DatasetUnusable


def put(path: Path, edge: int, colour: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (edge, edge), (colour, 0, 0)).save(path)
    return path


def test_each_image_once_at_its_largest(tmp_path: Path) -> None:
    put(tmp_path / "16x16" / "bell.png", 16, 1)
    put(tmp_path / "32x32" / "bell.png", 32, 1)
    largest = put(tmp_path / "48x48" / "bell.png", 48, 1)
    put(tmp_path / "48x48" / "ring.png", 48, 1)
    other = put(tmp_path / "48x48" / "sun.JPG", 48, 9)
    put(tmp_path / "48x48" / "cloud-symbolic.png", 48, 5)
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "notes.txt").write_text("nor this")
    assert find_images([tmp_path], 10) == [largest, other]


def test_of_many_some_from_everywhere(tmp_path: Path) -> None:
    paths = [put(tmp_path / f"{at:02}.png", 32, at) for at in range(20)]
    assert find_images([tmp_path], 5) == paths[::4]


def test_none_at_all(tmp_path: Path) -> None:
    with pytest.raises(DatasetUnusable, match=r"no image of at least 32 pixels.*--folder FOLDER"):
        find_images([tmp_path], 5)


def test_places_are_folders() -> None:
    assert all(one.is_dir() for one in image_folders())
