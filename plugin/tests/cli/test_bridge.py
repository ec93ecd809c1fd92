"""What ``nestvec bridge`` refuses before it embeds anything."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from nestvec.cli import cli
from nestvec_exporters.bridge.joint import MIN_IMAGES
from nestvec_schemas.errors import ImageUnreadable, NestvecError, NotOffered, SampleUnusable
from nestvec_schemas.preprocessing.pixels import ImageTransform
from nestvec_schemas.repository import GRAPH
from nestvec_schemas.towers import Tower

Write = Callable[..., Path]


@pytest.fixture
def models(write_encoder: Write) -> Path:
    """``words``, an encoder of texts, and ``sights``, of images."""
    words = write_encoder("words", layers=(2,))
    (words / GRAPH).parent.mkdir(parents=True, exist_ok=True)
    (words / GRAPH).touch()
    tower = Tower(
        inputs=("pixels",),
        output="sentence_embedding",
        pooling="pooler",
        max_tokens=4,
        image_transform=ImageTransform(height=2, width=2),
    )
    write_encoder("sights", layers=(2,), towers={"image": tower})
    return words.parent


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """As many images as a bridge needs, with captions; the second and fourth cannot be read."""
    (tmp_path / "images").mkdir()
    rows = []
    for number in range(MIN_IMAGES):
        path = tmp_path / "images" / f"{number}.png"
        if number == 1:
            path.write_bytes(b"no image")
        elif number != 3:
            Image.new("RGB", (8, 8), (number, 0, 0)).save(path)
        rows.append({"image": f"images/{number}.png", "caption": f"w{number}"})
    file = tmp_path / "captions.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def _refused(models: Path, *words: str) -> NestvecError:
    done = CliRunner().invoke(cli, ["bridge", *words, "--to", str(models)])
    assert isinstance(done.exception, NestvecError), done.output
    return done.exception


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "Give either --sample or --pairs."),
        (["--sample", "demo", "--pairs", "PAIRS"], "Give either --sample or --pairs."),
        (["--pairs", "PAIRS", "--queries", "PAIRS"], "--queries: available only with --sample."),
        (["--sample", "demo", "--columns", "image,caption"], "--columns: available only with --pairs."),
        (["--pairs", "absent.jsonl"], "does not exist"),
    ],
)
def test_wrong_usage_ends_with_2(models: Path, pairs: Path, words: list[str], says: str) -> None:
    arguments = [str(pairs) if word == "PAIRS" else word for word in words]
    done = CliRunner().invoke(cli, ["bridge", "sights", "words", "--to", str(models), *arguments])
    assert done.exit_code == 2
    assert says in done.output


@pytest.mark.parametrize("encoders", [("sights", "words"), ("words", "sights")])
def test_unlike_encoders_need_pairs(models: Path, encoders: tuple[str, str]) -> None:
    error = _refused(models, *encoders, "--sample", "demo")
    assert isinstance(error, NotOffered)
    assert "sights is a dense encoder of image" in str(error)
    assert "--pairs captions.jsonl" in str(error)


@pytest.mark.parametrize(
    ("encoders", "says"),
    [
        (("words", "words"), "words is a dense encoder of text"),
        (("words", "sights"), "words is a dense encoder of text"),
        (("sights", "sights"), "sights is a dense encoder of image"),
    ],
)
def test_pairs_need_an_encoder_of_images_and_one_of_texts(
    models: Path, pairs: Path, encoders: tuple[str, str], says: str
) -> None:
    error = _refused(models, *encoders, "--pairs", str(pairs))
    assert isinstance(error, NotOffered)
    assert says in str(error)


def test_too_few_images_with_captions_are_refused(models: Path, pairs: Path) -> None:
    rows = [json.loads(line) for line in pairs.read_text().splitlines()]
    rows[5]["caption"] = ""
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    error = _refused(models, "sights", "words", "--pairs", str(pairs))
    assert isinstance(error, SampleUnusable)
    assert f"{MIN_IMAGES - 1} images with captions" in str(error)


def test_rows_of_the_same_image_are_one_image(models: Path, pairs: Path) -> None:
    """Files of captions often have a row for each: a held-out copy of an image would be no new image."""
    rows = [json.loads(line) for line in pairs.read_text().splitlines()][: MIN_IMAGES - 1]
    pairs.write_text("".join(json.dumps({**row, "caption": text}) + "\n" for row in rows for text in "ab"))
    error = _refused(models, "sights", "words", "--pairs", str(pairs))
    assert isinstance(error, SampleUnusable)
    assert f"{MIN_IMAGES - 1} images with captions" in str(error)


def test_unreadable_images_are_listed_with_their_places(models: Path, pairs: Path) -> None:
    error = _refused(models, "sights", "words", "--pairs", str(pairs))
    assert isinstance(error, ImageUnreadable)
    assert f"2 of {MIN_IMAGES} images of captions.jsonl cannot be read" in str(error)
    for place, path in (("line 2", "1.png"), ("line 4", "3.png")):
        assert place in str(error) and path in str(error)
