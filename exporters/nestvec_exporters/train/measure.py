"""Figures of held-out rows: by them the best weights are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nestvec_exporters.training_data import Places, Prepared
from nestvec_schemas.vectors import Vectors, nest

NAMES: Final = {"texts": "retention@10", "pairs": "mrr@10", "triplets": "mrr@10", "scores": "spearman"}
"""What is measured, by kind of data, or ``scores`` where rows have a teacher's."""

_TOP = 10

Figures = dict[int, dict[int, float]]
"""By exit, deepest first, then by dim."""


@dataclass(frozen=True)
class Measured:
    """Held-out figures: queries and documents ``alike`` at an exit, and queries at an exit ``across`` to
    documents at full depth (the deepest exit is left out there, being the same)."""

    alike: Figures
    across: Figures

    @property
    def mean(self) -> float:
        """The mean over exits and dims, by which runs are compared."""
        rows = [*self.alike.values(), *self.across.values()]
        return float(np.mean([value for row in rows for value in row.values()]))


@dataclass(frozen=True)
class HeldOut:
    """Held-out rows: ``places`` are their different texts in ``Prepared.items``; ``rows`` point into those.

    ``near`` has, for data of kind texts, the ten documents nearest to each query by the checkpoint's own
    full vectors, (n, 10), as places among ``documents``.
    """

    name: str
    places: Places
    rows: Places
    documents: Places
    scores: NDArray[np.float32] | None
    near: Places | None = None


def held_out(data: Prepared) -> HeldOut:
    """The held-out rows of ``data``; their ``near`` is for ``with_teacher`` to fill."""
    places, rows = np.unique(data.held_out, return_inverse=True)
    rows = rows.reshape(data.held_out.shape)
    columns = rows[:, :1] if data.kind == "texts" else rows[:, 1:]
    name = NAMES[data.kind if data.held_out_scores is None else "scores"]
    return HeldOut(name, places, rows, np.unique(columns), data.held_out_scores)


def with_teacher(held: HeldOut, vectors: Vectors) -> HeldOut:
    """The same with what ``vectors`` of its places, (n, dim), find; only data of kind texts asks."""
    near = _nearest(vectors[held.rows[:, 1]], vectors[held.documents])
    return HeldOut(held.name, held.places, held.rows, held.documents, held.scores, near)


def measure(held: HeldOut, vectors: Mapping[int, Vectors], dims: Sequence[int]) -> Measured:
    """The figures of ``vectors``: by layer, deepest first, those of the held-out places, (n, dim)."""
    depth = next(iter(vectors))
    alike: Figures = {}
    across: Figures = {}
    for layer, found in vectors.items():
        alike[layer] = {dim: _figure(held, nest(found, dim), nest(found, dim)) for dim in dims}
        if layer != depth:
            across[layer] = {dim: _figure(held, nest(found, dim), nest(vectors[depth], dim)) for dim in dims}
    return Measured(alike, across)


def _figure(held: HeldOut, queries: Vectors, documents: Vectors) -> float:
    if held.near is not None:
        found = _nearest(queries[held.rows[:, 1]], documents[held.documents])
        return float((found[:, :, None] == held.near[:, None, :]).any(axis=2).mean())
    asked, right = queries[held.rows[:, 0]], documents[held.rows[:, 1]]
    cosines = (asked * right).sum(axis=1)
    if held.scores is None:
        better = (asked @ documents[held.documents].T > cosines[:, None] + _TIE).sum(axis=1)
        return float(np.where(better < _TOP, 1 / (1 + better), 0).mean())
    if held.rows.shape[1] > 2:
        cosines = cosines - (asked * documents[held.rows[:, 2]]).sum(axis=1)
    return float(np.corrcoef(_ranks(cosines), _ranks(held.scores))[0, 1])


_TIE = 1e-6
"""Cosines nearer than this are of one document, up to rounding."""


def _nearest(queries: Vectors, documents: Vectors) -> Places:
    count = min(_TOP, len(documents) - 1)
    return np.argpartition(-(queries @ documents.T), count, axis=1)[:, :count]


def _ranks(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Ranks from the least, equal values sharing their mean."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[which], np.float64)
