from __future__ import annotations

import numpy as np
import torch

from nestvec_exporters.train.captions.image_cache import augment


def levels() -> torch.Tensor:
    """Two pictures that grow brighter to the right, and in one of their channels downwards."""
    across = torch.linspace(0, 255, 32).expand(32, 32)
    return torch.stack([across, across.T, across], dim=2).repeat(2, 1, 1, 1).to(torch.uint8)


def test_what_is_neither_shifted_nor_mirrored_stays() -> None:
    found = augment(levels(), np.random.default_rng(0), shifted=False, mirrored=False)
    torch.testing.assert_close(found, levels().float(), atol=0.01, rtol=0)


def test_mirrored_pictures_are_turned_around_sideways_alone() -> None:
    given = levels()[:1].repeat(40, 1, 1, 1)
    found = augment(given, np.random.default_rng(0), shifted=False, mirrored=True)
    around = [torch.allclose(one, given[0].flip(1).float(), atol=0.01) for one in found]
    same = [torch.allclose(one, given[0].float(), atol=0.01) for one in found]
    assert all(one != other for one, other in zip(around, same, strict=True))
    assert 10 < sum(around) < 30


def test_moves_are_small_and_differ_and_the_seed_gives_them_again() -> None:
    given = levels()
    one, again, other = (
        augment(given, np.random.default_rng(s), shifted=True, mirrored=False) for s in (0, 0, 1)
    )
    assert torch.equal(one, again) and not torch.equal(one, other) and not torch.equal(one[0], one[1])
    # Brighter to the right still, and within what there was.
    assert (one[:, :, 24:, 0].mean() > one[:, :, :8, 0].mean() + 50) and one.min() >= 0 and one.max() <= 255
