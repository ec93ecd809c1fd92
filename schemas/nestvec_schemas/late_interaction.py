"""Late interaction: how queries and documents are read a vector a token, and how two of them are compared.

A marker behind the first token says which of the two a text is; the encoder's prompts put it there. A query
is filled up with mask tokens to a fixed length, whose vectors count as further words of it; a document leaves
out the vectors of its punctuation (ColBERT, Khattab & Zaharia 2020; ColBERTv2, Santhanam et al. 2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from nestvec_schemas.preprocessing.collate import Array
from nestvec_schemas.vectors import Vectors

KEEP_INPUT: Final = "keep"
"""The input of a graph that gives a vector a token: 1 where the token's vector is an answer, else 0."""

Ids = NDArray[np.int64]


class Interaction(BaseModel):
    """How a tower tells queries from documents, and what it makes of each.

    The markers are ids, which stand second. A query has at most ``query_tokens``, and exactly so many where
    there is a ``mask`` token to fill it up with; its other tokens see those only where they ``attend`` to
    them. The vectors of the ids in ``skip`` are left out of documents.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    query_marker: int
    document_marker: int
    query_tokens: Annotated[int, Field(ge=3)]
    mask: int | None = None
    attend: bool = False
    skip: tuple[int, ...] = ()


def token_arrays(ids: Ids, interaction: Interaction | None) -> dict[str, Array]:
    """The arrays of one text for a graph that gives a vector a token: ids, mask and KEEP, each (t,) int64.

    ``ids`` is (n,) int64 with special tokens. A text without a marker is read as it is.
    """
    marker = int(ids[1]) if interaction is not None and len(ids) > 1 else None
    if interaction is not None and marker == interaction.query_marker:
        return _query_arrays(ids, interaction)
    keep = np.ones_like(ids)
    if interaction is not None and marker == interaction.document_marker:
        keep = (~np.isin(ids, interaction.skip)).astype(np.int64)
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), KEEP_INPUT: keep}


def _query_arrays(ids: Ids, interaction: Interaction) -> dict[str, Array]:
    """The last token is a special one, which stays where the query is cut."""
    max_tokens = interaction.query_tokens
    query_ids = ids if len(ids) <= max_tokens else np.concatenate([ids[: max_tokens - 1], ids[-1:]])
    padding = 0 if interaction.mask is None else max_tokens - len(query_ids)
    padded_ids = np.pad(query_ids, (0, padding), constant_values=interaction.mask or 0)
    mask = np.pad(np.ones_like(query_ids), (0, padding), constant_values=int(interaction.attend))
    return {"input_ids": padded_ids, "attention_mask": mask, KEEP_INPUT: np.ones_like(padded_ids)}


def maxsim(query: Vectors, documents: Sequence[Vectors]) -> NDArray[np.float64]:
    """The score of each document with a query: over the query's vectors, the sum of the largest product with
    any of the document's.

    ``query`` is (q, dim) float32, each document (t, dim); the result is (n,) float64. A document without a
    vector scores 0. What else is scored has no part in a score.
    """
    return np.array([_maxsim(query, document) for document in documents], np.float64)


def _maxsim(query: Vectors, document: Vectors) -> float:
    return float((query @ document.T).max(axis=1).sum(dtype=np.float64)) if len(document) else 0.0
