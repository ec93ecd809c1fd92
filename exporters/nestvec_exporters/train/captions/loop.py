"""The training loop over pictures and captions: steps, figures in between, a state to go on from.

All chance is drawn from the seed and the step's number, so that nothing of it needs saving.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nestvec_exporters.train.captions.data import Prepared, rightness
from nestvec_exporters.train.captions.frozen import Frozen
from nestvec_exporters.train.captions.image_cache import Levels, moved
from nestvec_exporters.train.captions.losses import info_nce, nested, sigmoid
from nestvec_exporters.train.captions.measure import Recalls, mean, recalls
from nestvec_exporters.train.captions.options import CaptionOptions
from nestvec_exporters.train.captions.pair import Pair
from nestvec_exporters.train.state import Saved, read, save, under, within
from nestvec_exporters.train.stepping import BEST, STATE, Position, descend, moments, remember, share_of

_DECAY = 0.05
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


class Loop:
    """A run of ``task`` whose files are in ``work``, for ``stepping.train``; one that was stopped goes on."""

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
        return share_of(self.position, self.task.options.length, self.steps)

    def step(self) -> None:
        place, options, pair = self.position, self.task.options, self.task.pair
        draw = np.random.default_rng([options.seed, place.step])
        rows = self._rows()
        captions = [self.task.data.captions[at] for at in rows]
        texts = list(dict.fromkeys(text for one in captions for text in drawn(one, options.captions, draw)))
        right = torch.from_numpy(rightness(captions, texts))
        pictures, found = self._pictures(rows, draw), pair.texts(texts)
        loss = nested(self.loss, (pictures, found), right.to(found.device), pair.scaled, self.task.dims)
        descend(self, self.optimiser, loss, pair.trained().values(), options.learning_rate)

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

    def measure(self) -> None:
        found = figures(self.task)
        if mean(found) > self.position.best:
            self.position.best, self.position.best_step = mean(found), self.position.step
            save(self.work / BEST, self.task.pair.weights(), {"step": self.position.step, "figures": found})

    def save(self) -> None:
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
