"""The training loop: steps, figures in between, and a state from which it goes on as if never stopped.

All chance is drawn from the seed and the step's number, so that nothing of it needs saving.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nestvec_exporters.train.cross_batch_memory import Memory
from nestvec_exporters.train.losses import Ranking, aims_of, distilled, ranked, temperature
from nestvec_exporters.train.measure import HeldOut, Measured, measure
from nestvec_exporters.train.mining import apart, near_batches, random_batches
from nestvec_exporters.train.options import AdaptOptions
from nestvec_exporters.train.state import Saved, read, save, under, within
from nestvec_exporters.train.stepping import BEST, STATE, Position, descend, moments, remember, share_of
from nestvec_exporters.train.student import Found, Student, as_tensor
from nestvec_exporters.train.tokens import Ids
from nestvec_exporters.training_data import Places, Prepared
from nestvec_schemas.vectors import Vectors

_DECAY = 0.01
_COMPARED = 1000
_EXIT_PREFIXES = 2
"""Prefixes, beside the whole vector, that a step looks at for each exit."""


@dataclass(frozen=True)
class Task:
    """What is trained, on what. ``ids`` are of ``data.items``, ``targets`` their vectors by the checkpoint
    in the basis that the student starts from, (n, dim); ``dims`` holds the full dim first."""

    student: Student
    data: Prepared
    ids: Ids
    targets: Vectors
    held: HeldOut
    dims: tuple[int, ...]
    options: AdaptOptions


@dataclass
class Place(Position):
    """Where a run is. ``batches`` are the epoch's, (count, size) rows of ``data.training``."""

    epoch: int = 0
    at: int = 0
    batches: Places = field(default_factory=lambda: np.empty((0, 0), np.intp))


class Loop:
    """A run of ``task`` whose files are in ``work``, for ``stepping.train``; one that was stopped goes on."""

    def __init__(self, task: Task, work: Path) -> None:
        self.task = task
        self.work = work
        self.size = min(task.options.batch, len(task.data.training))
        self.steps = task.options.length.steps_of(max(1, len(task.data.training) // self.size))
        documents = np.unique(task.data.documents)
        device = next(task.student.parameters()).device
        layers = task.student.layers if task.data.kind == "texts" else task.student.layers[:1]
        self.memory = Memory(documents, task.targets[documents], layers, device)
        self.temperature = temperature(task.targets[documents[:_COMPARED]])
        self.rank = Ranking(task.data.kind, task.dims, scores=task.data.scores is not None)
        self.optimiser = torch.optim.AdamW(
            list(task.student.trained().values()), lr=task.options.learning_rate, weight_decay=_DECAY
        )
        self.position = Place()
        saved = read(work / STATE)
        if saved:
            self._load(saved)

    @property
    def share(self) -> float:
        """How much of the run is done, 0 to 1."""
        return share_of(self.position, self.task.options.length, self.steps)

    def step(self) -> None:
        place = self.position
        if place.at >= len(place.batches):
            place.batches, place.at = self._batches(place.epoch), 0
            place.epoch += 1
        draw = np.random.default_rng([self.task.options.seed, place.step])
        rows = place.batches[place.at]
        distil = self.task.data.kind == "texts"
        loss = self._distil(rows, draw) if distil else self._rank(rows)
        trained = self.task.student.trained().values()
        descend(self, self.optimiser, loss, trained, self.task.options.learning_rate)
        place.at += 1

    def _batches(self, epoch: int) -> Places:
        draw = np.random.default_rng([self.task.options.seed, epoch, 1])
        documents = self.task.data.documents
        if self.task.options.near:
            batches = near_batches(self.memory.deep(documents), self.size, draw)
        else:
            batches = random_batches(len(documents), self.size, draw)
        if self.task.data.kind != "texts" and self.task.data.scores is None:
            batches = apart(batches, documents, self.size) or batches
        order = draw.permutation(len(batches))
        return np.stack([batches[at] for at in order])

    def _vectors(self, columns: list[Places]) -> list[Found]:
        """The student's vectors of texts by their places, from passes that all columns share."""
        places = np.concatenate(columns)
        found = self.task.student.vectors([self.task.ids[at] for at in places])
        sizes = [len(column) for column in columns]
        parts = {layer: torch.split(vectors, sizes) for layer, vectors in found.items()}
        return [{layer: parts[layer][at] for layer in parts} for at in range(len(columns))]

    def _rank(self, rows: Places) -> Tensor:
        data = self.task.data
        columns = [data.training[rows, column] for column in range(data.training.shape[1])]
        found = self._vectors(columns)
        self.memory.take(columns[1], found[1])
        like = found[0][self.task.student.layers[0]]
        scores = None if data.scores is None else as_tensor(data.scores[rows], like)
        return ranked(self.rank, found, scores)

    def _distil(self, rows: Places, draw: np.random.Generator) -> Tensor:
        training, targets = self.task.data.training, self.task.targets
        whole = training[rows, 0]
        short = training[rows, 1:].ravel()
        documents, queries = self._vectors([whole, short])
        depth = self.task.student.layers[0]
        others = self.memory.others(whole, draw)
        chosen = torch.from_numpy(others).to(documents[depth].device)
        beside = {
            layer: torch.cat([documents[layer], vectors[chosen]])
            for layer, vectors in self.memory.vectors.items()
        }
        self.memory.take(whole, documents)
        found = {layer: torch.cat([documents[layer], queries[layer]]) for layer in documents}
        aim = as_tensor(targets[np.concatenate([whole, short])], found[depth])
        known = as_tensor(targets[np.concatenate([whole, self.memory.places(others)])], aim)
        themselves = torch.zeros((len(aim), len(known)), dtype=torch.bool, device=aim.device)
        themselves[: len(rows), : len(rows)] = torch.eye(len(rows), dtype=torch.bool)
        aims = aims_of(aim, known, beside, themselves, self.temperature)
        full, *rest = self.task.dims

        def dims(layer: int) -> tuple[int, ...]:
            fewer = draw.permutation(rest)[:_EXIT_PREFIXES] if layer != depth else rest
            return (full, *map(int, fewer))

        return distilled(found, aims, dims)

    def measure(self) -> None:
        measured = figures(self.task)
        if measured.mean > self.position.best:
            self.position.best, self.position.best_step = measured.mean, self.position.step
            record = {"step": self.position.step, "figures": asdict(measured)}
            save(self.work / BEST, self.task.student.weights(), record)

    def save(self) -> None:
        place = self.position
        tensors = {
            **under("weights", self.task.student.weights()),
            **under("memory", self.memory.state()),
            **under("optimiser", moments(self.optimiser)),
            "batches": torch.from_numpy(np.asarray(place.batches, np.int64)),
        }
        record = {name: getattr(place, name) for name in _NUMBERS}
        save(self.work / STATE, tensors, record)

    def _load(self, saved: Saved) -> None:
        tensors = saved.tensors
        self.task.student.load(within("weights", tensors))
        self.memory.load(within("memory", tensors))
        remember(self.optimiser, within("optimiser", tensors))
        numbers: dict[str, Any] = {name: saved.record[name] for name in _NUMBERS}
        self.position = replace(Place(**numbers), batches=tensors["batches"].numpy().astype(np.intp))


_NUMBERS = ("step", "epoch", "at", "seconds", "best", "best_step")


def figures(task: Task) -> Measured:
    """The held-out figures of the student as it is."""
    found = task.student.embed([task.ids[at] for at in task.held.places])
    return measure(task.held, found, task.dims)
