from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from nestvec_exporters.train.captions.losses import info_nce, nested_loss, sigmoid_loss

DIMS = (16, 8, 4)


def rows(count: int, seed: int) -> torch.Tensor:
    return torch.randn((count, 16), generator=torch.Generator().manual_seed(seed))


def nce(logits: np.ndarray, right: np.ndarray) -> float:
    """InfoNCE in loops: of each row, then of each column, the mean over its right cells."""
    total = []
    for table, correct in ((logits, right), (logits.T, right.T)):
        found = []
        for row, cells in zip(table, correct, strict=True):
            whole = np.log(np.exp(row).sum())
            found.append(np.mean([whole - row[at] for at in np.flatnonzero(cells)]))
        total.append(np.mean(found))
    return float(np.mean(total))


def siglip(logits: np.ndarray, right: np.ndarray) -> float:
    """The sum over all cells of log(1 + exp(∓logit)), a picture."""
    signs = np.where(right, 1.0, -1.0)
    return float(np.log1p(np.exp(-signs * logits)).sum() / len(logits))


# One caption each; captions shared by pictures; several captions a picture.
ALONE = np.eye(5, dtype=bool)
SHARED = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1]], dtype=bool)
SEVERAL = np.eye(3, dtype=bool).repeat(2, axis=1)


@pytest.mark.parametrize("right", [ALONE, SHARED, SEVERAL])
@pytest.mark.parametrize(("loss", "reference"), [(info_nce, nce), (sigmoid_loss, siglip)])
def test_losses_are_what_they_are_named_after(right: np.ndarray, loss: object, reference: object) -> None:
    assert callable(loss) and callable(reference)
    logits = torch.randn(right.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64) * 3
    found = float(loss(logits, torch.from_numpy(right)))
    assert found == pytest.approx(reference(logits.numpy(), right), rel=1e-9)


@pytest.mark.parametrize("loss", [info_nce, sigmoid_loss])
def test_the_right_captions_nearer_cost_less(loss: object) -> None:
    assert callable(loss)
    right = torch.from_numpy(SHARED)
    near, far = torch.where(right, 6.0, -6.0), torch.where(right, -6.0, 6.0)
    assert loss(near, right) < loss(torch.zeros(right.shape), right) < loss(far, right)


def test_prefixes_have_equal_parts_and_length_1() -> None:
    pictures, texts = rows(5, 1), rows(3, 2)
    right = torch.from_numpy(SHARED)
    cosines = [normalize(pictures[:, :dim], dim=1) @ normalize(texts[:, :dim], dim=1).T for dim in DIMS]
    expected = np.mean([nce(7 * one.numpy(), SHARED) for one in cosines])
    found = nested_loss(info_nce, (5 * pictures, texts), right, lambda cosines: 7 * cosines, DIMS)
    assert float(found) == pytest.approx(float(expected), rel=1e-5)
