"""A query and a document as one text for a reranker: what stands around them, and how they are truncated."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

Ids = NDArray[np.int64]


class PairTemplate(BaseModel):
    """What a reranker reads around a query and a document."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prefix: str = ""
    """Before the query."""

    between: str | None = None
    """Between the two, which are then tokenized as one text without the tokenizer's special tokens; None if
    the tokenizer joins them as a pair."""

    suffix: str = ""
    """Behind the document."""

    ending: tuple[Annotated[int, Field(ge=0)], ...] = ()
    """The ids that end every text, which truncation keeps; empty if the tokenizer joins them."""

    @model_validator(mode="after")
    def _is_a_text_or_a_pair(self) -> PairTemplate:
        if self.between is None and (self.suffix or self.ending):
            raise ValueError("only a text, not a pair, has something behind the document")
        return self


class RenderedPair(NamedTuple):
    """A query and a document as one text."""

    text: str

    document: int
    """The place of the document's first character."""


def render_pair(template: PairTemplate, query: str, document: str) -> RenderedPair:
    """The text of a pair, for a template that is one."""
    head = f"{template.prefix}{query}{template.between or ''}"
    return RenderedPair(f"{head}{document}{template.suffix}", len(head))


def truncate_pair(
    ids: Ids,
    starts: NDArray[np.int64],
    document: int,
    ending: tuple[int, ...],
    max_tokens: int,
    side: Literal["right", "left"] = "right",
) -> Ids:
    """At most ``max_tokens`` ids of a pair, (t,): what ends it is kept.

    On the right, everything before the end loses its last tokens, as in sentence-transformers; on the left,
    the document loses its first. ``starts`` is (t,): each token's first character, and ``document`` the
    document's.
    """
    if len(ids) <= max_tokens:
        return ids
    tail = np.asarray(ending[-max_tokens:] if ending else (), np.int64)
    first = int((starts < document).sum())
    room = max_tokens - first - len(tail)
    if side == "left" and room > 0:
        body = ids[first : len(ids) - len(tail)]
        return np.concatenate([ids[:first], body[-room:], tail])
    return np.concatenate([ids[: max_tokens - len(tail)], tail])
