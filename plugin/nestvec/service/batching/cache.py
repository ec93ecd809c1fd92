"""Embeddings cached for a short while: the same text arrives once for each nested field."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from cachetools import TTLCache

from nestvec_schemas.preprocessing.collate import Array

_ENTRY_OVERHEAD_BYTES: Final = 300
"""Bytes of an entry besides its numbers: key, objects, array header."""


class CacheKey(NamedTuple):
    """Identifies the embedding of one input by one encoder. A tuple, as it is hashed often."""

    part: str
    """The part of the encoder that embeds it."""
    exit: int
    """The layer that the graph stops after, 0 for the deepest."""
    kind: str
    """The kind of the input and the side that it is truncated on."""
    digest: bytes
    """A digest of the input."""


@dataclass(frozen=True)
class CachedEmbedding:
    """The engine's output for one input, and the tokens that it was made from."""

    output: Array
    tokens: int
    total: int
    """Tokens before truncation."""

    @property
    def truncated(self) -> bool:
        return self.total > self.tokens


class EmbeddingCache(TTLCache[CacheKey, CachedEmbedding]):
    """The least recently used embeddings, bounded in bytes and in seconds since they were made."""

    def __init__(self, max_bytes: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(max_bytes, seconds, timer=clock, getsizeof=_entry_bytes)

    def put(self, key: CacheKey, embedding: CachedEmbedding) -> None:
        """Keep an embedding, unless it is larger than the whole cache."""
        if _entry_bytes(embedding) <= self.maxsize:
            self[key] = embedding


def _entry_bytes(embedding: CachedEmbedding) -> int:
    return embedding.output.nbytes + _ENTRY_OVERHEAD_BYTES
