from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec.milvus.tries import try_seconds
from nestvec.service.batching.speed import EngineSpeed


def test_nothing_is_claimed_before_a_full_batch() -> None:
    speed = EngineSpeed(256)
    assert (speed.recent, speed.tokens_per_second, speed.recommended_chunk) == (None, None, None)
    speed.record(texts=1, tokens=10, seconds=0.01)
    speed.record(texts=64, tokens=640, seconds=1.0)
    assert speed.recent == pytest.approx(928)
    assert speed.tokens_per_second is None


def test_only_full_batches_of_long_texts_count_for_long_texts() -> None:
    speed = EngineSpeed(256)
    speed.record(texts=8, tokens=2048, seconds=0.5)
    for _ in range(9):
        speed.record(texts=1, tokens=200, seconds=1.0)
    assert speed.tokens_per_second == 4096
    assert speed.texts_per_second == 16
    assert speed.recent is not None
    assert speed.recent < 1000


@given(rate=st.floats(1, 1e7), max_tokens=st.integers(4, 8192))
def test_a_recommended_chunk_fits_into_half_of_a_try(rate: float, max_tokens: int) -> None:
    speed = EngineSpeed(max_tokens)
    speed.record(texts=16, tokens=16 * max_tokens, seconds=16 * max_tokens / rate)
    chunk = speed.recommended_chunk
    assert chunk is not None
    assert 32 <= chunk <= 1024
    assert chunk == 32 or chunk * max_tokens / rate <= try_seconds() / 2 + 1e-6
    assert chunk == 1024 or (chunk + 8) * max_tokens / rate > try_seconds() / 2 - 1e-6


def test_a_start_from_other_averages_keeps_the_length_of_its_own_texts() -> None:
    measured, speed = EngineSpeed(256), EngineSpeed(512)
    measured.record(texts=8, tokens=2048, seconds=0.5)
    speed.start_from(measured)
    assert (speed.recent, speed.tokens_per_second, speed.texts_per_second) == (4096, 4096, 8)
    speed.record(texts=8, tokens=2048, seconds=1.0)
    assert measured.recent == 4096, "they are apart from then on"
