"""The texts that a bridge is fitted on: a sample's documents, and queries for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nestvec_exporters.nesting.sampled_queries import QueryKind, SampledQuery, sample_queries
from nestvec_exporters.space_maps.mapping import Rows
from nestvec_schemas.errors import SampleUnusable
from nestvec_schemas.samples.sample import Sample

_DRAWS: dict[QueryKind, int] = {"sentence": 3, "keywords": 3}
"""How often each kind of query is taken from each document: on SciFact, three of each gave 0.93 of the old
encoder's nDCG@10 where one of each gave 0.89."""


@dataclass(frozen=True)
class BridgeTexts:
    """Texts to embed by both encoders."""

    documents: tuple[str, ...]
    """Each once."""

    queries: tuple[str, ...]

    rows: Rows
    """The document that each query was taken from; -1 for a real one."""


def bridge_texts(sample: Sample, query_log: Sample | None, *, seed: int, minimum: int) -> BridgeTexts:
    """The distinct texts of a sample, with queries that are taken from them, and real ones if there are any.

    Raises SampleUnusable if there are fewer than ``minimum`` texts, or a log has no queries.
    """
    documents = tuple(dict.fromkeys(text for text in sample.texts if text.strip()))
    if len(documents) < minimum:
        raise SampleUnusable(
            f"the sample {sample.name} has too few distinct texts to fit a bridge",
            value=f"{len(documents)} distinct texts, of {len(sample.texts)}",
            next_step=f"Give at least {minimum}; a few thousand are best.",
        )
    sampled = [
        query
        for kind, draws in _DRAWS.items()
        for number in range(draws)
        for query in sample_queries(documents, kind, seed=seed * max(_DRAWS.values()) + number)
    ]
    sampled += [SampledQuery(text, -1) for text in _real_queries(query_log)]
    queries = {query.text: query.row for query in sampled}
    return BridgeTexts(documents, tuple(queries), np.array([*queries.values()], np.intp))


def _real_queries(query_log: Sample | None) -> list[str]:
    if query_log is None:
        return []
    queries = [text for text in dict.fromkeys(query_log.texts) if text.strip()]
    if not queries:
        raise SampleUnusable(
            f"the log {query_log.name} has no queries",
            value=f"{len(query_log.texts)} texts",
            next_step="Give real queries, or omit --queries: sentences and keywords are used instead.",
        )
    return queries
