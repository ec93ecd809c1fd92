"""Pictures with captions: the right columns of every kind of file, and what is wrong named with its place."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from nestvec.datasets import captions
from nestvec.datasets.captions import open_image, read_captions
from nestvec.images.policy import ImageLimits
from nestvec_schemas.errors import ImageUnreadable, TrainingDataUnusable

ROWS = [
    {"_id": "1", "image": "images/frog.png", "caption": "a frog", "tags": ["animal", ""], "split": "train"},
    {"_id": "2", "image": "/p/car.png", "caption": "a car", "tags": None, "split": "test"},
]


def jsonl(folder: Path, *rows: object) -> Path:
    path = folder / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_paths_begin_at_the_file_and_lists_are_several_captions(tmp_path: Path) -> None:
    found = read_captions(jsonl(tmp_path, *ROWS), None, None)
    assert found.images == (tmp_path / "images" / "frog.png", Path("/p/car.png"))
    assert found.captions == (("a frog", "animal"), ("a car",))


def test_columns_are_the_images_and_then_captions_in_order(tmp_path: Path) -> None:
    found = read_captions(jsonl(tmp_path, *ROWS), ("image", "tags", "caption"), ("split", "train"))
    assert found.captions == (("animal", "a frog"),)


def test_csv_and_parquet_are_read_alike(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("image,caption\na.png,one\nb.png,two\n")
    pq.write_table(
        pa.table({"image": ["a.png", "b.png"], "caption": [["one"], ["two"]]}), tmp_path / "p.parquet"
    )
    for name in ("pairs.csv", "p.parquet"):
        found = read_captions(tmp_path / name, None, None)
        assert found.images == (tmp_path / "a.png", tmp_path / "b.png")
        assert found.captions == (("one",), ("two",))


@pytest.mark.parametrize(
    ("row", "columns", "only", "says"),
    [
        ({"image": "a.png", "caption": 7}, None, None, "line 1: caption is neither a text nor"),
        ({"image": "a.png", "caption": ["a", 7]}, None, None, "neither a text nor"),
        ({"image": "", "caption": "a"}, None, None, "image is not the path of an image"),
        ({"image": ["a.png"], "caption": "a"}, None, None, "image is not the path of an image"),
        ({"image": "a.png", "words": "a"}, None, None, "cannot determine which columns"),
        ({"image": "a.png", "caption": "a"}, ("image",), None, "cannot determine which columns"),
        ({"image": "a.png", "caption": "a"}, ("image", "captoin"), None, "caption"),
        ({"image": "a.png", "caption": "a"}, None, ("split", "train"), "no column of this name"),
        (
            {"image": "a.png", "caption": "a", "split": "x"},
            None,
            ("split", "train"),
            "has this value in split",
        ),
    ],
)
def test_errors_name_the_place(
    tmp_path: Path,
    row: dict[str, object],
    columns: tuple[str, ...] | None,
    only: tuple[str, str] | None,
    says: str,
) -> None:
    with pytest.raises(TrainingDataUnusable, match=says):
        read_captions(jsonl(tmp_path, row), columns, only)


def test_images_are_read_within_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (30, 20), "red").save(path)
    assert open_image(path).size == (30, 20)
    monkeypatch.setattr(captions, "_LIMITS", ImageLimits(max_pixels=599))
    with pytest.raises(ImageUnreadable, match="more than 599 pixels"):
        open_image(path)
    monkeypatch.setattr(captions, "_LIMITS", ImageLimits(max_bytes=10))
    with pytest.raises(ImageUnreadable, match="more than 10 bytes"):
        open_image(path)


@pytest.mark.parametrize(("data", "says"), [(None, "there is no such file"), (b"<svg />", "an SVG drawing")])
def test_a_file_that_is_not_an_image_is_an_error(tmp_path: Path, data: bytes | None, says: str) -> None:
    path = tmp_path / "a.png"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(ImageUnreadable, match=says):
        open_image(path)
    with pytest.raises(ImageUnreadable, match="there is no such file"):
        open_image(tmp_path)
