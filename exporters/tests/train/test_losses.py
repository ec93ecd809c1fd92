from __future__ import annotations

import torch
from torch.nn.functional import normalize

from nestvec_exporters.train.losses import Ranking, aims_of, distilled, ranked, temperature

DIMS = (16, 8, 4)


def rows(count: int, seed: int = 0) -> torch.Tensor:
    return normalize(torch.randn((count, 16), generator=torch.Generator().manual_seed(seed)), dim=1)


def test_ranking_is_the_mean_over_prefixes_of_the_softmax_that_it_is_named_after() -> None:
    queries, documents = rows(6), rows(6, 1)
    expected = torch.stack(
        [
            torch.nn.functional.cross_entropy(
                20 * normalize(queries[:, :dim], dim=1) @ normalize(documents[:, :dim], dim=1).T,
                torch.arange(6),
            )
            for dim in DIMS
        ]
    ).mean()
    found = Ranking("pairs", DIMS, scores=False)([queries, documents], None)
    assert torch.allclose(found, expected, atol=1e-5)


def test_scores_that_are_met_cost_nothing() -> None:
    queries, documents, others = rows(6), rows(6, 1), rows(6, 2)
    cosines = (queries * documents).sum(dim=1)
    margins = cosines - (queries * others).sum(dim=1)
    assert Ranking("pairs", (16,), scores=True)([queries, documents], cosines) < 1e-9
    assert Ranking("triplets", (16,), scores=True)([queries, documents, others], margins) < 1e-9
    assert Ranking("pairs", (16,), scores=True)([queries, documents], cosines + 0.5) > 0.2


def test_an_exit_that_is_apart_costs_more() -> None:
    queries, documents = rows(6), rows(6, 1)
    rank = Ranking("pairs", DIMS, scores=False)
    same = ranked(rank, [{2: queries, 1: queries}, {2: documents, 1: documents}], None)
    away = ranked(rank, [{2: queries, 1: rows(6, 3)}, {2: documents, 1: rows(6, 4)}], None)
    assert away > same + 0.5


def test_the_own_full_vectors_cost_nothing_at_full_length() -> None:
    targets = rows(12)
    found = {2: targets, 1: targets}
    aims = aims_of(targets, targets, found, torch.eye(12, dtype=torch.bool), 0.05)
    assert distilled(found, aims, lambda layer: (16,)).abs() < 1e-5
    assert distilled(found, aims, lambda layer: DIMS) > 0.01


def test_what_is_left_out_is_not_near() -> None:
    targets = rows(5)
    near = aims_of(targets, targets, {1: targets}, torch.eye(5, dtype=torch.bool), 0.05).near
    assert torch.allclose(near.sum(dim=1), torch.ones(5))
    assert torch.equal(near.diagonal(), torch.zeros(5))


def test_every_exit_and_prefix_gets_a_gradient() -> None:
    deep, shallow = rows(8).requires_grad_(), rows(8, 1).requires_grad_()
    targets, found = rows(8, 2), {2: deep, 1: shallow}
    aims = aims_of(targets, targets, found, torch.eye(8, dtype=torch.bool), 0.05)
    distilled(found, aims, lambda layer: DIMS).backward()
    for one in (deep, shallow):
        assert one.grad is not None
        assert bool((one.grad.abs().sum(dim=0) > 0).all())


def test_the_temperature_follows_the_spread_of_the_cosines() -> None:
    wide = rows(200)
    narrow = normalize(wide + 3 * rows(1, 9), dim=1)
    assert temperature(wide.numpy()) > 3 * temperature(narrow.numpy()) > 0
    assert temperature(torch.ones((5, 4)).numpy() / 2) > 0
