"""What training makes small: a row for each kind of data.

The ranking and scoring losses are sentence-transformers' own, wrapped in its Matryoshka loss (Kusupati et al.
2022). They take vectors that one pass has read at all exits already, so that the two-dimensional form (Li et
al. 2024: length and layers) costs a pooling an exit, not a pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from sentence_transformers.sentence_transformer import losses
from torch import Tensor, nn
from torch.nn.functional import kl_div, log_softmax, normalize, softmax

from nestvec_exporters.train.student import Found
from nestvec_schemas.vectors import Vectors

SCALE: Final = 20.0
"""What cosines are multiplied by before a softmax over labelled rows; sentence-transformers' own."""

_SPREAD = 0.4
_COLDEST = 1e-3

_EXITS = 2.0
"""What all exits together weigh beside full depth, which has less to learn."""

_NEVER = -1e4
_ONE_SPACE = 1.0
"""What an exit's distance from the vector at full depth weighs."""


class _Read(nn.Module):
    """Stands for the model in sentence-transformers' losses: its vectors are there already."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        return dict(features)

    def get_embedding_dimension(self) -> int:
        return self.dim


class Ranking:
    """A loss of sentence-transformers over prefixes, of vectors at hand.

    ``kind`` and whether there are ``scores`` choose it: multiple negatives ranking (van den Oord et al.
    2018), else the squared error of a pair's cosine (DSE, Barkan et al. 2020) or of the margin between two
    (Hofstätter et al. 2021) to what a teacher gave.
    """

    def __init__(self, kind: str, dims: Sequence[int], *, scores: bool) -> None:
        model: Any = _Read(max(dims))
        self._loss = losses.MatryoshkaLoss(model, _inner(model, kind, scores=scores), list(dims))
        self._count = len(dims)

    def __call__(self, columns: Sequence[Tensor], scores: Tensor | None) -> Tensor:
        """The mean over prefixes; ``columns`` are (n, dim) each, ``scores`` (n,) where there are some."""
        features = [{"sentence_embedding": column} for column in columns]
        labels: Any = scores
        total: Tensor = self._loss(features, labels)
        return total / self._count


def _inner(model: Any, kind: str, *, scores: bool) -> nn.Module:
    if not scores:
        return losses.MultipleNegativesRankingLoss(model, scale=SCALE)
    if kind == "pairs":
        return losses.CosineSimilarityLoss(model)
    return losses.MarginMSELoss(model)


def ranked(rank: Ranking, columns: Sequence[Found], scores: Tensor | None) -> Tensor:
    """``rank`` at full depth and at every exit, and of queries at an exit against documents at full depth.

    Each of ``columns`` (queries, documents, and negatives where there are some) holds vectors by layer.
    """
    depth, *exits = columns[0]
    total = rank([column[depth] for column in columns], scores)
    for layer in exits:
        deep = [column[depth].detach() for column in columns]
        shallow = [column[layer] for column in columns]
        total = total + (rank(shallow, scores) + rank([shallow[0], *deep[1:]], scores)) / (2 * len(exits))
        total = total + _ONE_SPACE / len(exits) * _apart(shallow, deep)
    return total


def _apart(found: Sequence[Tensor], aims: Sequence[Tensor]) -> Tensor:
    pairs = zip(found, aims, strict=True)
    return torch.stack([(1 - (one * aim).sum(dim=1)).mean() for one, aim in pairs]).mean()


@dataclass(frozen=True)
class Aims:
    """What a batch of n texts is to be like, from the checkpoint's own vectors.

    ``targets`` are theirs, (n, dim) in the basis that the student starts from; ``near`` is the softmax over
    their cosines to documents, (n, m), and ``documents`` the student's vectors of those by layer, (m, dim).
    ``themselves``, (n, m) bool, marks what is no document to be found: the text itself.
    """

    targets: Tensor
    near: Tensor
    documents: Found
    themselves: Tensor
    temperature: float


def temperature(vectors: Vectors) -> float:
    """Of softmaxes over cosines of ``vectors``, (n, dim) float32 of length 1: some of their spread.

    Encoders differ in how far their cosines lie apart; one temperature for all would have one encoder's
    texts all alike, and another's each for itself.
    """
    cosines = vectors @ vectors.T
    return max(_COLDEST, _SPREAD * float(cosines[~np.eye(len(vectors), dtype=bool)].std()))


def aims_of(targets: Tensor, known: Tensor, documents: Found, themselves: Tensor, temperature: float) -> Aims:
    """What ``targets``, (n, dim), are to find among documents, whose own vectors are ``known``, (m, dim)."""
    near = softmax((targets @ known.T / temperature).masked_fill(themselves, _NEVER), dim=1)
    return Aims(targets, near, documents, themselves, temperature)


def distilled(found: Found, aims: Aims, dims: Callable[[int], Sequence[int]]) -> Tensor:
    """How far ``found`` is from finding the documents that the checkpoint's own full vectors find.

    Kullback-Leibler divergence at prefixes: at full depth, at each exit, and of each exit against documents
    at full depth; and the cosine distance to the checkpoint's own vectors, which keeps all in one space.
    ``dims`` says which prefixes of a layer to look at.
    """
    depth, *exits = found
    deep = aims.documents[depth]
    total = _divergence(found[depth], deep, aims, dims(depth))
    total = total + _ONE_SPACE * _apart([found[depth]], [aims.targets])
    for layer in exits:
        own = _divergence(found[layer], aims.documents[layer], aims, dims(layer))
        across = _divergence(found[layer], deep.detach(), aims, dims(layer))
        apart = _apart([found[layer]], [aims.targets])
        total = total + _EXITS * (0.5 * own + 0.5 * across + _ONE_SPACE * apart) / len(exits)
    return total


def _divergence(rows: Tensor, documents: Tensor, aims: Aims, dims: Sequence[int]) -> Tensor:
    """The mean over prefixes of KL(aims.near, softmax of the prefixes' cosines)."""
    found = []
    for dim in dims:
        cosines = normalize(rows[:, :dim], dim=1) @ normalize(documents[:, :dim], dim=1).T
        likely = log_softmax((cosines / aims.temperature).masked_fill(aims.themselves, _NEVER), dim=1)
        found.append(kl_div(likely, aims.near, reduction="batchmean"))
    return torch.stack(found).mean()
