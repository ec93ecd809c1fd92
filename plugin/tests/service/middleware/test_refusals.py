from __future__ import annotations

import asyncio
import itertools

import pytest

from nestvec.service.middleware import refusals
from nestvec.service.middleware.refusals import RefusalPacer


def test_a_client_is_refused_at_once_at_first_and_then_at_a_steady_rate() -> None:
    pacer = RefusalPacer()
    delays = [pacer.delay("a", 100.0) for _ in range(100)]
    assert delays[:50] == [0.0] * 50
    steps = [later - sooner for sooner, later in itertools.pairwise(delays[50:])]
    assert steps == pytest.approx([0.02] * 49)
    assert pacer.delay("b", 100.0) == 0


def test_no_refusal_waits_for_longer_than_milvus_shows_errors_for() -> None:
    pacer = RefusalPacer()
    assert max(pacer.delay("a", 100.0) for _ in range(10_000)) == pytest.approx(5)
    assert pacer.delay("a", 104.0) < 2
    assert pacer.delay("a", 110.0) == 0


def test_clients_that_were_refused_long_ago_are_forgotten() -> None:
    pacer = RefusalPacer()
    for number in range(10_000):
        pacer.delay(f"client {number}", number / 10)
    assert len(pacer._due) <= refusals._MAX_CLIENTS + 1


def test_a_refusal_does_not_wait_beyond_the_deadline() -> None:
    async def main() -> None:
        pacer, loop = RefusalPacer(), asyncio.get_running_loop()
        for _ in range(1000):
            pacer.delay("a", loop.time())
        await asyncio.wait_for(pacer.wait("a", loop.time() - 1), 60)
        assert pacer._waiting == 0

    asyncio.run(main())
