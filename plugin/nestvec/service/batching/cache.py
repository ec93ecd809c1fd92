"""Answers remembered for a short while: the same text is asked for once per nested field."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from nestvec_schemas.preprocessing.collate import Array

Key = TypeVar("Key")

_ENTRY_OVERHEAD_BYTES = 300
"""Bytes of an entry beside its numbers: key, tuple, array header."""


@dataclass(frozen=True)
class CachedEmbedding:
    """What the engine gave for an input (``answers``), and the number of tokens it was made from."""

    answer: Array
    tokens: int
    whole: int


class EmbeddingCache(Generic[Key]):
    """Least recently used entries, bounded in bytes and in seconds since they were made."""

    def __init__(self, size: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._size, self._seconds, self._clock = size, seconds, clock
        self._entries: OrderedDict[Key, tuple[float, CachedEmbedding]] = OrderedDict()
        self.used = 0

    def get(self, key: Key) -> CachedEmbedding | None:
        """What was kept under ``key``, unless it is too old."""
        found = self._entries.get(key)
        if found is None:
            return None
        made, entry = found
        if self._clock() - made > self._seconds:
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return entry

    def put(self, key: Key, entry: CachedEmbedding) -> None:
        """Keep ``entry``; the least recently used ones make room."""
        if key in self._entries:
            self._drop(key)
        self._entries[key] = (self._clock(), entry)
        self.used += _cost(entry)
        while self.used > self._size:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: Key) -> None:
        _, entry = self._entries.pop(key)
        self.used -= _cost(entry)

    def __len__(self) -> int:
        return len(self._entries)


def _cost(entry: CachedEmbedding) -> int:
    return entry.answer.nbytes + _ENTRY_OVERHEAD_BYTES
