"""The loop by itself: a linear model that learns to reproduce random numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nestvec_exporters.train import Hyperparameters, TrainingLength
from nestvec_exporters.train.loop import (
    BEST_FILE,
    EVALUATIONS,
    STATE_FILE,
    HeldOutEvaluation,
    LoopCallbacks,
    TrainingLoop,
    check_finite_loss,
    learning_rate_factor,
)
from nestvec_exporters.train.state import copy_parameters, read_state, restore_parameters
from nestvec_schemas.errors import TrainingFailed

STEPS = 24


class Line(nn.Linear):
    """A model of eight weights."""

    def __init__(self) -> None:
        super().__init__(8, 1, bias=False)
        nn.init.zeros_(self.weight)

    def trainable(self) -> dict[str, nn.Parameter]:
        return dict(self.named_parameters())

    def weights(self) -> dict[str, Tensor]:
        return copy_parameters(self.trainable())

    def load(self, weights: Mapping[str, Tensor]) -> None:
        restore_parameters(self.trainable(), weights)

    def save(self, folder: Path) -> None:
        raise AssertionError(folder)


class Sum:
    """Learns the sum of eight numbers; its state counts the losses, which the loss depends on."""

    steps_per_epoch = 10

    def __init__(self) -> None:
        self.model = Line()
        self.losses = 0
        self.evaluations: list[float] = []

    def parameter_groups(self) -> list[dict[str, Any]]:
        return [{"params": list(self.model.parameters()), "share": 0.5}]

    def loss(self, step: int) -> Tensor:
        rows = torch.randn((16, 8), generator=torch.Generator().manual_seed(step))
        self.losses += 1
        return (self.model(rows)[:, 0] - rows.sum(dim=1) + 0.01 * self.losses).square().mean()

    def evaluate(self) -> HeldOutEvaluation:
        distance = float((self.model.weight - 1).detach().abs().mean())
        self.evaluations.append(distance)
        return HeldOutEvaluation(-distance, {"distance": distance})

    def state(self) -> dict[str, Tensor]:
        return {"losses": torch.tensor(self.losses)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.losses = int(state["losses"])


def loop(folder: Path, **values: Any) -> TrainingLoop:
    folder.mkdir(exist_ok=True)
    values = {"length": TrainingLength(steps=STEPS), "learning_rate": 0.1, **values}
    return TrainingLoop(Sum(), Hyperparameters(**values), folder)


def weights(trained: TrainingLoop) -> Tensor:
    assert isinstance(trained.objective, Sum)
    return trained.objective.model.weight.detach()


def test_it_learns_and_keeps_the_best_weights(tmp_path: Path) -> None:
    trained = loop(tmp_path)
    shares: list[float] = []
    assert trained.run(LoopCallbacks(shares.append))
    assert isinstance(trained.objective, Sum)
    evaluations = trained.objective.evaluations
    assert len(evaluations) == EVALUATIONS + 1 and evaluations[-1] < evaluations[0] / 2
    assert shares == [step / STEPS for step in range(1, STEPS + 1)]
    best = read_state(tmp_path / BEST_FILE)
    assert best is not None and best.record["figures"] == {"distance": min(evaluations)}
    assert -trained.position.best == min(evaluations)
    assert best.record["step"] == trained.position.best_step


@pytest.mark.parametrize("stops", [[1], [7], [3, 11], [STEPS - 1]])
def test_an_interrupted_run_equals_an_uninterrupted_one(tmp_path: Path, stops: list[int]) -> None:
    whole = loop(tmp_path / "whole")
    assert whole.run(LoopCallbacks())
    for stop in stops:
        part = loop(tmp_path / "parts")
        assert not part.run(
            LoopCallbacks(should_stop=lambda part=part, stop=stop: part.position.step >= stop)
        )
        assert part.position.step == stop
    resumed = loop(tmp_path / "parts")
    assert resumed.run(LoopCallbacks())
    assert torch.equal(weights(resumed), weights(whole))
    assert (resumed.position.best, resumed.position.best_step) == (
        whole.position.best,
        whole.position.best_step,
    )
    assert isinstance(resumed.objective, Sum) and resumed.objective.losses == STEPS


def test_a_stop_at_the_last_step_is_the_end(tmp_path: Path) -> None:
    trained = loop(tmp_path)
    assert trained.run(LoopCallbacks(should_stop=lambda: trained.position.step == STEPS))


def test_minutes_end_a_run_by_the_time_it_has_trained(tmp_path: Path) -> None:
    trained = loop(tmp_path, length=TrainingLength(minutes=0.001))
    assert trained.run(LoopCallbacks())
    assert trained.position.seconds >= 0.06 and trained.share == 1


def test_a_loss_that_is_not_finite_leaves_weights_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = loop(tmp_path)
    monkeypatch.setattr(Sum, "loss", lambda self, step: self.model.weight.sum() * float("nan"))
    with pytest.raises(TrainingFailed, match="the loss is no longer finite: nan at step 1"):
        trained.run(LoopCallbacks())
    assert torch.equal(weights(trained), torch.zeros((1, 8)))
    assert not (tmp_path / STATE_FILE).exists()


def test_a_gradient_that_is_not_finite_is_told_too() -> None:
    with pytest.raises(TrainingFailed, match=r"the gradient .*inf at step 3.*below 0\.1"):
        check_finite_loss(1.0, float("inf"), 3, 0.1)
    check_finite_loss(1.0, 2.0, 3, 0.1)


def test_the_learning_rate_warms_up_and_falls_to_nothing() -> None:
    assert learning_rate_factor(0) == pytest.approx(0.1)
    assert learning_rate_factor(0.05) == pytest.approx(1)
    assert learning_rate_factor(0.525) == pytest.approx(0.5)
    assert learning_rate_factor(1) == pytest.approx(0, abs=1e-12)
    factors = [learning_rate_factor(share / 100) for share in range(5, 101)]
    assert factors == sorted(factors, reverse=True)
