"""What every training loop does alike: its course, a step of the optimiser, an optimiser on disk."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from torch import Tensor, nn
from torch.optim import Optimizer

from nestvec_exporters.train.options import Length
from nestvec_exporters.train.state import under
from nestvec_schemas.errors import TrainingFailed

STATE: Final = "state.safetensors"
BEST: Final = "best.safetensors"
"""Files of a run: where it is, and the weights that did best."""

MEASUREMENTS: Final = 8
"""Times that the held-out figures are taken in a run."""

_WARM_UP = 0.05
_LONGEST_STEP = 1.0
_SAVE_SECONDS = 120.0


@dataclass(frozen=True)
class Hears:
    """Hears of the share that is done of a run, 0 to 1; says whether to stop after a step."""

    step: Callable[[float], None] = lambda share: None
    stop: Callable[[], bool] = lambda: False


@dataclass
class Position:
    """Where a run is. ``seconds`` are of this machine's clock, ``best`` is the figure of ``best_step``."""

    step: int = 0
    seconds: float = 0.0
    best: float = -math.inf
    best_step: int = 0


class Training(Protocol):
    """A run: where it is, the share that is done, 0 to 1, a step, the held-out figures, its state on disk."""

    @property
    def position(self) -> Position: ...
    @property
    def share(self) -> float: ...
    def step(self) -> None: ...
    def measure(self) -> None: ...
    def save(self) -> None: ...


def share_of(position: Position, length: Length, steps: int | None) -> float:
    """How much of a run is done, 0 to 1: of its ``steps``, or of its minutes where there are none."""
    if steps is not None:
        return min(1.0, position.step / steps)
    return min(1.0, position.seconds / (60 * (length.minutes or 1.0)))


def train(training: Training, hears: Hears) -> bool:
    """Train to the end, or until told to stop: whether it came to the end. Raises TrainingFailed."""
    if training.position.step == 0:
        training.measure()
    clock = saved = time.monotonic()
    while training.share < 1:
        before = training.share
        training.step()
        now = time.monotonic()
        training.position.seconds += now - clock
        clock = now
        hears.step(training.share)
        stop = hears.stop()
        due = int(training.share * MEASUREMENTS) > int(before * MEASUREMENTS)
        if due:
            training.measure()
        if due or stop or time.monotonic() - saved > _SAVE_SECONDS:
            training.save()
            saved = time.monotonic()
        if stop and training.share < 1:
            return False
    return True


def descend(
    training: Training,
    optimiser: Optimizer,
    loss: Tensor,
    trained: Iterable[nn.Parameter],
    learning_rate: float,
) -> None:
    """A step down the loss; a group of parameters moves by its ``share`` of the learning rate, else by all.

    Raises TrainingFailed before weights move where the loss or its gradient is no number.
    """
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    slope = nn.utils.clip_grad_norm_(trained, _LONGEST_STEP)
    check_numbers(float(loss.detach()), float(slope), training.position.step + 1, learning_rate)
    for group in optimiser.param_groups:
        group["lr"] = learning_rate * group.get("share", 1.0) * rate(training.share)
    optimiser.step()
    training.position.step += 1


def rate(share: float) -> float:
    """The learning rate's factor: a short warm-up, then half a cosine down to nothing."""
    if share < _WARM_UP:
        return max(share, _WARM_UP / 10) / _WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (share - _WARM_UP) / (1 - _WARM_UP)))


def check_numbers(loss: float, slope: float, step: int, learning_rate: float) -> None:
    """Raise TrainingFailed where one is none. To be asked before weights move: it would spread to them."""
    for name, value in (("loss", loss), ("gradient", slope)):
        if not math.isfinite(value):
            raise TrainingFailed(
                f"the {name} is no number any more",
                value=f"{value} at step {step}",
                next_step=f"With --force, try a --learning-rate below {learning_rate}.",
            )


def moments(optimiser: Optimizer) -> dict[str, Tensor]:
    """What an optimiser remembers, to be saved."""
    found: dict[str, Tensor] = {}
    for number, values in optimiser.state_dict()["state"].items():
        found |= under(str(number), values)
    return found


def remember(optimiser: Optimizer, saved: Mapping[str, Tensor]) -> None:
    """Take what ``moments`` gave; rates stay as they are."""
    found: dict[int, dict[str, Tensor]] = {}
    for name, tensor in saved.items():
        number, _, kind = name.partition("/")
        found.setdefault(int(number), {})[kind] = tensor
    if found:
        groups = optimiser.state_dict()["param_groups"]
        optimiser.load_state_dict({"state": found, "param_groups": groups})
