"""Late interaction: queries and documents with a vector per token, and how they are compared.

A request says which of the two a text is; else a marker after the first token does, which the encoder's
prompts put there. A query is padded with mask tokens to a fixed length, whose vectors count as further words
of it; the vectors of a document's punctuation are dropped (ColBERT, Khattab & Zaharia 2020; ColBERTv2,
Santhanam et al. 2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from nestvec_schemas.preprocessing.collate import Array
from nestvec_schemas.vectors import Vectors

KEEP_INPUT: Final = "keep"
"""The input of a graph that gives a vector per token: 1 for tokens whose vector is part of the answer, else
0."""

Role = Literal["query", "document"]
"""The side of a search that a text is on, for encoders that read the two differently."""

Ids = NDArray[np.int64]


class Interaction(BaseModel):
    """How a tower distinguishes queries from documents, and how it reads each."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    query_marker: int | None = None
    """The second id of a query; None if its prompt is no single token."""

    document_marker: int | None = None
    """The second id of a document; None if its prompt is no single token."""

    query_tokens: Annotated[int, Field(ge=1)]
    """The maximum length of a query."""

    document_tokens: Annotated[int, Field(ge=1)] | None = None
    """The maximum length of a document; None for the tower's."""

    mask: int | None = None
    """The id that pads queries."""

    padded_tokens: Annotated[int, Field(ge=1)] | None = None
    """The length that shorter queries are padded to if there is a ``mask``; None for ``query_tokens``."""

    end_tokens: Annotated[int, Field(ge=0)] = 1
    """Special tokens at the end of a text, which stay if it is truncated."""

    attend: bool = False
    """Whether a query's other tokens attend to the mask tokens."""

    skip: tuple[int, ...] = ()
    """The ids whose vectors are dropped from documents."""

    skip_queries: bool = False
    """Whether they are dropped from queries too."""


def token_arrays(ids: Ids, interaction: Interaction | None, role: Role | None = None) -> dict[str, Array]:
    """The arrays of one text for a graph that gives a vector per token: ids, mask and KEEP_INPUT, (t,) int64
    each.

    ``ids`` is (n,) int64 with special tokens. Without ``role``, its marker says what the text is; a text
    without a marker is read as it is.
    """
    role = role or role_of_ids(ids, interaction)
    if interaction is not None and role == "query":
        return _query_arrays(ids, interaction)
    keep = np.ones_like(ids)
    if interaction is not None and role == "document":
        ids = _truncated(ids, interaction.document_tokens or len(ids), interaction.end_tokens)
        keep = (~np.isin(ids, interaction.skip)).astype(np.int64)
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), KEEP_INPUT: keep}


def role_of_ids(ids: Ids, interaction: Interaction | None) -> Role | None:
    """What the marker of a text says it is; None if it has none."""
    marker = int(ids[1]) if interaction is not None and len(ids) > 1 else None
    if interaction is None or marker is None:
        return None
    if marker == interaction.query_marker:
        return "query"
    return "document" if marker == interaction.document_marker else None


def _truncated(ids: Ids, max_tokens: int, end_tokens: int) -> Ids:
    """At most ``max_tokens`` ids; the special tokens at the end stay."""
    if len(ids) <= max_tokens:
        return ids
    start = max(0, max_tokens - end_tokens)
    return np.concatenate([ids[:start], ids[len(ids) - (max_tokens - start) :]])


def _query_arrays(ids: Ids, interaction: Interaction) -> dict[str, Array]:
    """The arrays of a query, padded with mask tokens if there are any."""
    query_ids = _truncated(ids, interaction.query_tokens, interaction.end_tokens)
    full = interaction.padded_tokens or interaction.query_tokens
    padding = 0 if interaction.mask is None else max(0, full - len(query_ids))
    padded_ids = np.pad(query_ids, (0, padding), constant_values=interaction.mask or 0)
    mask = np.pad(np.ones_like(query_ids), (0, padding), constant_values=int(interaction.attend))
    keep = np.ones_like(padded_ids)
    if interaction.skip_queries:
        keep = (~np.isin(padded_ids, interaction.skip)).astype(np.int64)
    return {"input_ids": padded_ids, "attention_mask": mask, KEEP_INPUT: keep}


def maxsim(query: Vectors, documents: Sequence[Vectors]) -> NDArray[np.float64]:
    """The score of each document with a query: over the query's vectors, the sum of the largest product with
    any of the document's.

    ``query`` is (q, dim) float32, each document (t, dim); the result is (n,) float64. A document without
    vectors scores 0. No score depends on what else is scored.
    """
    return np.array([_maxsim(query, document) for document in documents], np.float64)


def _maxsim(query: Vectors, document: Vectors) -> float:
    return float((query @ document.T).max(axis=1).sum(dtype=np.float64)) if len(document) else 0.0
