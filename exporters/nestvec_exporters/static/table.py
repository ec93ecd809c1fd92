"""A table of vectors, and how token ids select its rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from nestvec_schemas.errors import CheckpointUnsupported

MAX_TOKENS: Final = 8192
"""The longest text in tokens if the checkpoint states no limit, which bounds the memory of a batch."""

NO_ROW: Final = -1
"""Fills ``rows`` after a word's last sense."""


@dataclass(frozen=True)
class TokenLookup:
    """Which rows a token id selects, and how much they count."""

    rows: NDArray[np.int64] | None = None
    """The row of each id, (v,), or the rows of its senses, (v, s), filled with NO_ROW; an id's own row if
    None."""

    weights: NDArray[np.float32] | None = None
    """Factors of the ids' vectors, (v,); the mean still divides by the number of tokens."""

    unknown: int | None = None
    """The id of unknown tokens, which do not count at all."""


@dataclass(frozen=True)
class EmbeddingTable:
    """A static encoder: its vectors, and how a text becomes a mean of some of them."""

    vectors: NDArray[Any]
    """(r, d), floats or int8."""

    tokenizer: Tokenizer
    """The tokenizer that an export saves."""

    reference_ids: Callable[[str], list[int]]
    """A text's ids as the encoder's own library has them, for comparison."""

    lookup: TokenLookup = TokenLookup()

    normalised: bool = False

    trained: bool = False
    """Whether prefixes were trained as vectors."""

    dims: tuple[int, ...] | None = None
    """The prefixes that were, None if unknown."""

    max_tokens: int = MAX_TOKENS

    pooling: str = "mean"
    """What a manifest calls the mean."""

    @property
    def id_count(self) -> int:
        """The number of token ids."""
        return len(self.vectors) if self.lookup.rows is None else len(self.lookup.rows)

    @property
    def has_senses(self) -> bool:
        """Whether a word can have several vectors."""
        return self.lookup.rows is not None and self.lookup.rows.ndim == 2

    def check(self, name: str) -> None:
        """Raise CheckpointUnsupported unless every id of the tokenizer has a row of finite numbers."""
        if self.vectors.ndim != 2 or not self.vectors.size:
            raise _table_error(name, "has no vectors", self.vectors.shape)
        vocabulary_size = self.tokenizer.get_vocab_size()
        if vocabulary_size > self.id_count:
            raise _table_error(
                name, f"has fewer rows than its tokenizer has tokens, {vocabulary_size}", self.id_count
            )
        weights, rows = self.lookup.weights, self.lookup.rows
        if weights is not None and weights.shape != (self.id_count,):
            raise _table_error(name, f"lacks a weight for each of its {self.id_count} tokens", weights.shape)
        if rows is not None and not -1 <= int(rows.min()) <= int(rows.max()) < len(self.vectors):
            raise _table_error(name, f"maps a token to a row beyond its {len(self.vectors)}", int(rows.max()))
        # Sums need no further array as large as the table.
        if not np.isfinite(self.vectors.sum(axis=0, dtype=np.float64)).all():
            raise _table_error(name, "contains numbers that are not finite", "NaN or infinity")


def without_special_tokens(tokenizer: Tokenizer) -> Tokenizer:
    """A copy that adds no special tokens and neither truncates nor pads."""
    settings = json.loads(tokenizer.to_str())
    return Tokenizer.from_str(
        json.dumps({**settings, "post_processor": None, "truncation": None, "padding": None})
    )


def own_limit(tokenizer: str) -> int:
    """The longest text of a tokenizer in JSON, which sentence-transformers truncates at where it is set.

    Raises CheckpointUnsupported.
    """
    truncation = json.loads(tokenizer).get("truncation") or {}
    if truncation.get("direction", "Right") != "Right":
        raise CheckpointUnsupported(
            "the tokenizer of a static embedding truncates texts on the left",
            value="truncation.direction",
            next_step="Set it to Right in tokenizer.json.",
        )
    return min(int(truncation.get("max_length", MAX_TOKENS)), MAX_TOKENS)


def _table_error(name: str, cause: str, value: object) -> CheckpointUnsupported:
    return CheckpointUnsupported(
        f"the table of {name} {cause}", value=value, next_step="Download it again, or save it again."
    )
