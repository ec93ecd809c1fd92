"""Figures of held-out rows, by which the best weights are chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nestvec_exporters.training_data import Indices, PreparedTexts
from nestvec_schemas.vectors import Vectors, nest

FIGURE_NAMES: Final = {"texts": "retention@10", "pairs": "mrr@10", "triplets": "mrr@10", "scores": "spearman"}
"""The figure of each kind of data, and of rows with a teacher's scores."""

_TOP = 10

Figures = dict[int, dict[int, float]]
"""By exit, deepest first, then by dim."""


@dataclass(frozen=True)
class HeldOutFigures:
    """Held-out figures at every exit."""

    alike: Figures
    """Of queries and documents at the same exit."""

    across: Figures
    """Of queries at an exit against documents at full depth; without the deepest exit, where both agree."""

    @property
    def mean(self) -> float:
        """The mean over exits and dims, by which weights are compared."""
        rows = [*self.alike.values(), *self.across.values()]
        return float(np.mean([value for row in rows for value in row.values()]))


@dataclass(frozen=True)
class HeldOutRows:
    """Held-out rows, and what their figure is computed from."""

    figure: str
    """One of FIGURE_NAMES."""

    text_indices: Indices
    """Their distinct texts, as indices of ``PreparedTexts.texts``."""

    rows: Indices
    """The rows, as indices of ``text_indices``."""

    documents: Indices
    """Their distinct documents, as indices of ``text_indices``."""

    scores: NDArray[np.float32] | None

    teacher_neighbours: Indices | None = None
    """For texts alone, the ten documents nearest to each query by the checkpoint's own full vectors, (n, 10),
    as indices of ``documents``."""


def held_out_rows(data: PreparedTexts) -> HeldOutRows:
    """The held-out rows of ``data``; ``with_teacher_neighbours`` adds the neighbours."""
    text_indices, rows = np.unique(data.held_out, return_inverse=True)
    rows = rows.reshape(data.held_out.shape)
    columns = rows[:, :1] if data.kind == "texts" else rows[:, 1:]
    figure = FIGURE_NAMES[data.kind if data.held_out_scores is None else "scores"]
    return HeldOutRows(figure, text_indices, rows, np.unique(columns), data.held_out_scores)


def with_teacher_neighbours(held_out: HeldOutRows, vectors: Vectors) -> HeldOutRows:
    """The same with the neighbours by ``vectors`` of its texts, (n, dim); for texts alone."""
    near = _nearest(vectors[held_out.rows[:, 1]], vectors[held_out.documents])
    return replace(held_out, teacher_neighbours=near)


def held_out_figures(
    held_out: HeldOutRows, vectors: Mapping[int, Vectors], dims: Sequence[int]
) -> HeldOutFigures:
    """The figures of the held-out texts' ``vectors``, (n, dim), by layer, deepest first."""
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
"""Cosines that differ by less belong to the same document, up to rounding."""


def _nearest(queries: Vectors, documents: Vectors) -> Indices:
    count = min(_TOP, len(documents) - 1)
    return np.argpartition(-(queries @ documents.T), count, axis=1)[:, :count]


def _ranks(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Ranks from the smallest; equal values share their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[inverse], np.float64)
