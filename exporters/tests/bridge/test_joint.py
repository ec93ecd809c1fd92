"""Maps between texts and images recover a relation that is known, and find nothing where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from nestvec_exporters.bridge.joint import MIN_IMAGES, CaptionedVectors, fit_joint_space
from nestvec_schemas.errors import SampleUnusable
from nestvec_schemas.vectors import Vectors, normalise

IMAGES = 600


def _normal(shape: tuple[int, ...], seed: int) -> Vectors:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _captioned(noise: float, images: int = IMAGES) -> CaptionedVectors:
    """Two captions of each image, which share some dims of meaning with it; image vectors have a large mean,
    as those of a classifier do."""
    meaning = _normal((images, 24), 0)
    pictures = normalise(meaning @ _normal((24, 80), 1) + 20 + 0.5 * _normal((images, 80), 2))
    rows = np.repeat(np.arange(images), 2)
    texts = meaning[rows] @ _normal((24, 48), 3) + noise * _normal((2 * images, 48), 4)
    return CaptionedVectors(pictures, normalise(texts), rows)


def test_captions_find_their_images() -> None:
    fit = fit_joint_space(_captioned(0.5))
    assert fit.held_out == 90
    assert fit.recall[1] > 0.8 and fit.recall[1] <= fit.recall[5] <= fit.recall[10]
    assert fit.compared[fit.method] == max(fit.compared.values())
    assert (fit.mapping.matrix.shape, fit.mapping.dim) == ((48, 80), 80)


def test_captions_without_relation_find_images_by_chance() -> None:
    vectors = _captioned(0.5)
    shuffled = np.random.default_rng(5).permutation(vectors.rows)
    fit = fit_joint_space(CaptionedVectors(vectors.images, vectors.captions, shuffled))
    assert fit.recall[10] < 3 * 10 / fit.held_out


def test_an_encoder_that_gives_one_vector_is_refused() -> None:
    vectors = _captioned(0.5)
    same = np.repeat(vectors.images[:1], IMAGES, axis=0)
    with pytest.raises(SampleUnusable, match="all images have the same vector"):
        fit_joint_space(CaptionedVectors(same, vectors.captions, vectors.rows))


def test_a_map_learns_nothing_of_the_images_that_it_is_measured_on() -> None:
    """Each caption names its image alone: what is learned helps with no other image."""
    random = CaptionedVectors(
        normalise(_normal((IMAGES, 80), 6)), normalise(_normal((IMAGES, 48), 7)), np.arange(IMAGES)
    )
    assert fit_joint_space(random).recall[10] < 3 * 10 / 90


def test_too_few_images_are_refused() -> None:
    few = MIN_IMAGES - 1
    with pytest.raises(SampleUnusable, match="too few images") as refused:
        fit_joint_space(_captioned(0.5, images=few))
    assert f"{few} images" in str(refused.value)
