from __future__ import annotations

import pytest

from nestvec.service.batching.batch_size import EngineStreams, batch_size
from nestvec.service.batching.speed import EngineSpeed


def speed(tokens_per_second: float) -> EngineSpeed:
    measured = EngineSpeed(256)
    measured.record(texts=16, tokens=4096, seconds=4096 / tokens_per_second)
    return measured


@pytest.mark.parametrize("tokens_per_second", [4_000, 20_000, 400_000])
@pytest.mark.parametrize("is_shared", [False, True])
def test_a_batch_on_a_part_of_the_cores_takes_as_long_as_on_all(
    tokens_per_second: float, is_shared: bool
) -> None:
    whole = batch_size(speed(tokens_per_second), is_shared=is_shared)
    part = batch_size(speed(tokens_per_second), is_shared=is_shared, streams=EngineStreams(4, 1_000_000))
    assert whole.tokens is not None
    assert part.tokens == whole.tokens // 4
    assert part.free_tokens == whole.free_tokens // 4
    assert whole.padding is not None
    assert part.padding == max(24, whole.padding // 4)


@pytest.mark.parametrize(
    ("waiting", "is_idle", "tokens"),
    [
        (1023, True, None),
        (1024, True, 512),
        (4097, True, 2049),
        (1023, False, 512),
        (600, False, 300),
        (16, False, 256),
    ],
)
def test_what_waits_is_divided_unless_a_small_request_is_alone(
    waiting: int, is_idle: bool, tokens: int | None
) -> None:
    streams = EngineStreams(2, waiting, is_idle=is_idle)
    assert batch_size(EngineSpeed(256), is_shared=False, streams=streams).tokens == tokens


def test_a_small_request_alone_has_the_batches_of_an_engine_without_streams() -> None:
    streams = EngineStreams(4, 1000)
    assert batch_size(speed(9_000), is_shared=True, streams=streams) == batch_size(
        speed(9_000), is_shared=True
    )
