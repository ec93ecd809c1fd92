"""A table of vectors, and how a text becomes rows of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from nestvec_schemas.errors import CheckpointUnsupported
from nestvec_schemas.manifest import PromptName

MAX_TOKENS: Final = 8192
"""The longest text of a table that states no limit: its mean costs little, a batch of such texts much."""

NO_ROW: Final = -1
"""In ``rows`` of words with several senses: no such sense."""


@dataclass(frozen=True)
class EmbeddingTable:
    """``vectors`` are (r, d), of floats or int8; an id's row is the id, or what ``rows`` (v,) says of it.

    ``rows`` of (v, s) holds the rows of a word's senses, NO_ROW behind its last. ``weights`` (v,) are
    multiplied by each id's vector, and do not count in the mean. The id ``unknown`` counts not at all.
    ``tokenizer`` is the one to be saved; ``read`` gives a text's ids as the table's own library does, for a
    comparison. ``pooling`` is what a manifest calls the mean. ``dims`` are the prefixes that were ``trained``
    as vectors, None where it is not said which.
    """

    vectors: NDArray[Any]
    tokenizer: Tokenizer
    reference_ids: Callable[[str], list[int]]
    rows: NDArray[np.int64] | None = None
    weights: NDArray[np.float32] | None = None
    unknown: int | None = None
    normalised: bool = False
    trained: bool = False
    dims: tuple[int, ...] | None = None
    max_tokens: int = MAX_TOKENS
    pooling: str = "mean"
    prompts: Mapping[PromptName, str] = field(default_factory=dict)

    @property
    def id_count(self) -> int:
        """How many ids there are."""
        return len(self.vectors) if self.rows is None else len(self.rows)

    @property
    def has_senses(self) -> bool:
        return self.rows is not None and self.rows.ndim == 2

    def check(self, name: str) -> None:
        """Raise CheckpointUnsupported unless every id of the tokenizer has a row of finite numbers."""
        if self.vectors.ndim != 2 or not self.vectors.size:
            raise _table_error(name, "has no vectors, a row a token", self.vectors.shape)
        vocabulary_size = self.tokenizer.get_vocab_size()
        if vocabulary_size > self.id_count:
            raise _table_error(
                name, f"has fewer rows than its tokenizer has tokens, {vocabulary_size}", self.id_count
            )
        if self.weights is not None and self.weights.shape != (self.id_count,):
            raise _table_error(
                name, f"has not a weight for each of its {self.id_count} tokens", self.weights.shape
            )
        if self.rows is not None and not -1 <= int(self.rows.min()) <= int(self.rows.max()) < len(
            self.vectors
        ):
            raise _table_error(
                name, f"maps a token to a row beyond its {len(self.vectors)}", int(self.rows.max())
            )
        # By sums, which need no array as large as the table.
        if not np.isfinite(self.vectors.sum(axis=0, dtype=np.float64)).all():
            raise _table_error(name, "holds numbers that are not finite", "NaN or infinity")


def without_special_tokens(tokenizer: Tokenizer) -> Tokenizer:
    """A copy that adds no special tokens, cuts nothing and pads nothing."""
    settings = json.loads(tokenizer.to_str())
    return Tokenizer.from_str(
        json.dumps({**settings, "post_processor": None, "truncation": None, "padding": None})
    )


def _table_error(name: str, cause: str, value: object) -> CheckpointUnsupported:
    return CheckpointUnsupported(
        f"the table of {name} {cause}", value=value, next_step="Download it again, or save it again."
    )
