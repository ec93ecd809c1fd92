"""Losses of vectors, for each kind of training data.

The vectors come from one pass that reads all exits, so that the two-dimensional form (Li et al. 2024: length
and layers) costs a pooling per exit, not a pass. Ranking, scores, alignment and the sum over prefixes are
sentence-transformers' own losses. Its AdaptiveLayerLoss and DistillKLDivLoss do not fit: the former has no
linear map per exit and no loss of exits against full depth, the latter neither masks candidates nor shares
them between queries (27 times as slow with 2,080 of them).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from sentence_transformers.sentence_transformer import losses
from torch import Tensor, nn
from torch.nn.functional import kl_div, log_softmax, softmax

from nestvec_exporters.train.student import VectorsByLayer
from nestvec_schemas.vectors import Vectors

COSINE_SCALE: Final = 20.0
"""Multiplies cosines before the softmax of a ranking loss; sentence-transformers' default."""

_TEMPERATURE_SPREAD = 0.4
_MIN_TEMPERATURE = 1e-3
_MASKED_LOGIT = -1e4

_EXITS_WEIGHT = 2.0
"""The weight of all exits together, relative to full depth, which has less to learn."""

_ALIGNMENT_WEIGHT = 1.0
"""The weight of an exit's distance from the vector at full depth."""


class PrecomputedEmbeddings(nn.Module):
    """Stands in for the model in sentence-transformers' losses: the features are its vectors already."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        return dict(features)

    def get_embedding_dimension(self) -> int:
        return self.dim


class MatryoshkaMean:
    """The mean over prefixes of a loss of vectors (MatryoshkaLoss; Kusupati et al. 2022).

    ``base`` makes the loss from a model, as sentence-transformers' losses take one.
    """

    def __init__(self, base: Callable[[Any], nn.Module], dims: Sequence[int]) -> None:
        model: Any = PrecomputedEmbeddings(max(dims))
        self._loss = losses.MatryoshkaLoss(model, base(model), list(dims))
        self._count = len(dims)

    def __call__(self, columns: Sequence[Tensor], labels: Tensor | None = None) -> Tensor:
        """``columns`` are (n, dim) each, ``labels`` (n,) if the loss has any."""
        features = [{"sentence_embedding": column} for column in columns]
        optional: Any = labels
        total: Tensor = self._loss(features, optional)
        return total / self._count


class RankingLoss:
    """The loss of labelled rows, the mean over prefixes.

    ``kind`` and whether there are ``scores`` choose it: multiple negatives ranking (van den Oord et al.
    2018), or the squared error against a teacher's score of a pair's cosine (DSE, Barkan et al. 2020) or of
    the margin between two (Hofstätter et al. 2021).
    """

    def __init__(self, kind: str, dims: Sequence[int], *, scores: bool) -> None:
        def base(model: Any) -> nn.Module:
            if not scores:
                return losses.MultipleNegativesRankingLoss(model, scale=COSINE_SCALE)
            return losses.CosineSimilarityLoss(model) if kind == "pairs" else losses.MarginMSELoss(model)

        self._mean = MatryoshkaMean(base, dims)

    def __call__(self, columns: Sequence[Tensor], scores: Tensor | None) -> Tensor:
        """``columns`` are (n, dim) each, ``scores`` (n,) if there are any."""
        return self._mean(columns, scores)


def ranking_loss_at_exits(
    loss: RankingLoss, columns: Sequence[VectorsByLayer], scores: Tensor | None
) -> Tensor:
    """``loss`` at full depth, at every exit, and of queries at an exit against documents at full depth.

    Each of ``columns`` (queries, documents, and negatives if there are any) holds vectors by layer.
    """
    depth, *exits = columns[0]
    total = loss([column[depth] for column in columns], scores)
    for layer in exits:
        deep = [column[depth].detach() for column in columns]
        shallow = [column[layer] for column in columns]
        total = total + (loss(shallow, scores) + loss([shallow[0], *deep[1:]], scores)) / (2 * len(exits))
        total = total + _ALIGNMENT_WEIGHT / len(exits) * alignment_loss(shallow, deep)
    return total


def alignment_loss(vectors: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    """The mean cosine distance of vectors to their targets, both columns of (n, dim) (EmbedDistillLoss)."""
    model: Any = PrecomputedEmbeddings(vectors[0].shape[1])
    loss = losses.EmbedDistillLoss(model, distance_metric="cosine")
    total: Tensor = loss.compute_loss_from_embeddings(list(vectors), list(targets))
    return total


@dataclass(frozen=True)
class DistillationTargets:
    """What n texts should retrieve, according to the checkpoint's own full vectors."""

    vectors: Tensor
    """The checkpoint's vectors of the texts, (n, dim), in the basis that the student starts from."""

    probabilities: Tensor
    """The softmax over their cosines to m candidate documents, (n, m)."""

    is_self: Tensor
    """Which candidates are the text itself and not to be retrieved, (n, m) bool."""

    temperature: float
    """Divides cosines before the softmax."""

    @classmethod
    def of(
        cls, vectors: Tensor, candidates: Tensor, is_self: Tensor, temperature: float
    ) -> DistillationTargets:
        """Targets of texts by the checkpoint's ``vectors`` of them, (n, dim), and of candidates, (m, dim)."""
        logits = (vectors @ candidates.T / temperature).masked_fill(is_self, _MASKED_LOGIT)
        return cls(vectors, softmax(logits, dim=1), is_self, temperature)


