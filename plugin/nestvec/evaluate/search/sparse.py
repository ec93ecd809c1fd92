"""A sparse encoder on a dataset: every inner product of its weights, of all and of the largest alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nestvec.datasets.beir import Dataset
from nestvec.evaluate.measures import RANKING_DEPTH, per_query_metrics
from nestvec.evaluate.measuring import (
    EvaluateOptions,
    FullLengthRanking,
    MeasuredSetting,
    Measurement,
    Outcome,
)
from nestvec.evaluate.search.exact import Ranking, drop_own_documents
from nestvec.evaluate.subject import EncoderVariant
from nestvec.service.batching.answers import SPARSE, heaviest
from nestvec_schemas.preprocessing.collate import Array

WEIGHT_BYTES = SPARSE.itemsize
"""Bytes of one weight: the word's id, and its value in 32 bits."""


@dataclass(frozen=True)
class SparseVectors:
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


def build_postings(weights: Sequence[Array], words: int) -> Postings:
    """The postings of documents' weights over a vocabulary of ``words``."""
    flat = np.concatenate([*weights, np.empty(0, SPARSE)])
    documents = np.repeat(
        np.arange(len(weights), dtype=np.int64), [len(text_weights) for text_weights in weights]
    )
    order = np.argsort(flat["index"], kind="stable")
    starts = np.searchsorted(flat["index"][order], np.arange(words + 1))
    return Postings(starts.astype(np.int64), documents[order], flat["value"][order], len(weights))


def search_postings(index: Postings, queries: Sequence[Array], k: int) -> Ranking:
    """The ``k`` documents of the largest inner product for each query, of those that share a word with it.

    Equal ones stand in the order of the documents.
    """
    ranking = np.full((len(queries), k), -1, np.int64)
    for row, query in enumerate(queries):
        scores = np.zeros(index.count, np.float32)
        for word, weight in zip(query["index"], query["value"], strict=True):
            entries = slice(index.starts[word], index.starts[word + 1])
            # A document has a word once, so that no addition is lost.
            scores[index.documents[entries]] += weight * index.values[entries]
        matching = np.flatnonzero(scores > 0)
        best = matching[np.argsort(-scores[matching], kind="stable")[:k]]
        ranking[row, : len(best)] = best
    return ranking


def measure_sparse(
    dataset: Dataset,
    variant: EncoderVariant,
    queries: SparseVectors,
    documents: SparseVectors,
    options: EvaluateOptions,
    advance: Callable[[int], None],
) -> Measurement:
    """Search and score all weights, then the largest of each document alone; queries keep theirs.

    ``advance`` hears of each search.
    """
    spare = int((dataset.own >= 0).any())
    k = min(max(RANKING_DEPTH, options.candidates, options.rerank_depth), dataset.documents)
    outcomes: list[Outcome] = []
    full_length: FullLengthRanking | None = None
    for top in (None, *variant.top):
        largest = [heaviest(text_weights, top) for text_weights in documents.weights]
        index = build_postings(largest, variant.manifest.dim)
        answer = search_postings(index, queries.weights, min(k + spare, dataset.documents))
        ranking = drop_own_documents(answer, dataset.own, k)
        size = round(float(np.mean([len(text_weights) for text_weights in largest])) * WEIGHT_BYTES)
        setting = _setting(variant, top, size)
        milliseconds = documents.seconds * 1000, queries.seconds * 1000
        outcomes.append(Outcome(setting, per_query_metrics(dataset, ranking), None, *milliseconds))
        full_length = full_length or FullLengthRanking(outcomes[0], ranking)
        advance(1)
    return Measurement(tuple(outcomes), None, (), full_length)


def _setting(variant: EncoderVariant, top: int | None, size: int) -> MeasuredSetting:
    """``dim`` is how many weights are kept at most, of all the words of the vocabulary."""
    depth = variant.manifest.depth
    return MeasuredSetting(
        encoder=variant.manifest.name,
        precision=variant.manifest.precision,
        nesting=variant.nesting,
        form="sparse",
        dim=top or variant.manifest.dim,
        exit=depth,
        query_exit=depth,
        bytes=size,
        stored_bytes=size,
    )
