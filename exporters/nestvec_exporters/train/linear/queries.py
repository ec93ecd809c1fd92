"""The queries that a linear map learns from, each with the document that answers it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from nestvec_exporters.nesting.sampled_queries import QueryKind, sample_queries
from nestvec_exporters.training_data import Indices, PreparedTexts, RoleText

_SAMPLED: Final[tuple[QueryKind, ...]] = ("sentence", "sentence", "keywords", "keywords")
"""What stands in for queries of texts without labels, besides the first sentence; a draw for each entry."""


MAX_ROWS: Final = 20_000
"""The most rows that a map learns from; more are sampled by the seed. A map of (d, d) needs no more."""


@dataclass(frozen=True)
class QueryPairs:
    """Distinct texts, and pairs of a query and its document, as indices of the texts."""

    texts: tuple[RoleText, ...]

    training: Indices
    """Pairs to learn from, (n, 2): query, document."""

    held_out: Indices
    """Pairs to measure on, (m, 2); no document of them is learned from."""

    training_documents: Indices
    """The distinct documents of ``training``, sorted, (k,)."""

    documents: Indices
    """All distinct documents, sorted."""


def query_pairs(prepared: PreparedTexts, seed: int) -> QueryPairs:
    """The pairs of labelled rows; of texts alone, sentences and keywords of each with the text.

    Texts that no pair has are dropped, such as those beyond MAX_ROWS.
    """
    learned = np.random.default_rng(seed).permutation(prepared.training)[:MAX_ROWS]
    if prepared.kind != "texts":
        return _pairs(prepared.texts, learned[:, :2], prepared.held_out[:, :2])
    texts = {item: index for index, item in enumerate(prepared.texts)}
    training = [learned[:, [1, 0]]]
    held_out = [prepared.held_out[:, [1, 0]]]
    for rows, pairs in ((learned, training), (prepared.held_out, held_out)):
        documents = [prepared.texts[index].text for index in rows[:, 0]]
        for draw, kind in enumerate(_SAMPLED):
            sampled = sample_queries(documents, kind, seed=seed * len(_SAMPLED) + draw)
            queries = [texts.setdefault(RoleText(query.text, "query"), len(texts)) for query in sampled]
            owners = [rows[query.row, 0] for query in sampled]
            pairs.append(np.stack([np.asarray(queries, np.intp), np.asarray(owners, np.intp)], axis=1))
    return _pairs(tuple(texts), np.concatenate(training), np.concatenate(held_out))


def _pairs(texts: Sequence[RoleText], training: Indices, held_out: Indices) -> QueryPairs:
    """The distinct pairs, with the texts that they have."""
    used, indices = np.unique(np.concatenate([training, held_out]), return_inverse=True)
    pairs = indices.reshape(-1, 2)
    learned, measured = np.split(pairs, [len(training)])
    return QueryPairs(
        texts=tuple(texts[index] for index in used),
        training=np.unique(learned, axis=0),
        held_out=np.unique(measured, axis=0),
        training_documents=np.unique(learned[:, 1]),
        documents=np.unique(pairs[:, 1]),
    )
