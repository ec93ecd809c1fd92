"""What training a linear map minimises, on vectors that the checkpoint computed once.

A rotation keeps every full-length cosine, so that its prefixes can do no more than approach them. A map that
may stretch directions too (Matryoshka-Adaptor, Yoon et al. 2024) can also learn which document answers
a query.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, kl_div, log_softmax, nll_loss, normalize

from nestvec_exporters.train.linear.queries import QueryPairs
from nestvec_exporters.train.loop import HeldOutEvaluation
from nestvec_exporters.train.losses import softmax_temperature
from nestvec_exporters.train.options import Hyperparameters
from nestvec_exporters.train.result import ON_OLD
from nestvec_exporters.train.state import copy_parameters, restore_parameters
from nestvec_exporters.train.student import Student
from nestvec_exporters.training_data import Indices
from nestvec_schemas.vectors import Vectors, nest

MAX_CANDIDATES: Final = 1024
"""The documents that a step's queries are compared with, unless the queries themselves have more."""

_DOCUMENT_SHARE: Final = 0.2
"""The share of a step's queries that are documents, which learn to find the documents near to them."""

LABEL_WEIGHT: Final = 1.0
"""The weight of the answering document, relative to the ranking by full-length vectors.

Chosen on five collections of short technical texts: without it short vectors keep 0.02 to 0.03 less of
nDCG@10, and with ten times as much the full length keeps less.
"""

_NEARNESS: Final = 1.0
"""The weight of the distance between mapped and old vectors."""

_MIN_COMPATIBILITY: Final = 0.995
"""The share of what the old encoder finds among its vectors that a map must find among them."""

_SCALE_RATE: Final = 5.0
"""The scales' share of the learning rate."""

_MIN_DIVERGENCE = 1e-3
_MAX_TEMPERATURE_TEXTS = 1000
_MASKED_LOGIT = -1e4
_TOP = 10
_TIE = 1e-6
_TOLERANCE = 1e-4
"""The loss of nDCG@10 at full length that is rounding."""


class LinearMap:
    """A student's linear map, and a scale of the cosines of each prefix, which only training uses."""

    def __init__(self, student: Student, prefixes: int) -> None:
        self.student = student
        self.log_scales = nn.Parameter(torch.zeros(prefixes))

    def __call__(self, vectors: Tensor) -> Tensor:
        """Mapped vectors, (n, dim), not normalised."""
        mapped: Tensor = vectors @ self.student.map.linear.weight.T
        return mapped

    def trainable(self) -> dict[str, nn.Parameter]:
        """The parameters that are trained, by name."""
        (weight,) = self.student.map.parameters()
        return {"map": weight, "scales": self.log_scales}

    def weights(self) -> dict[str, Tensor]:
        """A copy of the trained parameters."""
        return copy_parameters(self.trainable())

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Restore what ``weights`` returned."""
        restore_parameters(self.trainable(), weights)

    def save(self, folder: Path) -> None:
        """Write the checkpoint with the map as its last module but the normalisation."""
        self.student.save(folder)


@dataclass(frozen=True)
class LinearTask:
    """A map at its start, and what it is trained on."""

    student: Student

    pairs: QueryPairs

    vectors: Vectors
    """The checkpoint's vectors of ``pairs.texts``, (n, dim) float32 of length 1."""

    dims: tuple[int, ...]
    """Prefixes to train, the full dim first."""

    hyperparameters: Hyperparameters

    label_weight: float = LABEL_WEIGHT
    """The weight of the answering document."""

    old: Vectors | None = None
    """Vectors of ``pairs.texts`` by an encoder whose stored vectors the result is to search, (n, dim) float32
    of length 1, in whose space the map starts."""


