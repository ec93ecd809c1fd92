"""What every training loop does alike: the rate of a step, what is no number, an optimiser on disk."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor
from torch.optim import Optimizer

from nestvec_exporters.adapt.state import under
from nestvec_schemas.errors import TrainingFailed

_WARM_UP = 0.05


@dataclass(frozen=True)
class Hears:
    """Hears of the share that is done of a run, 0 to 1; says whether to stop after a step."""

    step: Callable[[float], None] = lambda share: None
    stop: Callable[[], bool] = lambda: False


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
