from __future__ import annotations

import numpy as np
import pytest

from nestvec_exporters.train.captions.measure import mean_recall, recalls
from nestvec_schemas.vectors import normalise


def test_ways_are_counted_by_the_best_right_one() -> None:
    """Twenty directions; pictures 0 and 1 share a caption, and picture 2 lies where caption 12 does."""
    texts = np.eye(20, dtype=np.float32)[1:]
    pictures = np.eye(20, dtype=np.float32)
    pictures[0] = pictures[1]
    pictures[2] = pictures[12]
    right = np.zeros((20, 19), bool)
    right[np.arange(20), np.maximum(np.arange(20) - 1, 0)] = True
    found = recalls(pictures, texts, right, (20,))
    # Picture 2's own caption has one before it; all others are as near: a tie is in its favour.
    assert found["image→text"][20] == pytest.approx((19 * 3 + 2) / 60)
    # Its caption lies as near to all pictures, and caption 12 has two pictures at its place.
    assert found["text→image"][20] == 1


def test_prefixes_are_measured_by_themselves() -> None:
    draw = np.random.default_rng(0)
    texts = normalise(draw.normal(size=(40, 8)).astype(np.float32))
    pictures = texts.copy()
    pictures[:, :4] = draw.normal(size=(40, 4)) * 0.01
    found = recalls(pictures, texts, np.eye(40, dtype=bool), (8, 4))
    assert found["text→image"][8] > 0.9 > 0.5 > found["text→image"][4]
    assert mean_recall(found) == pytest.approx(
        np.mean([*found["text→image"].values(), *found["image→text"].values()])
    )
