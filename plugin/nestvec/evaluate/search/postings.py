"""Exact search of sparse vectors, by postings: every inner product is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nestvec.evaluate.search.exact import Ranking
from nestvec.service.batching.outputs import SPARSE_DTYPE
from nestvec_schemas.preprocessing.collate import Array

WEIGHT_BYTES = SPARSE_DTYPE.itemsize
"""Bytes of one weight: the word's id and a 32-bit value."""


@dataclass(frozen=True)
class SparseVectors:
    """The weights of texts."""

    weights: Sequence[Array]
    """(k,) SPARSE_DTYPE each."""

    seconds: float
    """The encoder's time, per text."""


@dataclass(frozen=True)
class Postings:
    """Documents by word."""

    starts: NDArray[np.int64]
    """The entries of word w are ``starts[w]:starts[w + 1]``."""

    documents: NDArray[np.int64]
    """The document of each entry."""

    values: NDArray[np.float32]
    """The word's weight in it."""

    count: int
    """Number of documents."""


def build_postings(weights: Sequence[Array], words: int) -> Postings:
    """The postings of documents' weights over a vocabulary of ``words``."""
    flat = np.concatenate([*weights, np.empty(0, SPARSE_DTYPE)])
    documents = np.repeat(
        np.arange(len(weights), dtype=np.int64), [len(text_weights) for text_weights in weights]
    )
    order = np.argsort(flat["index"], kind="stable")
    starts = np.searchsorted(flat["index"][order], np.arange(words + 1))
    return Postings(starts.astype(np.int64), documents[order], flat["value"][order], len(weights))


def search_postings(index: Postings, queries: Sequence[Array], k: int) -> Ranking:
    """The ``k`` documents with the largest inner products for each query, among those that share a word with
    it.

    Equal ones keep the order of the documents.
    """
    ranking = np.full((len(queries), k), -1, np.int64)
    for row, query in enumerate(queries):
        scores = np.zeros(index.count, np.float32)
        for word, weight in zip(query["index"], query["value"], strict=True):
            entries = slice(index.starts[word], index.starts[word + 1])
            # A document has each word once, so that no addition is lost.
            scores[index.documents[entries]] += weight * index.values[entries]
        matching = np.flatnonzero(scores > 0)
        best = matching[np.argsort(-scores[matching], kind="stable")[:k]]
        ranking[row, : len(best)] = best
    return ranking
