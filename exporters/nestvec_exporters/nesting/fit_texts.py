"""The texts that a rotation and exits are fitted on: a sample's documents, and queries for them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nestvec_exporters.nesting.sampled_queries import QUERY_KINDS, SampledQuery, sample_queries
from nestvec_exporters.nesting.selection import MIN_QUERY_LOG, QUERY_LOG
from nestvec_schemas.errors import SampleUnusable
from nestvec_schemas.manifest import RotationMethod
from nestvec_schemas.samples.sample import Sample


@dataclass(frozen=True)
class FitTexts:
    """Documents, then sentences of them, then other queries by their kind."""

    sample: Sample
    """The documents, each once."""

    queries: dict[str, tuple[SampledQuery, ...]] = field(default_factory=dict)
    """Queries by kind; sentences come first."""

    query_log_name: str | None = None
    """Where real queries came from."""

    @property
    def query_texts(self) -> tuple[str, ...]:
        """All queries, in the order of their rows."""
        return tuple(query.text for kind in self.queries.values() for query in kind)

    @property
    def documents_in_order(self) -> NDArray[np.intp]:
        """The document of each document and sentence, the texts whose words are in order: its row, (n,)."""
        sentences = [query.row for query in self.queries.get("sentence", ())]
        return np.array([*range(len(self.sample.texts)), *sentences], np.intp)

    def query_rows(self) -> dict[str, tuple[int, int, NDArray[np.intp]]]:
        """By kind, the first row and the one past the last, and the rows of the queries' documents."""
        rows = {}
        start = len(self.sample.texts)
        for kind, queries in self.queries.items():
            end = start + len(queries)
            rows[kind] = start, end, np.array([query.row for query in queries], np.intp)
            start = end
        return rows


def fit_texts(
    sample: Sample, query_log: Sample | None, *, method: RotationMethod | None, seed: int
) -> FitTexts:
    """What to fit on: sentences always, and for a learned rotation queries of every kind or a log of them.

    Raises SampleUnusable if the log has too few queries.
    """
    kinds = QUERY_KINDS if method == "learned" and query_log is None else QUERY_KINDS[:1]
    queries: dict[str, tuple[SampledQuery, ...]] = {
        kind: tuple(sample_queries(sample.texts, kind, seed=seed)) for kind in kinds
    }
    if query_log is None or method != "learned":
        return FitTexts(sample, queries)
    texts = tuple(dict.fromkeys(text for text in query_log.texts if text.strip()))
    if len(texts) < MIN_QUERY_LOG:
        raise SampleUnusable(
            f"{query_log.name} has too few distinct queries to fit a rotation on",
            value=f"{len(texts)} distinct queries, of {len(query_log.texts)}",
            next_step=f"Give at least {MIN_QUERY_LOG} (--sample-size may be too small), or omit --queries.",
        )
    queries[QUERY_LOG] = tuple(SampledQuery(text, -1) for text in texts)
    return FitTexts(sample, queries, query_log.name)
