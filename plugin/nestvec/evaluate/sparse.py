"""A sparse encoder on a dataset: every inner product of its weights, of all and of the largest alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nestvec.evaluate.dataset import Dataset
from nestvec.evaluate.measures import CUTOFF, per_query
from nestvec.evaluate.measuring import Measured, Options, Outcome, Setting, Whole
from nestvec.evaluate.search import Found, without
from nestvec.evaluate.subject import Subject
from nestvec.service.answers import SPARSE, heaviest
from nestvec_schemas.rows import Array

WEIGHT_BYTES = SPARSE.itemsize
"""Bytes of one weight: the word's id, and its value in 32 bits."""


@dataclass(frozen=True)
class Weighed:
    """The weights of texts, (k,) SPARSE each, and the encoder's own time for them, in seconds a text."""

    weights: Sequence[Array]
    seconds: float


@dataclass(frozen=True)
class Postings:
    """Documents by word: those of word w, and its weights in them, lie in ``starts[w]:starts[w + 1]``."""

    starts: NDArray[np.int64]
    documents: NDArray[np.int64]
    values: NDArray[np.float32]
    count: int


def postings(weights: Sequence[Array], words: int) -> Postings:
    """The postings of documents' weights over a vocabulary of ``words``."""
    flat = np.concatenate([*weights, np.empty(0, SPARSE)])
    documents = np.repeat(np.arange(len(weights), dtype=np.int64), [len(one) for one in weights])
    order = np.argsort(flat["index"], kind="stable")
    starts = np.searchsorted(flat["index"][order], np.arange(words + 1))
    return Postings(starts.astype(np.int64), documents[order], flat["value"][order], len(weights))


def nearest(index: Postings, queries: Sequence[Array], k: int) -> Found:
    """The ``k`` documents of the largest inner product for each query, of those that share a word with it.

    Equal ones stand in the order of the documents.
    """
    found = np.full((len(queries), k), -1, np.int64)
    for row, query in enumerate(queries):
        scores = np.zeros(index.count, np.float32)
        for word, weight in zip(query["index"], query["value"], strict=True):
            those = slice(index.starts[word], index.starts[word + 1])
            # A document has a word once, so that no addition is lost.
            scores[index.documents[those]] += weight * index.values[those]
        there = np.flatnonzero(scores > 0)
        best = there[np.argsort(-scores[there], kind="stable")[:k]]
        found[row, : len(best)] = best
    return found


def measure_sparse(
    dataset: Dataset,
    subject: Subject,
    queries: Weighed,
    documents: Weighed,
    options: Options,
    advance: Callable[[int], None],
) -> Measured:
    """Search and score all weights, then the largest of each document alone; queries keep theirs.

    ``advance`` hears of each search.
    """
    spare = int((dataset.own >= 0).any())
    k = min(max(CUTOFF, options.candidates, options.depth), dataset.documents)
    outcomes: list[Outcome] = []
    whole: Whole | None = None
    for top in (None, *subject.top):
        kept = [heaviest(one, top) for one in documents.weights]
        index = postings(kept, subject.manifest.dim)
        answer = nearest(index, queries.weights, min(k + spare, dataset.documents))
        found = without(answer, dataset.own, k)
        size = round(float(np.mean([len(one) for one in kept])) * WEIGHT_BYTES)
        setting = _setting(subject, top, size)
        milliseconds = documents.seconds * 1000, queries.seconds * 1000
        outcomes.append(Outcome(setting, per_query(dataset, found), None, *milliseconds))
        whole = whole or Whole(outcomes[0], found)
        advance(1)
    return Measured(tuple(outcomes), None, (), whole)


def _setting(subject: Subject, top: int | None, size: int) -> Setting:
    """``dim`` is how many weights are kept at most, of all the words of the vocabulary."""
    depth = subject.manifest.depth
    return Setting(
        encoder=subject.manifest.name,
        precision=subject.manifest.precision,
        nesting=subject.nesting,
        form="sparse",
        dim=top or subject.manifest.dim,
        exit=depth,
        query_exit=depth,
        bytes=size,
        stored_bytes=size,
    )
