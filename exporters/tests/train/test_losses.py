from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from nestvec_exporters.train.losses import (
    DistillationTargets,
    RankingLoss,
    alignment_loss,
    distillation_loss,
    ranking_loss_at_exits,
    softmax_temperature,
)

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
    found = RankingLoss("pairs", DIMS, scores=False)([queries, documents], None)
    assert torch.allclose(found, expected, atol=1e-5)


def test_scores_that_are_met_cost_nothing() -> None:
    queries, documents, others = rows(6), rows(6, 1), rows(6, 2)
    cosines = (queries * documents).sum(dim=1)
    margins = cosines - (queries * others).sum(dim=1)
    assert RankingLoss("pairs", (16,), scores=True)([queries, documents], cosines) < 1e-9
    assert RankingLoss("triplets", (16,), scores=True)([queries, documents, others], margins) < 1e-9
    assert RankingLoss("pairs", (16,), scores=True)([queries, documents], cosines + 0.5) > 0.2


def test_an_exit_that_is_apart_costs_more() -> None:
    queries, documents = rows(6), rows(6, 1)
    rank = RankingLoss("pairs", DIMS, scores=False)
    same = ranking_loss_at_exits(rank, [{2: queries, 1: queries}, {2: documents, 1: documents}], None)
    away = ranking_loss_at_exits(rank, [{2: queries, 1: rows(6, 3)}, {2: documents, 1: rows(6, 4)}], None)
    assert away > same + 0.5


def test_the_own_full_vectors_cost_nothing_at_full_length() -> None:
    teacher = rows(12)
    vectors = {2: teacher, 1: teacher}
    targets = DistillationTargets.of(teacher, teacher, torch.eye(12, dtype=torch.bool), 0.05)
    assert distillation_loss(vectors, vectors, targets, lambda layer: (16,)).abs() < 1e-5
    assert distillation_loss(vectors, vectors, targets, lambda layer: DIMS) > 0.01


def test_distillation_is_the_mean_divergence_over_prefixes_and_the_cosine_distance() -> None:
    """In numpy's float64, pair by pair; the text itself is no candidate."""
    texts, candidates, teacher, others = (
        rows(count, seed) for count, seed in ((4, 1), (7, 2), (4, 3), (7, 4))
    )
    is_self = torch.zeros((4, 7), dtype=torch.bool)
    is_self[torch.arange(4), torch.arange(4)] = True

    def probabilities(left: torch.Tensor, right: torch.Tensor, dim: int) -> np.ndarray:
        table = np.zeros((4, 7))
        for row in range(4):
            for column in range(7):
                one, two = (np.float64(side[at, :dim]) for side, at in ((left, row), (right, column)))
                cosine = one @ two / np.linalg.norm(one) / np.linalg.norm(two)
                table[row, column] = 0 if is_self[row, column] else np.exp(cosine / 0.3)
        return table / table.sum(axis=1, keepdims=True)

    wanted = probabilities(teacher, others, 16)
    divergences = []
    for dim in DIMS:
        student = probabilities(texts, candidates, dim)
        cells = wanted > 0
        divergences.append((wanted[cells] * np.log(wanted[cells] / student[cells])).sum() / 4)
    distance = np.mean(
        [1 - np.float64(one) @ np.float64(two) for one, two in zip(texts, teacher, strict=True)]
    )
    targets = DistillationTargets.of(teacher, others, is_self, 0.3)
    loss = distillation_loss({1: texts}, {1: candidates}, targets, lambda layer: DIMS)
    assert float(loss) == pytest.approx(np.mean(divergences) + distance, rel=1e-5)


def test_alignment_is_the_mean_cosine_distance_of_all_columns() -> None:
    columns, targets = [rows(5), rows(5, 1)], [rows(5, 2), rows(5, 3)]
    distances = [1 - (one * two).sum(dim=1) for one, two in zip(columns, targets, strict=True)]
    assert torch.allclose(alignment_loss(columns, targets), torch.cat(distances).mean())


def test_what_is_left_out_is_not_near() -> None:
    teacher = rows(5)
    near = DistillationTargets.of(teacher, teacher, torch.eye(5, dtype=torch.bool), 0.05).probabilities
    assert torch.allclose(near.sum(dim=1), torch.ones(5))
    assert torch.equal(near.diagonal(), torch.zeros(5))


def test_every_exit_and_prefix_gets_a_gradient() -> None:
    deep, shallow = rows(8).requires_grad_(), rows(8, 1).requires_grad_()
    teacher, vectors = rows(8, 2), {2: deep, 1: shallow}
    targets = DistillationTargets.of(teacher, teacher, torch.eye(8, dtype=torch.bool), 0.05)
    distillation_loss(vectors, vectors, targets, lambda layer: DIMS).backward()
    for tensor in (deep, shallow):
        assert tensor.grad is not None
        assert bool((tensor.grad.abs().sum(dim=0) > 0).all())


def test_the_temperature_follows_the_spread_of_the_cosines() -> None:
    wide = rows(200)
    narrow = normalize(wide + 3 * rows(1, 9), dim=1)
    assert softmax_temperature(wide.numpy()) > 3 * softmax_temperature(narrow.numpy()) > 0
    assert softmax_temperature(torch.ones((5, 4)).numpy() / 2) > 0
