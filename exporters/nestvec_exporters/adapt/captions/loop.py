"""The training loop over pictures and captions: steps, figures in between, a state to go on from.

All chance is drawn from the seed and the step's number, so that nothing of it needs saving.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nestvec_exporters.adapt.captions.data import Prepared, rightness
from nestvec_exporters.adapt.captions.frozen import Frozen
from nestvec_exporters.adapt.captions.losses import info_nce, nested, sigmoid
from nestvec_exporters.adapt.captions.measure import Recalls, mean, recalls
from nestvec_exporters.adapt.captions.options import CaptionOptions
from nestvec_exporters.adapt.captions.pair import Pair
from nestvec_exporters.adapt.captions.seen import Levels, moved
from nestvec_exporters.adapt.state import Saved, read, save, under, within
from nestvec_exporters.adapt.stepping import Hears, check_numbers, moments, rate, remember

STATE: Final = "state.safetensors"
BEST: Final = "best.safetensors"
MEASUREMENTS: Final = 8
"""Times that the held-out figures are taken in a run."""

_DECAY = 0.05
_LONGEST_STEP = 1.0
_SAVE_SECONDS = 120.0
_FIRST = 0.5
"""How often a picture's first caption is drawn; else one of the others, alike."""


@dataclass(frozen=True)
class Task:
    """What is trained, on what. ``levels`` are the pixels of ``data.pictures``, ``frozen`` their features
    where those never change; ``dims`` holds the full dim first."""

    pair: Pair
    data: Prepared
    levels: Levels
    dims: tuple[int, ...]
    options: CaptionOptions
    frozen: Frozen | None = None


@dataclass
class Position:
    """Where a run is. ``seconds`` are of this machine's clock."""

    step: int = 0
    seconds: float = 0.0
    best: float = -math.inf
    best_step: int = 0


class Loop:
    """A run of ``task`` whose files are in ``work``. ``run`` may be called again after it was stopped."""

    def __init__(self, task: Task, work: Path) -> None:
        self.task, self.work = task, work
        options, count = task.options, len(task.data.training)
        self.size = min(options.batch, count)
        self.per_epoch = max(1, count // self.size)
        self.steps = options.length.steps_of(self.per_epoch)
        self.optimiser = torch.optim.AdamW(task.pair.groups(), lr=options.learning_rate, weight_decay=_DECAY)
        self.loss = sigmoid if task.pair.sigmoid else info_nce
        self.position = Position()
        saved = read(work / STATE)
        if saved:
            self._load(saved)

    @property
    def share(self) -> float:
        """How much of the run is done, 0 to 1."""
        if self.steps is not None:
            return min(1.0, self.position.step / self.steps)
        return min(1.0, self.position.seconds / (60 * (self.task.options.length.minutes or 1.0)))

    def run(self, hears: Hears) -> bool:
        """Train to the end, or until told to stop: whether it came to the end. Raises TrainingFailed."""
        if self.position.step == 0:
            self._measure()
        clock = saved = time.monotonic()
        while self.share < 1:
            before = self.share
            self._step()
            now = time.monotonic()
            self.position.seconds += now - clock
            clock = now
            hears.step(self.share)
            stop = hears.stop()
            due = int(self.share * MEASUREMENTS) > int(before * MEASUREMENTS)
            if due:
                self._measure()
            if due or stop or time.monotonic() - saved > _SAVE_SECONDS:
                self._save()
                saved = time.monotonic()
            if stop and self.share < 1:
                return False
        return True

    def _step(self) -> None:
        place, options, pair = self.position, self.task.options, self.task.pair
        draw = np.random.default_rng([options.seed, place.step])
        rows = self._rows()
        captions = [self.task.data.captions[at] for at in rows]
        texts = list(dict.fromkeys(text for one in captions for text in drawn(one, options.captions, draw)))
        right = torch.from_numpy(rightness(captions, texts))
        pictures, found = self._pictures(rows, draw), pair.texts(texts)
        loss = nested(self.loss, (pictures, found), right.to(found.device), pair.scaled, self.task.dims)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        slope = torch.nn.utils.clip_grad_norm_(pair.trained().values(), _LONGEST_STEP)
        check_numbers(float(loss.detach()), float(slope), place.step + 1, options.learning_rate)
        for group in self.optimiser.param_groups:
            group["lr"] = options.learning_rate * group["share"] * rate(self.share)
        self.optimiser.step()
        place.step += 1

    def _pictures(self, rows: NDArray[np.intp], draw: np.random.Generator) -> Tensor:
        task, options = self.task, self.task.options
        if task.frozen is not None:
            return task.pair.projected(task.frozen.of(rows, draw))
        levels = torch.from_numpy(np.ascontiguousarray(task.levels[rows]))
        if options.moved or options.mirrored:
            levels = moved(levels, draw, shifted=options.moved, mirrored=options.mirrored)
        return task.pair.pictures(levels)

    def _rows(self) -> NDArray[np.intp]:
        """This step's places among the pictures: each picture once an epoch, but for a batch's rest."""
        epoch, at = divmod(self.position.step, self.per_epoch)
        order = np.random.default_rng([self.task.options.seed, epoch, 1]).permutation(self.task.data.training)
        rows: NDArray[np.intp] = order[at * self.size : (at + 1) * self.size]
        return rows

    def _measure(self) -> None:
        found = figures(self.task)
        if mean(found) > self.position.best:
            self.position.best, self.position.best_step = mean(found), self.position.step
            save(self.work / BEST, self.task.pair.weights(), {"step": self.position.step, "figures": found})

    def _save(self) -> None:
        tensors = {
            **under("weights", self.task.pair.weights()),
            **under("optimiser", moments(self.optimiser)),
        }
        save(self.work / STATE, tensors, asdict(self.position))

    def _load(self, saved: Saved) -> None:
        self.task.pair.load(within("weights", saved.tensors))
        remember(self.optimiser, within("optimiser", saved.tensors))
        numbers: dict[str, Any] = saved.record
        self.position = Position(**numbers)


def drawn(captions: Sequence[str], count: int, draw: np.random.Generator) -> list[str]:
    """``count`` different captions of a picture, fewer where it has not as many: the first one more often."""
    rest = draw.permutation(len(captions) - 1) + 1
    order = [0, *rest] if draw.random() < _FIRST else [*rest, 0]
    return [captions[at] for at in order[:count]]


def figures(task: Task) -> Recalls:
    """The held-out figures as the towers are: each picture's first caption is asked for."""
    held = task.data.held_out
    captions = [task.data.captions[at] for at in held]
    texts = list(dict.fromkeys(one[0] for one in captions))
    if task.frozen is not None:
        with torch.no_grad():
            pictures = task.pair.projected(task.frozen.plain(held)).cpu().numpy()
    else:
        pictures = task.pair.embed(task.pair.pictures, task.levels[held])
    found = task.pair.embed(task.pair.texts, texts)
    return recalls(pictures, found, rightness(captions, texts), task.dims)
