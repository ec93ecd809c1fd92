from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from nestvec_exporters.vision.image_preprocessing import IMAGE_PROCESSORS, Preprocessing, parse_preprocessing
from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.preprocessing.pixels import image_pixels

DATA = Path(os.environ.get("NESTVEC_DATA", "../shared/data")).resolve()

ALIGN = {
    "size": {"height": 346, "width": 346},
    "crop_size": {"height": 289, "width": 289},
    "do_center_crop": True,
    "rescale_factor": 1 / 127.5,
    "rescale_offset": True,
    "do_normalize": False,
    "include_top": False,
    "resample": 2,
}

# Qwen's keeps an image's shape, and gives patches; see below.
KEPT = [name for name in IMAGE_PROCESSORS if name != "Qwen2VL"]

# Every row as it comes, and what real checkpoints put in their files.
CASES: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in KEPT),
    ("Beit", {"do_center_crop": True, "size": 256}),
    ("Bit", {"size": {"shortest_edge": 256}, "image_mean": [0.485, 0.456, 0.406]}),
    ("CLIP", {"size": 61, "crop_size": 48}),
    ("CLIP", {"size": {"height": 64, "width": 64}, "do_center_crop": False}),
    ("CLIP", {"do_resize": False, "crop_size": {"height": 33, "width": 70}}),
    ("CLIP", {"do_normalize": False, "do_rescale": False}),
    ("ConvNext", {"size": {"shortest_edge": 224}, "crop_pct": 0.875}),
    ("ConvNext", {"size": 97, "crop_pct": 0.95, "resample": 2}),
    ("DeiT", {"resample": 0, "crop_size": 255}),
    ("DeiT", {"crop_size": 300}),
    ("EfficientNet", ALIGN),
    ("EfficientNet", {"include_top": True, "do_normalize": False}),
    ("EfficientNet", {"do_rescale": True, "rescale_offset": True, "rescale_factor": 1 / 127.5}),
    ("Levit", {"size": {"height": 100, "width": 100}, "crop_size": 90}),
    ("PoolFormer", {"size": 224, "crop_pct": 0.95}),
    ("PoolFormer", {"size": {"height": 112, "width": 112}, "crop_size": 112}),
    ("Siglip", {"size": {"height": 384, "width": 200}}),
    ("ViT", {"size": 96, "image_mean": [0.1, 0.2, 0.3], "image_std": [0.3, 0.2, 0.1]}),
    ("ViT", {"resample": 1, "do_center_crop": True, "crop_size": 100}),
]


def reference(name: str, fields: dict[str, Any]) -> Any:
    return getattr(transformers, f"{name}ImageProcessorPil")(do_convert_rgb=True, **fields)


def written(processor: Any, folder: Path) -> dict[str, Any]:
    processor.save_pretrained(folder)
    found: dict[str, Any] = json.loads((folder / "preprocessor_config.json").read_text())
    return found


def computed(image: Image.Image, how: Preprocessing) -> NDArray[np.float64]:
    """What the graph computes, channels first as transformers has them."""
    scaled = image_pixels(image, how.transform) * how.scale + how.offset
    return ((scaled - np.array(how.mean)) / np.array(how.std)).transpose(2, 0, 1)


def noise(width: int, height: int) -> Image.Image:
    levels = np.random.default_rng(width * 1000 + height).integers(0, 256, (height, width, 3))
    return Image.fromarray(levels.astype(np.uint8))


