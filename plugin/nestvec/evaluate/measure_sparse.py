"""A sparse encoder on a dataset: with all weights, and with only the largest ones of each document."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nestvec.datasets.beir import Dataset
from nestvec.evaluate.metrics.ranking import RANKING_DEPTH, per_query_metrics
from nestvec.evaluate.outcomes import (
    EvaluateOptions,
    FullLengthRanking,
    MeasuredSetting,
    Measurement,
    Outcome,
    VectorSize,
)
from nestvec.evaluate.search.exact import drop_own_documents
from nestvec.evaluate.search.postings import WEIGHT_BYTES, SparseVectors, build_postings, search_postings
from nestvec.evaluate.variants import EncoderVariant
from nestvec.service.batching.outputs import top_weights


def measure_sparse(
    dataset: Dataset,
    variant: EncoderVariant,
    queries: SparseVectors,
    documents: SparseVectors,
    options: EvaluateOptions,
    advance: Callable[[int], None],
) -> Measurement:
    """Search and score with all weights, then with the largest ones of each document; queries keep all.

    ``advance`` is called once per search.
    """
    spare = int((dataset.queries.own_documents >= 0).any())
    k = min(max(RANKING_DEPTH, options.candidates, options.rerank_depth), dataset.document_count)
    outcomes: list[Outcome] = []
    full_length: FullLengthRanking | None = None
    for top in (None, *variant.top):
        largest = [top_weights(text_weights, top) for text_weights in documents.weights]
        index = build_postings(largest, variant.manifest.dim)
        answer = search_postings(index, queries.weights, min(k + spare, dataset.document_count))
        ranking = drop_own_documents(answer, dataset.queries.own_documents, k)
        size = round(float(np.mean([len(text_weights) for text_weights in largest])) * WEIGHT_BYTES)
        setting = _setting(variant, top, size)
        milliseconds = documents.seconds * 1000, queries.seconds * 1000
        outcomes.append(Outcome(setting, per_query_metrics(dataset, ranking), None, *milliseconds))
        full_length = full_length or FullLengthRanking(outcomes[0], ranking)
        advance(1)
    return Measurement(tuple(outcomes), None, (), full_length)


def _setting(variant: EncoderVariant, top: int | None, size: int) -> MeasuredSetting:
    """``dim`` is the most weights of a document: ``top``, or the size of the vocabulary."""
    depth = variant.manifest.depth
    return MeasuredSetting(
        encoder=variant.manifest.name,
        precision=variant.manifest.precision,
        nesting=variant.nesting,
        form="sparse",
        dim=top or variant.manifest.dim,
        exit=depth,
        query_exit=depth,
        size=VectorSize(size, size),
    )
