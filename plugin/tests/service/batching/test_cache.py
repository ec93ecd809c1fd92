from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nestvec.service.batching.cache import CachedEmbedding, CacheKey, EmbeddingCache


def entry(size: int = 4) -> CachedEmbedding:
    return CachedEmbedding(np.ones(size, np.float32), tokens=3, total=3)


def key(number: int) -> CacheKey:
    return CacheKey("", 0, "text right", number.to_bytes(16))


A, B, C, D = map(key, range(4))


def test_an_entry_is_given_back_until_it_is_too_old() -> None:
    now = 0.0
    cache: EmbeddingCache = EmbeddingCache(10_000, seconds=60, clock=lambda: now)
    cache.put(A, kept := entry())
    now = 59.9
    assert cache.get(A) is kept
    now = 60.1
    assert cache.get(A) is None
    assert len(cache) == 0
    assert cache.currsize == 0


def test_the_least_recently_used_makes_room() -> None:
    cache: EmbeddingCache = EmbeddingCache(3 * 320, seconds=60)
    for key in (A, B, C):
        cache.put(key, entry())
    cache.get(A)
    cache.put(D, entry())
    assert cache.get(B) is None
    assert cache.get(A) is not None


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 200))))
def test_it_never_holds_more_than_its_bound(puts: list[tuple[int, int]]) -> None:
    cache: EmbeddingCache = EmbeddingCache(5_000, seconds=60)
    for number, size in puts:
        cache.put(key(number), entry(size))
        assert cache.currsize <= 5_000


def test_an_entry_larger_than_the_cache_is_not_kept() -> None:
    cache = EmbeddingCache(400, seconds=60)
    cache.put(A, entry())
    cache.put(B, entry(1000))
    assert cache.get(A) is not None
    assert cache.get(B) is None
