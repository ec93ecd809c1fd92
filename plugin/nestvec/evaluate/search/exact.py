"""Exact search by blocks: never more than a block's similarities at once, and the same answer every time."""

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
"""Document numbers, (q, k), best first; -1 where there are fewer than k."""

BLOCK_DOCUMENTS = 4096
BLOCK_QUERIES = 1024
"""Documents and queries whose similarities are held at once: 16 MiB of float32."""

_NONE = np.iinfo(np.int64).min
_LOW = np.int64(0xFFFFFFFF)


@dataclass(frozen=True)
class Probe:
    """One search: full-length query vectors, (q, dim) float32, and how they are compared."""

    queries: Vectors
    form: VectorForm


class VectorIndex(Protocol):
    """The documents of one encoder at one exit, ready to be searched."""

    def search(self, probes: Sequence[Probe], k: int, advance: Callable[[int], None]) -> list[Ranking | None]:
        """The k nearest documents for each probe; None where the index has no such form."""
        ...

    def rescore(self, queries: Vectors, candidates: Ranking) -> Ranking:
        """Each row of ``candidates`` in the order of full-length cosines."""
        ...


OpenIndex = Callable[[Vectors, Vectors | None], AbstractContextManager[VectorIndex]]
"""An index over documents, (n, dim) float32, and the rotation that they went through."""


class ExactIndex:
    """Every similarity computed; equal ones stand in the order of the documents."""

    def __init__(self, documents: Vectors, rotation: Vectors | None) -> None:
        """``documents`` is (n, dim) float32, on disk or in memory; ``rotation`` what they were rotated by."""
        self._documents, self._rotation = documents, rotation

    def search(self, probes: Sequence[Probe], k: int, advance: Callable[[int], None]) -> list[Ranking | None]:
        """See the protocol."""
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
        """See the protocol."""
        ordered = np.full_like(candidates, -1)
        for row, (query, numbers) in enumerate(zip(normalise(queries), candidates, strict=True)):
            # Ascending numbers: a stable sort then leaves equal similarities in the documents' order.
            ascending = np.sort(numbers[numbers >= 0])
            similarities = normalise(np.asarray(self._documents[ascending])) @ query
            ordered[row, : len(ascending)] = ascending[np.argsort(-similarities, kind="stable")]
        return ordered


def unrotate(vectors: Vectors, form: VectorForm, rotation: Vectors | None) -> Vectors:
    """``vectors``, or as they were before the rotation R: v R back to v."""
    return vectors @ rotation.T if form.unrotated and rotation is not None else vectors


def drop_own_documents(ranking: Ranking, own: NDArray[np.int64], k: int) -> Ranking:
    """The first ``k`` of each row, the query's own document left out."""
    remaining = np.full((len(ranking), k), -1, np.int64)
    for row, (numbers, own_number) in enumerate(zip(ranking, own, strict=True)):
        others = numbers[numbers != own_number][:k] if own_number >= 0 else numbers[:k]
        remaining[row, : len(others)] = others
    return remaining


def _merge(best: NDArray[np.int64], queries: Vectors, documents: Vectors, start: int) -> None:
    """Put a block of documents into the k best of each query, (q, k) int64 keys, in place."""
    k = best.shape[1]
    for row in range(0, len(queries), BLOCK_QUERIES):
        rows = slice(row, row + BLOCK_QUERIES)
        keys = np.concatenate([best[rows], _keys(queries[rows] @ documents.T, start)], axis=1)
        best[rows] = np.partition(keys, keys.shape[1] - k, axis=1)[:, -k:]


def _keys(similarities: NDArray[Any], start: int) -> NDArray[np.int64]:
    """One whole number for similarity and document, so that no two are equal: similarity in the upper half,
    in the lower the document's number from the other end, because of equal ones the first is better."""
    bits = (similarities + np.float32(0)).view(np.int32)
    ordered = np.where(bits < 0, bits ^ np.int32(0x7FFFFFFF), bits).astype(np.int64)
    numbers = _LOW - np.arange(start, start + similarities.shape[1], dtype=np.int64)
    keys: NDArray[np.int64] = (ordered << 32) | numbers
    return keys


def _numbers(keys: NDArray[np.int64]) -> Ranking:
    ordered = np.sort(keys, axis=1)[:, ::-1]
    return np.where(ordered == _NONE, np.int64(-1), _LOW - (ordered & _LOW))
