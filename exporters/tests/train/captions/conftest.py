"""Pictures that a tiny checkpoint tells apart: shapes of several colours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny_image_models
from PIL import Image, ImageDraw
from safetensors.numpy import load_file, save_file

from nestvec_exporters.train.captions import CaptionData

COLOURS = ("red", "green", "blue", "yellow", "purple", "black", "orange", "cyan")
SHAPES = ("circle", "square", "bar", "pole", "cross", "ring", "corner")


def draw(colour: str, shape: str) -> Image.Image:
    image = Image.new("RGB", (tiny_image_models.EDGE, tiny_image_models.EDGE), "white")
    pen = ImageDraw.Draw(image)
    boxes = {
        "square": [(12, 12, 52, 52)],
        "bar": [(4, 24, 60, 40)],
        "pole": [(24, 4, 40, 60)],
        "cross": [(4, 26, 60, 38), (26, 4, 38, 60)],
        "corner": [(8, 8, 24, 60), (8, 44, 60, 60)],
    }
    for box in boxes.get(shape, []):
        pen.rectangle(box, fill=colour)
    if shape in ("circle", "ring"):
        pen.ellipse((8, 8, 56, 56), fill=colour)
    if shape == "ring":
        pen.ellipse((20, 20, 44, 44), fill="white")
    return image


def opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.copy()


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> CaptionData:
    """56 pictures of 8 colours and 7 shapes; their captions are both words, and each alone."""
    folder = tmp_path_factory.mktemp("shapes")
    paths, captions = [], []
    for colour in COLOURS:
        for shape in SHAPES:
            path = folder / f"{colour}-{shape}.png"
            draw(colour, shape).save(path)
            paths.append(path)
            captions.append((f"{colour} {shape}", colour, shape))
    return CaptionData("shapes.jsonl", tuple(paths), tuple(captions), opened)


def _begin(path: Path) -> None:
    """The temperature and the bias that SigLIP begins with (Zhai et al. 2023)."""
    begun = {"logit_scale": np.log([10.0]), "logit_bias": np.array([-10.0])}
    found = {**load_file(path), **{name: one.astype(np.float32) for name, one in begun.items()}}
    save_file(found, path, {"format": "pt"})


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Writes a checkpoint of random weights once: a row of DUAL or of VISION."""
    folder = tmp_path_factory.mktemp("tiny")

    def write(name: str) -> Path:
        rows = tiny_image_models.DUAL | {
            f"vision-{key}": row for key, row in tiny_image_models.VISION.items()
        }
        rows["naflex"] = tiny_image_models.NAFLEX
        if not (folder / name).exists():
            tiny_image_models.write(rows[name], folder / name)
            if name == "siglip":
                _begin(folder / name / "model.safetensors")
        return folder / name

    return write
