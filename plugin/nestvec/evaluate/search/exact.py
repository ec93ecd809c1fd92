"""Exact search in blocks, with bounded memory and repeatable results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nestvec.evaluate.search.forms import VectorForm, prepare
from nestvec_schemas.vectors import Vectors, normalise

Ranking = NDArray[np.int64]
"""Document numbers, (q, k), best first; -1 after the last if there are fewer than k."""

BLOCK_DOCUMENTS = 4096
BLOCK_QUERIES = 1024
"""Documents and queries whose similarities are in memory at once: 16 MiB of float32."""

_NONE = np.iinfo(np.int64).min
_LOW = np.int64(0xFFFFFFFF)


@dataclass(frozen=True)
class QuerySet:
    """One search."""

    queries: Vectors
    """Full-length vectors, (q, dim) float32."""

    form: VectorForm
    """How they are compared with the documents."""


class VectorIndex(Protocol):
    """The documents of one encoder at one exit, ready to be searched."""

    def search(
        self, probes: Sequence[QuerySet], k: int, advance: Callable[[int], None]
    ) -> list[Ranking | None]:
        """The k nearest documents for each probe; None if the index does not support its form."""
        ...

    def rescore(self, queries: Vectors, candidates: Ranking) -> Ranking:
        """Each row of ``candidates``, sorted by full-length cosine similarity."""
        ...


OpenIndex = Callable[[Vectors, Vectors | None], AbstractContextManager[VectorIndex]]
"""An index over documents, (n, dim) float32, and the rotation that was applied to them."""


class ExactIndex:
    """Computes every similarity; equal ones keep the order of the documents."""

    def __init__(self, documents: Vectors, rotation: Vectors | None) -> None:
        """``documents`` is (n, dim) float32, on disk or in memory; ``rotation`` was applied to them."""
        self._documents, self._rotation = documents, rotation

    def search(
        self, probes: Sequence[QuerySet], k: int, advance: Callable[[int], None]
    ) -> list[Ranking | None]:
        """See VectorIndex."""
        queries = [
            prepare(unrotate(probe.queries, probe.form, self._rotation), probe.form) for probe in probes
        ]
        best = [np.full((len(row_keys), k), _NONE, np.int64) for row_keys in queries]
        forms = dict.fromkeys(probe.form for probe in probes)
        starts = range(0, len(self._documents), BLOCK_DOCUMENTS)
        for start in starts:
            block = np.asarray(self._documents[start : start + BLOCK_DOCUMENTS])
            for form in forms:
                documents = prepare(unrotate(block, form, self._rotation), form)
                for at, probe in enumerate(probes):
                    if probe.form == form:
                        _merge(best[at], queries[at], documents, start)
                        if start == starts[-1]:
                            advance(1)
        return [_numbers(row_keys) for row_keys in best]

    def rescore(self, queries: Vectors, candidates: Ranking) -> Ranking:
        """See VectorIndex."""
        ordered = np.full_like(candidates, -1)
        for row, (query, numbers) in enumerate(zip(normalise(queries), candidates, strict=True)):
            # Ascending numbers, so that a stable sort keeps equal similarities in the documents' order.
            ascending = np.sort(numbers[numbers >= 0])
            similarities = normalise(np.asarray(self._documents[ascending])) @ query
            ordered[row, : len(ascending)] = ascending[np.argsort(-similarities, kind="stable")]
        return ordered


def unrotate(vectors: Vectors, form: VectorForm, rotation: Vectors | None) -> Vectors:
    """``vectors`` as ``form`` needs them: as they are, or before the rotation R (v R to v)."""
    return vectors @ rotation.T if form.unrotated and rotation is not None else vectors


def drop_own_documents(ranking: Ranking, own: NDArray[np.int64], k: int) -> Ranking:
    """The first ``k`` of each row, without the query's own document."""
    remaining = np.full((len(ranking), k), -1, np.int64)
    for row, (numbers, own_number) in enumerate(zip(ranking, own, strict=True)):
        others = numbers[numbers != own_number][:k] if own_number >= 0 else numbers[:k]
        remaining[row, : len(others)] = others
    return remaining


def _merge(best: NDArray[np.int64], queries: Vectors, documents: Vectors, start: int) -> None:
    """Merge a block of documents into the k best of each query, (q, k) int64 keys, in place."""
    k = best.shape[1]
    for row in range(0, len(queries), BLOCK_QUERIES):
        rows = slice(row, row + BLOCK_QUERIES)
        keys = np.concatenate([best[rows], _keys(queries[rows] @ documents.T, start)], axis=1)
        best[rows] = np.partition(keys, keys.shape[1] - k, axis=1)[:, -k:]


def _keys(similarities: NDArray[Any], start: int) -> NDArray[np.int64]:
    """One distinct integer for a similarity and its document: the similarity in the upper half, and in the
    lower half the document's number, reversed, so that the first of equal ones is larger."""
    bits = (similarities + np.float32(0)).view(np.int32)
    ordered = np.where(bits < 0, bits ^ np.int32(0x7FFFFFFF), bits).astype(np.int64)
    numbers = _LOW - np.arange(start, start + similarities.shape[1], dtype=np.int64)
    keys: NDArray[np.int64] = (ordered << 32) | numbers
    return keys


def _numbers(keys: NDArray[np.int64]) -> Ranking:
    ordered = np.sort(keys, axis=1)[:, ::-1]
    return np.where(ordered == _NONE, np.int64(-1), _LOW - (ordered & _LOW))
