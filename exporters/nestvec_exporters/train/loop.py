"""The training loop: optimizer steps on an objective, held-out figures in between, a state to resume from.

All randomness derives from the seed and the step number, so that a resumed run equals an uninterrupted one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import torch
from torch import Tensor, nn

from nestvec_exporters.train.options import Hyperparameters
from nestvec_exporters.train.state import (
    add_prefix,
    optimizer_state,
    read_state,
    restore_optimizer,
    save_state,
    strip_prefix,
)
from nestvec_schemas.errors import TrainingFailed

STATE_FILE: Final = "state.safetensors"
"""Where an interrupted run resumes."""

BEST_FILE: Final = "best.safetensors"
"""The weights with the best held-out figures so far."""

EVALUATIONS: Final = 8
"""How often a run takes the held-out figures."""

_WARM_UP_SHARE = 0.05
_MAX_GRADIENT_NORM = 1.0
_SAVE_INTERVAL_SECONDS = 120.0


class TrainedModel(Protocol):
    """A model whose trainable parameters can be copied, restored and written as a checkpoint."""

    def trainable(self) -> dict[str, nn.Parameter]: ...
    def weights(self) -> dict[str, Tensor]: ...
    def load(self, weights: Mapping[str, Tensor]) -> None: ...
    def save(self, folder: Path) -> None: ...


@dataclass(frozen=True)
class HeldOutEvaluation:
    """Held-out figures."""

    mean: float
    """The mean of all figures, by which weights are compared."""

    figures: dict[str, Any]
    """The figures in JSON's form."""


class Objective(Protocol):
    """What a run minimises: all that differs between one kind of training and another."""

    @property
    def model(self) -> TrainedModel: ...

    @property
    def steps_per_epoch(self) -> int: ...

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Groups for AdamW; ``share`` is the part of the learning rate that a group gets, 1 if omitted."""
        ...

    def loss(self, step: int) -> Tensor:
        """The loss of the batch of a step."""
        ...

    def evaluate(self) -> HeldOutEvaluation:
        """The held-out figures of the model as it is."""
        ...

    def state(self) -> dict[str, Tensor]:
        """What ``loss`` remembers from step to step."""
        ...

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Restore what ``state`` returned."""
        ...


@dataclass
class Position:
    """How far a run has come."""

    step: int = 0
    """Steps done."""

    seconds: float = 0.0
    """Seconds spent training, over all interruptions."""

    best: float = -math.inf
    """The best mean of the held-out figures."""

    best_step: int = 0
    """The step at which it was reached."""


@dataclass(frozen=True)
class LoopCallbacks:
    """Called after every step."""

    on_progress: Callable[[float], None] = lambda share: None
    """Receives the share of the run that is done, 0 to 1."""

    should_stop: Callable[[], bool] = lambda: False
    """Whether to save the state and stop."""


class TrainingLoop:
    """Minimises ``objective`` with AdamW; resumes from the state in ``folder`` if there is one."""

    def __init__(self, objective: Objective, hyperparameters: Hyperparameters, folder: Path) -> None:
        self.objective, self.hyperparameters, self.folder = objective, hyperparameters, folder
        self.position = Position()
        self._steps = hyperparameters.length.steps_of(objective.steps_per_epoch)
        self._optimizer = torch.optim.AdamW(objective.parameter_groups(), lr=hyperparameters.learning_rate)
        saved = read_state(folder / STATE_FILE)
        if saved is not None:
            objective.model.load(strip_prefix("weights", saved.tensors))
            objective.restore(strip_prefix("objective", saved.tensors))
            restore_optimizer(self._optimizer, strip_prefix("optimizer", saved.tensors))
            self.position = Position(**saved.record)

    @property
    def share(self) -> float:
        """The share of the run that is done, 0 to 1: of its steps, or of its minutes."""
        if self._steps is not None:
            return min(1.0, self.position.step / self._steps)
        return min(1.0, self.position.seconds / (60 * (self.hyperparameters.length.minutes or 1.0)))

    def run(self, callbacks: LoopCallbacks) -> bool:
        """Train to the end or until ``should_stop``; whether it reached the end. Raises TrainingFailed."""
        if self.position.step == 0:
            self._evaluate()
        clock = saved = time.monotonic()
        while self.share < 1:
            share_before = self.share
            self._step()
            now = time.monotonic()
            self.position.seconds += now - clock
            clock = now
            callbacks.on_progress(self.share)
            stop = callbacks.should_stop()
            due = int(self.share * EVALUATIONS) > int(share_before * EVALUATIONS)
            if due:
                self._evaluate()
            if due or stop or time.monotonic() - saved > _SAVE_INTERVAL_SECONDS:
                self._save()
                saved = time.monotonic()
            if stop and self.share < 1:
                return False
        return True

    def _step(self) -> None:
        """One optimizer step. Raises TrainingFailed before weights change if the loss is not finite."""
        loss = self.objective.loss(self.position.step)
        learning_rate = self.hyperparameters.learning_rate
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        parameters = self.objective.model.trainable().values()
        norm = nn.utils.clip_grad_norm_(parameters, _MAX_GRADIENT_NORM)
        check_finite_loss(float(loss.detach()), float(norm), self.position.step + 1, learning_rate)
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate * group.get("share", 1.0) * learning_rate_factor(self.share)
        self._optimizer.step()
        self.position.step += 1

    def _evaluate(self) -> None:
        """Take the held-out figures, and keep the weights if they are the best so far."""
        evaluation = self.objective.evaluate()
        if evaluation.mean > self.position.best:
            self.position.best, self.position.best_step = evaluation.mean, self.position.step
            record = {"step": self.position.step, "figures": evaluation.figures}
            save_state(self.folder / BEST_FILE, self.objective.model.weights(), record)

    def _save(self) -> None:
        tensors = {
            **add_prefix("weights", self.objective.model.weights()),
            **add_prefix("objective", self.objective.state()),
            **add_prefix("optimizer", optimizer_state(self._optimizer)),
        }
        save_state(self.folder / STATE_FILE, tensors, asdict(self.position))


def learning_rate_factor(share: float) -> float:
    """The factor of the learning rate after a share of the run: a short warm-up, then half a cosine to 0."""
    if share < _WARM_UP_SHARE:
        return max(share, _WARM_UP_SHARE / 10) / _WARM_UP_SHARE
    return 0.5 * (1 + math.cos(math.pi * (share - _WARM_UP_SHARE) / (1 - _WARM_UP_SHARE)))


def check_finite_loss(loss: float, gradient_norm: float, step: int, learning_rate: float) -> None:
    """Raise TrainingFailed if one of them is not finite. Call it before weights change: NaN would spread."""
    for name, value in (("loss", loss), ("gradient", gradient_norm)):
        if not math.isfinite(value):
            raise TrainingFailed(
                f"the {name} is no longer finite",
                value=f"{value} at step {step}",
                next_step=f"With --force, try a --learning-rate below {learning_rate}.",
            )
