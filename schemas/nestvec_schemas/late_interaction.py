"""Late interaction: queries and documents with a vector per token, and how they are compared.

A marker after the first token, which the encoder's prompts put there, distinguishes the two. A
query is padded with mask tokens to a fixed length, whose vectors count as further words of it; the vectors
of a document's punctuation are dropped (ColBERT, Khattab & Zaharia 2020; ColBERTv2, Santhanam et al. 2022).
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
"""The input of a graph that gives a vector per token: 1 for tokens whose vector is part of the answer, else
0."""

Ids = NDArray[np.int64]


class Interaction(BaseModel):
    """How a tower distinguishes queries from documents, and how it reads each."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    query_marker: int
    """The second id of a query."""

    document_marker: int
    """The second id of a document."""

    query_tokens: Annotated[int, Field(ge=3)]
    """The maximum length of a query, and its exact length if there is a ``mask``."""

    mask: int | None = None
    """The id that pads queries."""

    attend: bool = False
    """Whether a query's other tokens attend to the mask tokens."""

    skip: tuple[int, ...] = ()
    """The ids whose vectors are dropped from documents."""


def token_arrays(ids: Ids, interaction: Interaction | None) -> dict[str, Array]:
    """The arrays of one text for a graph that gives a vector per token: ids, mask and KEEP_INPUT, (t,) int64
    each.

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
    """The arrays of a query; its last token, a special one, stays if it is truncated."""
    max_tokens = interaction.query_tokens
    query_ids = ids if len(ids) <= max_tokens else np.concatenate([ids[: max_tokens - 1], ids[-1:]])
    padding = 0 if interaction.mask is None else max_tokens - len(query_ids)
    padded_ids = np.pad(query_ids, (0, padding), constant_values=interaction.mask or 0)
    mask = np.pad(np.ones_like(query_ids), (0, padding), constant_values=int(interaction.attend))
    return {"input_ids": padded_ids, "attention_mask": mask, KEEP_INPUT: np.ones_like(padded_ids)}


def maxsim(query: Vectors, documents: Sequence[Vectors]) -> NDArray[np.float64]:
    """The score of each document with a query: over the query's vectors, the sum of the largest product with
    any of the document's.

    ``query`` is (q, dim) float32, each document (t, dim); the result is (n,) float64. A document without
    vectors scores 0. No score depends on what else is scored.
    """
    return np.array([_maxsim(query, document) for document in documents], np.float64)


def _maxsim(query: Vectors, document: Vectors) -> float:
    return float((query @ document.T).max(axis=1).sum(dtype=np.float64)) if len(document) else 0.0