def softmax_temperature(vectors: Vectors) -> float:
    """The temperature of softmaxes over cosines of ``vectors``, (n, dim) float32 of length 1.

    It follows the spread of the cosines, which differs between encoders: with one temperature for all, the
    softmax would be flat for one encoder and a single peak for another.
    """
    cosines = vectors @ vectors.T
    spread = float(cosines[~np.eye(len(vectors), dtype=bool)].std())
    return max(_MIN_TEMPERATURE, _TEMPERATURE_SPREAD * spread)


def distillation_loss(
    texts: VectorsByLayer,
    candidates: VectorsByLayer,
    targets: DistillationTargets,
    dims: Callable[[int], Sequence[int]],
) -> Tensor:
    """How far ``texts`` are from retrieving the candidates that the checkpoint's full vectors retrieve.

    The Kullback-Leibler divergence at full depth, at each exit, and of each exit against candidates at full
    depth, each the mean over prefixes; and the cosine distance to the checkpoint's own vectors, which keeps
    all in one space. ``dims`` returns the prefixes of a layer.
    """
    depth, *exits = texts
    deep = candidates[depth]
    total = _divergence(texts[depth], deep, targets, dims(depth))
    total = total + _ALIGNMENT_WEIGHT * alignment_loss([texts[depth]], [targets.vectors])
    for layer in exits:
        own = _divergence(texts[layer], candidates[layer], targets, dims(layer))
        across = _divergence(texts[layer], deep.detach(), targets, dims(layer))
        distance = alignment_loss([texts[layer]], [targets.vectors])
        total = total + _EXITS_WEIGHT * (0.5 * own + 0.5 * across + _ALIGNMENT_WEIGHT * distance) / len(exits)
    return total


class _SimilarityDistillation(nn.Module):
    """The divergence of the softmax over texts' cosines to candidates from its targets."""

    def __init__(self, model: Any, targets: DistillationTargets) -> None:
        super().__init__()
        self.model, self.targets = model, targets

    def forward(self, features: Sequence[dict[str, Tensor]], labels: Tensor | None) -> Tensor:
        texts, candidates = (self.model(feature)["sentence_embedding"] for feature in features)
        logits = texts @ candidates.T / self.targets.temperature
        student = log_softmax(logits.masked_fill(self.targets.is_self, _MASKED_LOGIT), dim=1)
        return kl_div(student, self.targets.probabilities, reduction="batchmean")


def _divergence(
    texts: Tensor, candidates: Tensor, targets: DistillationTargets, dims: Sequence[int]
) -> Tensor:
    mean = MatryoshkaMean(lambda model: _SimilarityDistillation(model, targets), dims)
    return mean([texts, candidates])
