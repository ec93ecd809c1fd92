"""What training on texts minimises: distillation of texts without labels, ranking of labelled rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nestvec_exporters.train.cross_batch_memory import CrossBatchMemory
from nestvec_exporters.train.loop import HeldOutEvaluation
from nestvec_exporters.train.losses import (
    DistillationTargets,
    RankingLoss,
    distillation_loss,
    ranking_loss_at_exits,
    softmax_temperature,
)
from nestvec_exporters.train.measure import HeldOutFigures, HeldOutRows, held_out_figures
from nestvec_exporters.train.mining import clustered_batches, random_batches, without_duplicate_documents
from nestvec_exporters.train.options import AdaptOptions
from nestvec_exporters.train.state import add_prefix, strip_prefix
from nestvec_exporters.train.student import Student, VectorsByLayer, as_tensor
from nestvec_exporters.train.tokens import TokenIds
from nestvec_exporters.training_data import Indices, PreparedTexts
from nestvec_schemas.vectors import Vectors

_WEIGHT_DECAY = 0.01
_MAX_TEMPERATURE_TEXTS = 1000

_EXIT_PREFIXES = 2
"""Prefixes that a step trains at each exit, besides the whole vector."""


@dataclass(frozen=True)
class TextTask:
    """A student, and what it is trained on."""

    student: Student

    data: PreparedTexts

    ids: TokenIds
    """Token ids of ``data.texts``."""

    targets: Vectors
    """Their vectors from the checkpoint, (n, dim), in the basis that the student starts from."""

    held_out: HeldOutRows

    dims: tuple[int, ...]
    """Prefixes to train, the full dim first."""

    options: AdaptOptions


class TextObjective:
    """Losses over every prefix and exit of a student, with a cross-batch memory of the documents."""

    def __init__(self, task: TextTask) -> None:
        self.task = task
        self.model = task.student
        self._seed = task.options.hyperparameters.seed
        self._batch = min(task.options.hyperparameters.batch, len(task.data.training))
        documents = np.unique(task.data.documents)
        device = next(task.student.parameters()).device
        layers = task.student.layers if task.data.kind == "texts" else task.student.layers[:1]
        self._memory = CrossBatchMemory(documents, task.targets[documents], layers, device)
        self._temperature = softmax_temperature(task.targets[documents[:_MAX_TEMPERATURE_TEXTS]])
        self._ranking = RankingLoss(task.data.kind, task.dims, scores=task.data.scores is not None)
        # The epoch's batches, (count, size) rows of ``data.training``, and the next of them.
        self._batches: Indices = np.empty((0, 0), np.intp)
        self._epoch = self._next = 0

    @property
    def steps_per_epoch(self) -> int:
        return max(1, len(self.task.data.training) // self._batch)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """All trainable parameters in one group."""
        return [{"params": list(self.model.trainable().values()), "weight_decay": _WEIGHT_DECAY}]

    def loss(self, step: int) -> Tensor:
        """The loss of the batch of a step."""
        if self._next >= len(self._batches):
            self._batches, self._next = self._epoch_batches(self._epoch), 0
            self._epoch += 1
        rows = self._batches[self._next]
        self._next += 1
        if self.task.data.kind == "texts":
            return self._distillation(rows, np.random.default_rng([self._seed, step]))
        return self._ranking_loss(rows)

    def evaluate(self) -> HeldOutEvaluation:
        """The held-out figures of the student as it is."""
        figures = evaluate_student(self.task)
        return HeldOutEvaluation(figures.mean, asdict(figures))

    def state(self) -> dict[str, Tensor]:
        """The memory, the epoch's batches, and how many of them are done."""
        return {
            **add_prefix("memory", self._memory.state()),
            "batches": torch.from_numpy(np.asarray(self._batches, np.int64)),
            "position": torch.tensor([self._epoch, self._next]),
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Restore what ``state`` returned."""
        self._memory.load(strip_prefix("memory", state))
        self._batches = state["batches"].numpy().astype(np.intp)
        self._epoch, self._next = map(int, state["position"])

    def _epoch_batches(self, epoch: int) -> Indices:
        rng = np.random.default_rng([self._seed, epoch, 1])
        documents = self.task.data.documents
        if self.task.options.hard_negatives:
            batches = clustered_batches(self._memory.full_depth_vectors(documents), self._batch, rng)
        else:
            batches = random_batches(len(documents), self._batch, rng)
        if self.task.data.kind != "texts" and self.task.data.scores is None:
            batches = without_duplicate_documents(batches, documents, self._batch) or batches
        order = rng.permutation(len(batches))
        return np.stack([batches[index] for index in order])

    def _vectors(self, columns: list[Indices]) -> list[VectorsByLayer]:
        """The student's vectors of texts by their indices, from batches that all columns share."""
        indices = np.concatenate(columns)
        vectors = self.model.vectors([self.task.ids[index] for index in indices])
        sizes = [len(column) for column in columns]
        parts = {layer: torch.split(rows, sizes) for layer, rows in vectors.items()}
        return [{layer: parts[layer][column] for layer in parts} for column in range(len(columns))]

    def _ranking_loss(self, rows: Indices) -> Tensor:
        data = self.task.data
        columns = [data.training[rows, column] for column in range(data.training.shape[1])]
        vectors = self._vectors(columns)
        self._memory.update(columns[1], vectors[1])
        like = vectors[0][self.model.layers[0]]
        scores = None if data.scores is None else as_tensor(data.scores[rows], like)
        return ranking_loss_at_exits(self._ranking, vectors, scores)

    def _distillation(self, rows: Indices, rng: np.random.Generator) -> Tensor:
        training, targets = self.task.data.training, self.task.targets
        documents, snippets = training[rows, 0], training[rows, 1:].ravel()
        document_vectors, snippet_vectors = self._vectors([documents, snippets])
        depth = self.model.layers[0]
        device = document_vectors[depth].device
        slots = self._memory.sample_other_slots(documents, rng)
        remembered = torch.from_numpy(slots).to(device)
        candidates = {
            layer: torch.cat([document_vectors[layer], vectors[remembered]])
            for layer, vectors in self._memory.vectors.items()
        }
        self._memory.update(documents, document_vectors)
        texts = {layer: torch.cat([document_vectors[layer], snippet_vectors[layer]]) for layer in candidates}
        text_targets = as_tensor(targets[np.concatenate([documents, snippets])], texts[depth])
        candidate_targets = as_tensor(
            targets[np.concatenate([documents, self._memory.documents_at(slots)])], text_targets
        )
        is_self = torch.zeros((len(text_targets), len(candidate_targets)), dtype=torch.bool, device=device)
        is_self[: len(rows), : len(rows)] = torch.eye(len(rows), dtype=torch.bool)
        distilled = DistillationTargets.of(text_targets, candidate_targets, is_self, self._temperature)
        full, *shorter = self.task.dims

        def dims(layer: int) -> tuple[int, ...]:
            chosen = rng.permutation(shorter)[:_EXIT_PREFIXES] if layer != depth else shorter
            return (full, *map(int, chosen))

        return distillation_loss(texts, candidates, distilled, dims)


def evaluate_student(task: TextTask) -> HeldOutFigures:
    """The held-out figures of the student as it is."""
    vectors = task.student.embed([task.ids[index] for index in task.held_out.text_indices])
    return held_out_figures(task.held_out, vectors, task.dims)