class LinearObjective:
    """For every prefix, the ranking of documents by full-length vectors and the document that answers."""

    def __init__(self, task: LinearTask) -> None:
        self.task = task
        self.model = LinearMap(task.student, len(task.dims))
        self._vectors = torch.from_numpy(np.ascontiguousarray(task.vectors))
        documents = task.pairs.training_documents
        self._temperature = softmax_temperature(task.vectors[documents[:_MAX_TEMPERATURE_TEXTS]])
        self._old = None if task.old is None else torch.from_numpy(np.ascontiguousarray(task.old))
        # The student of a GPU embeds there; a map is small, and its steps repeat on any machine.
        task.student.to("cpu")
        self._full_length = self._figures()[task.dims[0]]
        self._min_on_old = self._lowest_on_old()
        self._weights = self._prefix_weights()

    @property
    def steps_per_epoch(self) -> int:
        return max(1, len(self.task.pairs.training) // self.task.hyperparameters.batch)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The map, and the scales with a rate of their own."""
        parameters = self.model.trainable()
        return [
            {"params": [parameters["map"]], "weight_decay": 0.0},
            {"params": [parameters["scales"]], "weight_decay": 0.0, "share": _SCALE_RATE},
        ]

    def loss(self, step: int) -> Tensor:
        """The loss of the batch of a step."""
        batch = self._batch(np.random.default_rng([self.task.hyperparameters.seed, step]))
        divergences, label_losses = self._losses(batch)
        loss = ((divergences + self.task.label_weight * label_losses) * self._weights).sum()
        return loss if self._old is None else loss + self._incompatibility(batch, self._old)

    def evaluate(self) -> HeldOutEvaluation:
        """The held-out figures. A map ranks last if its figure at full length is worse than its start's, or
        if it finds less among the old vectors than the old encoder did."""
        figures, on_old = self._figures(), self._figures_on_old()
        worse = figures[self.task.dims[0]] < self._full_length - _TOLERANCE
        worse |= any(figure < self._min_on_old[dim] for dim, figure in on_old.items())
        mean = -math.inf if worse else float(np.mean(list(figures.values())))
        return HeldOutEvaluation(mean, figures_by_exit(self.task, figures, on_old))

    def state(self) -> dict[str, Tensor]:
        """Nothing: a batch depends on the seed and the step alone."""
        return {}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Nothing is remembered."""

    @torch.no_grad()
    def _figures(self) -> dict[int, float]:
        return held_out_ndcg(self.task.pairs, self.model(self._vectors).numpy(), self.task.dims)

    @torch.no_grad()
    def _figures_on_old(self) -> dict[int, float]:
        """Of the mapped queries among the old encoder's vectors; none without one."""
        task = self.task
        if task.old is None:
            return {}
        return held_out_ndcg(task.pairs, self.model(self._vectors).numpy(), task.dims, task.old)

    def _lowest_on_old(self) -> dict[int, float]:
        """By dim, what a map must find among the old vectors: what the old encoder finds, unless the map that
        training starts at finds less."""
        task = self.task
        if task.old is None:
            return {}
        own = held_out_ndcg(task.pairs, task.old, task.dims)
        start = self._figures_on_old()
        return {dim: min(own[dim] * _MIN_COMPATIBILITY, start[dim] - _TOLERANCE) for dim in task.dims}

    def _incompatibility(self, batch: _Batch, old: Tensor) -> Tensor:
        """What mapped queries lose among old vectors, and how far mapped vectors are from the old ones."""
        queries, documents = self._vectors[batch.queries], self._vectors[batch.candidates]
        old_queries, old_documents = old[batch.queries], old[batch.candidates]
        mapped = self.model(queries), old_documents
        divergences, label_losses = self._ranking_losses(batch, (old_queries, old_documents), mapped)
        near_queries = cosine_similarity(mapped[0], old_queries).mean()
        near_documents = cosine_similarity(self.model(documents), old_documents).mean()
        ranking = ((divergences + self.task.label_weight * label_losses) * self._weights).sum()
        return ranking + _NEARNESS * (2 - near_queries - near_documents)

    @torch.no_grad()
    def _prefix_weights(self) -> Tensor:
        """A long prefix is near already; unweighted, it would be sacrificed for small gains at short ones."""
        divergences, _ = self._losses(self._batch(np.random.default_rng(self.task.hyperparameters.seed)))
        weights = divergences.clamp(min=_MIN_DIVERGENCE) ** -0.5
        if len(weights) > 1:
            weights[0] = weights[1:].max()
        return weights / weights.sum()

    def _batch(self, rng: np.random.Generator) -> _Batch:
        pairs = self.task.pairs
        size = self.task.hyperparameters.batch
        as_queries = rng.choice(pairs.training_documents, max(1, round(size * _DOCUMENT_SHARE)))
        rows = pairs.training[rng.integers(len(pairs.training), size=size - len(as_queries))]
        queries = np.concatenate([rows[:, 0], as_queries])
        own = np.concatenate([rows[:, 1], as_queries])
        answers = np.unique(own)
        others = rng.permutation(np.setdiff1d(pairs.training_documents, answers, assume_unique=True))
        candidates = np.sort(np.concatenate([answers, others[: max(0, MAX_CANDIDATES - len(answers))]]))
        return _Batch(queries, candidates, np.searchsorted(candidates, own), len(rows))

    def _losses(self, batch: _Batch) -> tuple[Tensor, Tensor]:
        """Per prefix, the divergence from the ranking at full length and the loss of the answers, (p,)."""
        queries, documents = self._vectors[batch.queries], self._vectors[batch.candidates]
        return self._ranking_losses(batch, (queries, documents), (self.model(queries), self.model(documents)))

    def _ranking_losses(
        self, batch: _Batch, teachers: tuple[Tensor, Tensor], students: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """The losses of ``students``, whose full-length rankings are to be those of ``teachers``; each is
        queries and documents, (n, dim) and (m, dim)."""
        queries, documents = teachers
        own = torch.from_numpy(batch.own)
        # A document is not an answer to itself.
        is_self = torch.zeros((len(queries), len(documents)), dtype=torch.bool)
        is_self[torch.arange(batch.labelled, len(queries)), own[batch.labelled :]] = True

        def log_probabilities(cosines: Tensor) -> Tensor:
            return log_softmax((cosines / self._temperature).masked_fill(is_self, _MASKED_LOGIT), dim=1)

        targets = log_probabilities(queries @ documents.T)
        mapped_queries, mapped_documents = students
        divergences, label_losses = [], []
        for dim, log_scale in zip(self.task.dims, self.model.log_scales, strict=True):
            cosines = (
                normalize(mapped_queries[:, :dim], dim=1) @ normalize(mapped_documents[:, :dim], dim=1).T
            )
            student = log_probabilities(cosines * log_scale.exp())
            divergences.append(kl_div(student, targets, reduction="batchmean", log_target=True))
            label_losses.append(nll_loss(student[: batch.labelled], own[: batch.labelled]))
        return torch.stack(divergences), torch.stack(label_losses)


@dataclass(frozen=True)
class _Batch:
    queries: Indices
    """Texts that search: first those whose answer is known, then documents."""

    candidates: Indices
    """Documents that are searched, sorted."""

    own: Indices
    """Each query's document, as an index of ``candidates``."""

    labelled: int
    """The number of queries whose answer is known."""


def held_out_ndcg(
    pairs: QueryPairs, vectors: Vectors, dims: Sequence[int], gallery: Vectors | None = None
) -> dict[int, float]:
    """Per dim, nDCG@10 of held-out queries among all documents, where only a query's own is relevant.

    ``vectors`` is (n, d) float32, of ``pairs.texts``; documents have those of ``gallery`` if it is given.
    """
    figures = {}
    stored = vectors if gallery is None else gallery
    rows = np.arange(len(pairs.held_out))
    own = np.searchsorted(pairs.documents, pairs.held_out[:, 1])
    for dim in dims:
        cosines = nest(vectors[pairs.held_out[:, 0]], dim) @ nest(stored[pairs.documents], dim).T
        ranks = (cosines > cosines[rows, own][:, None] + _TIE).sum(axis=1)
        figures[dim] = float(np.where(ranks < _TOP, 1 / np.log2(ranks + 2), 0).mean())
    return figures


def figures_by_exit(
    task: LinearTask, figures: Mapping[int, float], on_old: Mapping[int, float] | None = None
) -> dict[str, Any]:
    """The figures in the form of those of exits, and those of queries among old vectors."""
    layer = task.student.layers[0]
    by_exit = {"alike": {layer: dict(figures)}, "across": {}}
    return {**by_exit, **({ON_OLD: {layer: dict(on_old)}} if on_old else {})}