def assert_the_same(image: Image.Image, processor: Any, how: Preprocessing) -> None:
    expected = np.asarray(processor(image)["pixel_values"][0])
    np.testing.assert_allclose(computed(image, how), expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(("name", "fields"), CASES)
def test_pixels_are_those_of_transformers(name: str, fields: dict[str, Any], tmp_path: Path) -> None:
    processor = reference(name, fields)
    how = parse_preprocessing(written(processor, tmp_path))

    @settings(max_examples=12, deadline=None)
    @given(st.integers(1, 400), st.integers(1, 400))
    @example(311, 1)
    @example(400, 1)
    @example(1, 400)
    def check(width: int, height: int) -> None:
        assert_the_same(noise(width, height), processor, how)

    check()


@pytest.mark.parametrize(("name", "fields"), CASES)
def test_pixels_are_those_of_transformers_on_real_images(name: str, fields: dict[str, Any]) -> None:
    folders = [DATA / "tuxpaint-stamps" / "images", DATA / "emoji" / "images"]
    if not all(folder.is_dir() for folder in folders):
        pytest.skip(f"{folders} are not there; NESTVEC_DATA names the folder that holds them")
    processor = reference(name, fields)
    how = parse_preprocessing({"image_processor_type": f"{name}ImageProcessor", **fields})
    for folder in folders:
        paths = sorted(folder.iterdir())
        for path in paths[:: len(paths) // 4]:
            with Image.open(path) as image:
                assert_the_same(image, processor, how)


def test_the_fields_of_a_file_without_defaults_are_those_of_transformers() -> None:
    """A file that names only its kind means the kind's defaults."""
    for name in KEPT:
        how = parse_preprocessing({"image_processor_type": f"{name}ImageProcessor"})
        assert_the_same(noise(300, 200), reference(name, {}), how)


@pytest.mark.parametrize(
    "fields", [{}, {"max_pixels": 112 * 112}, {"image_mean": [0.1, 0.2, 0.3], "resample": 2}]
)
def test_qwens_images_become_squares_that_its_processor_leaves_alone(
    fields: dict[str, Any], tmp_path: Path
) -> None:
    processor = reference("Qwen2VL", fields)
    how = parse_preprocessing(written(processor, tmp_path))
    square = Image.fromarray(image_pixels(noise(300, 200), how.transform))
    given = processor(square)
    side = how.transform.height // 14
    assert np.asarray(given["image_grid_thw"]).tolist() == [[1, side, side]]
    patches = np.asarray(given["pixel_values"]).reshape(side // 2, side // 2, 2, 2, 3, 2, 14, 14)
    frames = patches.transpose(5, 4, 0, 2, 6, 1, 3, 7).reshape(2, 3, side * 14, side * 14)
    for frame in frames:
        np.testing.assert_allclose(frame, computed(square, how), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(
    "kind",
    [
        {"image_processor_type": "CLIPImageProcessorFast"},
        {"image_processor_type": "CLIPImageProcessorPil"},
        {"feature_extractor_type": "CLIPFeatureExtractor"},
        {"image_processor_type": None, "feature_extractor_type": "CLIPFeatureExtractor"},
    ],
)
def test_a_kind_has_several_names(kind: dict[str, Any]) -> None:
    plain = parse_preprocessing({"image_processor_type": "CLIPImageProcessor", "size": 99})
    assert parse_preprocessing({**kind, "size": 99}) == plain
    assert parse_preprocessing({"processor_class": "X", "image_processor": {**kind, "size": 99}}) == plain


def torchvision(image: Image.Image, edge: int, size: int, resample: Image.Resampling) -> Image.Image:
    """``Resize(edge)`` and ``CenterCrop(size)`` of torchvision, which cannot be installed without a GPU's."""
    short, long = sorted(image.size)
    if short != edge:
        longer = int(edge * long / short)
        image = image.resize((edge, longer) if image.width <= image.height else (longer, edge), resample)
    top, left = (round((length - size) / 2.0) for length in (image.height, image.width))
    return image.crop((left, top, left + size, top + size))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 96), st.floats(0.5, 1.0))
def test_a_timm_checkpoint(width: int, height: int, size: int, crop_pct: float) -> None:
    config = {
        "architecture": "tiny",
        "pretrained_cfg": {
            "input_size": [3, size, size],
            "interpolation": "bilinear",
            "mean": [0.5, 0.4, 0.3],
            "std": [0.2, 0.3, 0.4],
            "crop_pct": crop_pct,
        },
    }
    how = parse_preprocessing(config)
    image = noise(width, height)
    expected = torchvision(image, math.floor(size / crop_pct), size, Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(image_pixels(image, how.transform), np.asarray(expected))
    assert how[1:] == (1 / 255, 0.0, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))


def test_timm_defaults_and_squashing() -> None:
    how = parse_preprocessing({"pretrained_cfg": {}})
    assert how.transform.model_dump() | {"edge": 256, "crop": "round", "resample": "bicubic"} == (
        how.transform.model_dump()
    )
    assert (how.transform.height, how.mean[0]) == (224, 0.485)
    squashed = parse_preprocessing({"pretrained_cfg": {"crop_mode": "squash", "crop_pct": 1.0}}).transform
    assert (squashed.resize, squashed.edge, squashed.height) == ("exact", 224, 224)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"image_processor_type": "Siglip2ImageProcessor"}, "SiglipImageProcessor"),
        ({}, "none named"),
        ({"image_processor_type": "CLIPImageProcessor", "size": {"longest_edge": 3}}, "a resize"),
        ({"image_processor_type": "CLIPImageProcessor", "do_center_crop": False}, "every shape"),
        ({"image_processor_type": "ViTImageProcessor", "do_resize": False}, "every shape"),
        ({"image_processor_type": "ViTImageProcessor", "size": "big"}, "invalid values"),
        ({"image_processor_type": "ViTImageProcessor", "size": -1}, "invalid values"),
        ({"image_processor_type": "ViTImageProcessor", "resample": 99}, "invalid values"),
        ({"image_processor_type": "ViTImageProcessor", "do_flip_channel_order": True}, "another order"),
        ({"image_processor_type": "ConvNextImageProcessor", "crop_pct": 0, "size": 8}, "invalid values"),
        (
            {
                "image_processor_type": "ConvNextImageProcessor",
                "size": 224,
                "do_center_crop": True,
                "crop_size": 200,
            },
            "two crops",
        ),
        (
            {
                "image_processor_type": "DeiTImageProcessor",
                "size": {"height": 300, "width": 200},
                "crop_size": 100,
            },
            "not square",
        ),
        ({"image_processor_type": "ViTImageProcessor", "image_std": [1, 0, 1]}, "invalid values"),
        ({"pretrained_cfg": {"crop_mode": "border"}}, "a crop"),
        ({"pretrained_cfg": {"input_size": [1, 28, 28]}}, "1×28×28"),
        ({"pretrained_cfg": {"interpolation": "random"}}, "invalid values"),
        ({"pretrained_cfg": None}, "invalid values"),
    ],
)
def test_what_is_not_known_is_refused(config: dict[str, Any], said: str) -> None:
    with pytest.raises(CheckpointUnsupported, match=said):
        parse_preprocessing(config)


json_values = st.one_of(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.floats(),
    st.sampled_from(["", "8", "bicubic", "shortest_edge", [8, 8], [0, 0, 0], [0.1, "a", {}], [1e400] * 3]),
    st.dictionaries(
        st.sampled_from(["height", "width", "shortest_edge", "longest_edge"]), st.integers(-1, 9) | st.none()
    ),
)
FIELDS = [
    "size",
    "crop_size",
    "do_center_crop",
    "resample",
    "image_mean",
    "image_std",
    "crop_pct",
    "rescale_factor",
]


@given(
    st.sampled_from([f"{name}ImageProcessor" for name in IMAGE_PROCESSORS]),
    st.dictionaries(st.sampled_from(FIELDS), json_values),
)
def test_a_damaged_file_is_an_error_of_ours(kind: str, fields: dict[str, Any]) -> None:
    try:
        how = parse_preprocessing({"image_processor_type": kind, **fields})
    except CheckpointUnsupported:
        return
    shape = (how.transform.height, how.transform.width, 3)
    assert shape[0] > 1000 or shape[1] > 1000 or image_pixels(noise(5, 4), how.transform).shape == shape
    assert np.isfinite([how.scale, how.offset, *how.mean, *how.std]).all() and all(how.std)
