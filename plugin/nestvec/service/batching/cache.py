"""Embeddings cached for a while: a text arrives once for each nested field, and again after a deadline."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from nestvec_schemas.preprocessing.collate import Array

_ENTRY_OVERHEAD_BYTES: Final = 300
"""Bytes of an entry besides its numbers: key, objects, array header."""

_EXPIRED_PER_PUT: Final = 4


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


class EmbeddingCache:
    """The least recently used embeddings, bounded in bytes and in seconds since they were made.

    What is too old leaves a few entries at a time: after a pause, a hundred thousand of them would stop every
    request for a tenth of a second.
    """

    def __init__(self, max_bytes: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_bytes, self._seconds, self._clock = max_bytes, seconds, clock
        self._entries: OrderedDict[CacheKey, tuple[CachedEmbedding, float]] = OrderedDict()
        """Each embedding, and when it is too old; the least recently used first."""
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def apply(self, max_bytes: int, seconds: float) -> None:
        """Take other limits: what is too much by now leaves at once, and what is kept keeps its time."""
        self._max_bytes, self._seconds = max_bytes, seconds
        while self.bytes > max_bytes:
            self._remove(next(iter(self._entries)))

    def get(self, key: CacheKey) -> CachedEmbedding | None:
        """The embedding kept under ``key``, None if there is none."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry[1] <= self._clock():
            self._remove(key)
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: CacheKey, embedding: CachedEmbedding) -> None:
        """Keep an embedding, unless it is larger than the whole cache."""
        size = _entry_bytes(embedding)
        if size > self._max_bytes:
            return
        if key in self._entries:
            self._remove(key)
        now = self._clock()
        for _ in range(_EXPIRED_PER_PUT):
            oldest = next(iter(self._entries), None)
            if oldest is None or self._entries[oldest][1] > now:
                break
            self._remove(oldest)
        while self.bytes + size > self._max_bytes:
            self._remove(next(iter(self._entries)))
        self._entries[key] = embedding, now + self._seconds
        self.bytes += size

    def _remove(self, key: CacheKey) -> None:
        embedding, _ = self._entries.pop(key)
        self.bytes -= _entry_bytes(embedding)


def _entry_bytes(embedding: CachedEmbedding) -> int:
    return embedding.output.nbytes + _ENTRY_OVERHEAD_BYTES
