from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nestvec_exporters.train.captions import CaptionData
from nestvec_exporters.train.captions.data import MIN_IMAGES, matching_captions, prepare_captions
from nestvec_schemas.errors import TrainingDataUnusable


def never(path: Path) -> Image.Image:
    raise AssertionError(path)


def some(count: int = MIN_IMAGES) -> CaptionData:
    return CaptionData(
        "pairs.csv",
        tuple(Path(f"/p/{at}.png") for at in range(count)),
        tuple((f"thing {at % 10}", f"a {at}") for at in range(count)),
        never,
    )


def test_a_part_is_held_out_and_none_is_lost() -> None:
    found = prepare_captions(some(200), seed=0)
    assert (len(found.training), len(found.held_out)) == (180, 20)
    assert sorted([*found.training, *found.held_out]) == list(range(200))
    assert not np.array_equal(found.held_out, prepare_captions(some(200), seed=1).held_out)
    assert np.array_equal(found.held_out, prepare_captions(some(200), seed=0).held_out)


def test_a_picture_of_several_rows_has_the_captions_of_all() -> None:
    data = some(50)
    more = replace(
        data,
        images=(*data.images, data.images[3]),
        captions=(*data.captions, ("another ", "thing 3")),
    )
    found = prepare_captions(more, seed=0)
    assert len(found.images) == 50
    assert found.captions[3] == ("thing 3", "a 3", "another")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (some(MIN_IMAGES - 1), f"{MIN_IMAGES - 1} distinct, of {MIN_IMAGES - 1} rows"),
        (replace(some(), captions=(("thing", " "), *some().captions[1:])), "row 1: 0.png"),
        (replace(some(), captions=(*some().captions[:-1], ())), f"row {MIN_IMAGES}: {MIN_IMAGES - 1}.png"),
        (replace(some(), captions=(("the same",),) * MIN_IMAGES), "too few distinct captions"),
        (replace(some(), images=some().images[:1] * MIN_IMAGES), "too few distinct images"),
    ],
)
def test_what_cannot_be_trained_on_is_told(data: CaptionData, says: str) -> None:
    with pytest.raises(TrainingDataUnusable, match=says):
        prepare_captions(data, seed=0)


def test_another_pictures_caption_may_be_right_too() -> None:
    captions = [("frog", "animal"), ("cat", "animal"), ("car",)]
    found = matching_captions(captions, ["animal", "car", "cat"])
    assert found.tolist() == [[True, False, False], [True, False, True], [False, True, False]]
