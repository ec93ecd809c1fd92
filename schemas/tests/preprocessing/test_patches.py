"""Pictures in their own shapes against transformers' own processor, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError
from transformers.models.siglip2.image_processing_pil_siglip2 import (
    Siglip2ImageProcessorPil,
    get_image_size_for_max_num_patches,
)

from nestvec_schemas.preprocessing.patches import PATCHES, SPATIAL_SHAPES, Patching, image_patches, patch_grid

sides = st.integers(1, 5000)


@settings(deadline=None, max_examples=300)
@given(sides, sides, st.sampled_from([1, 7, 14, 16, 32]), st.integers(1, 1024))
def test_the_grid_is_transformers(width: int, height: int, edge: int, most: int) -> None:
    rows, columns = patch_grid(width, height, Patching(edge=edge, most=most))
    assert (rows * edge, columns * edge) == get_image_size_for_max_num_patches(height, width, edge, most)
    assert rows * columns <= most


@pytest.mark.parametrize("resample", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(40, 500), (513, 96), (64, 64), (3, 3), (1, 900), (1200, 800)])
def test_the_patches_are_transformers(size: tuple[int, int], resample: str) -> None:
    levels = np.random.default_rng(sum(size)).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    picture = Image.fromarray(levels)
    how = Patching.model_validate({"edge": 16, "most": 64, "resample": resample})
    found = image_patches(picture, how)
    processor = Siglip2ImageProcessorPil(
        patch_size=16,
        max_num_patches=64,
        resample=Image.Resampling[resample.upper()],
        do_rescale=False,
        do_normalize=False,
    )
    expected = processor(picture)
    count = len(found[PATCHES])
    assert (found[PATCHES].dtype, found[PATCHES].shape[1:]) == (np.uint8, (16, 16, 3))
    assert np.array_equal(found[PATCHES].reshape(count, -1), expected["pixel_values"][0][:count])
    assert np.array_equal(found["attention_mask"], expected["pixel_attention_mask"][0][:count])
    assert int(np.sum(expected["pixel_attention_mask"][0])) == count
    assert tuple(found[SPATIAL_SHAPES]) == tuple(expected["spatial_shapes"][0])


def test_transparency_shows_the_background() -> None:
    clear = Image.new("RGBA", (32, 16), (0, 0, 0, 0))
    assert (image_patches(clear, Patching(edge=16, most=2, background=(9, 8, 7)))[PATCHES] == (9, 8, 7)).all()


def test_a_budget_has_room_for_a_patch() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        Patching(edge=16, most=0)
