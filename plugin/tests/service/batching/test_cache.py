from __future__ import annotations

import itertools

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
    assert cache.bytes == 0


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
        assert cache.bytes <= 5_000


def test_an_entry_larger_than_the_cache_is_not_kept() -> None:
    cache = EmbeddingCache(400, seconds=60)
    cache.put(A, entry())
    cache.put(B, entry(1000))
    assert cache.get(A) is not None
    assert cache.get(B) is None


def test_what_is_too_old_leaves_a_few_at_a_time() -> None:
    now = 0.0
    cache = EmbeddingCache(1 << 20, seconds=60, clock=lambda: now)
    for number in range(100):
        cache.put(key(number), entry())
    now = 61.0
    sizes = []
    for number in range(100, 200):
        cache.put(key(number), entry())
        sizes.append(len(cache))
    assert all(0 < before - after <= 3 for before, after in itertools.pairwise(sizes[:24]))
    assert sizes[-1] == 100
    assert cache.bytes == 100 * (16 + 300)


def test_an_entry_that_is_put_again_is_new() -> None:
    now = 0.0
    cache = EmbeddingCache(1 << 20, seconds=60, clock=lambda: now)
    cache.put(A, entry())
    now = 50.0
    cache.put(A, kept := entry(8))
    now = 100.0
    assert cache.get(A) is kept
    assert (len(cache), cache.bytes) == (1, 32 + 300)
