from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nestvec.service.batching.cache import CachedEmbedding, EmbeddingCache


def entry(size: int = 4) -> CachedEmbedding:
    return CachedEmbedding(np.ones(size, np.float32), tokens=3, whole=3)


def test_an_entry_is_given_back_until_it_is_too_old() -> None:
    now = 0.0
    memory: EmbeddingCache[str] = EmbeddingCache(10_000, seconds=60, clock=lambda: now)
    memory.put("a", kept := entry())
    now = 60.0
    assert memory.get("a") is kept
    now = 60.1
    assert memory.get("a") is None
    assert len(memory) == 0
    assert memory.used == 0


def test_the_least_recently_used_makes_room() -> None:
    memory: EmbeddingCache[str] = EmbeddingCache(3 * 320, seconds=60)
    for key in "abc":
        memory.put(key, entry())
    memory.get("a")
    memory.put("d", entry())
    assert memory.get("b") is None
    assert memory.get("a") is not None


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 200))))
def test_it_never_holds_more_than_its_bound(puts: list[tuple[int, int]]) -> None:
    memory: EmbeddingCache[int] = EmbeddingCache(5_000, seconds=60)
    for key, size in puts:
        memory.put(key, entry(size))
        assert memory.used <= 5_000
