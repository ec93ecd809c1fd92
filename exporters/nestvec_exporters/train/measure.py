"""Figures of held-out rows: by them the best weights are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nestvec_exporters.training_data import Indices, PreparedTexts
from nestvec_schemas.vectors import Vectors, nest

FIGURE_NAMES: Final = {"texts": "retention@10", "pairs": "mrr@10", "triplets": "mrr@10", "scores": "spearman"}
"""What is measured, by kind of data, or ``scores`` where rows have a teacher's."""

_TOP = 10

Figures = dict[int, dict[int, float]]
"""By exit, deepest first, then by dim."""


@dataclass(frozen=True)
class HeldOutFigures:
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
class HeldOutRows:
    """Held-out rows: ``places`` are their different texts in ``Prepared.items``; ``rows`` point into those.

    ``near`` has, for data of kind texts, the ten documents nearest to each query by the checkpoint's own
    full vectors, (n, 10), as places among ``documents``.
    """

    figure: str
    text_indices: Indices
    rows: Indices
    documents: Indices
    scores: NDArray[np.float32] | None
    teacher_neighbours: Indices | None = None


def held_out_rows(data: PreparedTexts) -> HeldOutRows:
    """The held-out rows of ``data``; their ``near`` is for ``with_teacher`` to fill."""
    places, rows = np.unique(data.held_out, return_inverse=True)
    rows = rows.reshape(data.held_out.shape)
    columns = rows[:, :1] if data.kind == "texts" else rows[:, 1:]
    name = FIGURE_NAMES[data.kind if data.held_out_scores is None else "scores"]
    return HeldOutRows(name, places, rows, np.unique(columns), data.held_out_scores)


def with_teacher_neighbours(held_out: HeldOutRows, vectors: Vectors) -> HeldOutRows:
    """The same with what ``vectors`` of its places, (n, dim), find; only data of kind texts asks."""
    near = _nearest(vectors[held_out.rows[:, 1]], vectors[held_out.documents])
    return HeldOutRows(
        held_out.figure, held_out.text_indices, held_out.rows, held_out.documents, held_out.scores, near
    )


def held_out_figures(
    held_out: HeldOutRows, vectors: Mapping[int, Vectors], dims: Sequence[int]
) -> HeldOutFigures:
    """The figures of ``vectors``: by layer, deepest first, those of the held-out places, (n, dim)."""
    depth = next(iter(vectors))
    alike: Figures = {}
    across: Figures = {}
    for layer, layer_vectors in vectors.items():
        alike[layer] = {
            dim: _figure(held_out, nest(layer_vectors, dim), nest(layer_vectors, dim)) for dim in dims
        }
        if layer != depth:
            across[layer] = {
                dim: _figure(held_out, nest(layer_vectors, dim), nest(vectors[depth], dim)) for dim in dims
            }
    return HeldOutFigures(alike, across)


def _figure(held_out: HeldOutRows, queries: Vectors, documents: Vectors) -> float:
    if held_out.teacher_neighbours is not None:
        retrieved = _nearest(queries[held_out.rows[:, 1]], documents[held_out.documents])
        return float((retrieved[:, :, None] == held_out.teacher_neighbours[:, None, :]).any(axis=2).mean())
    query_vectors, own_documents = queries[held_out.rows[:, 0]], documents[held_out.rows[:, 1]]
    cosines = (query_vectors * own_documents).sum(axis=1)
    if held_out.scores is None:
        better = (query_vectors @ documents[held_out.documents].T > cosines[:, None] + _TIE).sum(axis=1)
        return float(np.where(better < _TOP, 1 / (1 + better), 0).mean())
    if held_out.rows.shape[1] > 2:
        cosines = cosines - (query_vectors * documents[held_out.rows[:, 2]]).sum(axis=1)
    return float(np.corrcoef(_ranks(cosines), _ranks(held_out.scores))[0, 1])


_TIE = 1e-6
"""Cosines nearer than this are of one document, up to rounding."""


def _nearest(queries: Vectors, documents: Vectors) -> Indices:
    count = min(_TOP, len(documents) - 1)
    return np.argpartition(-(queries @ documents.T), count, axis=1)[:, :count]


def _ranks(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Ranks from the least, equal values sharing their mean."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[which], np.float64)
