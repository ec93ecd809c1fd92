from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextvars import copy_context
from functools import partial

import numpy as np

from nestvec.engines.fake import FakeEngine
from nestvec.service.batching.cache import CacheKey
from nestvec.service.batching.runner import BatchRunner, PartSpec, PendingEmbedding
from nestvec.service.observability.observer import NullObserver
from nestvec.service.preprocess.inputs import text_input
from nestvec.service.request_context import RequestContext, set_current_context
from nestvec.service.settings import ServiceSettings

Pending = Mapping[CacheKey, PendingEmbedding]


def submit(runner: BatchRunner, client: str, count: int, *, tokens: int) -> Pending:
    inputs = {
        CacheKey("", 0, client, bytes([place])): text_input(np.full(tokens, place)) for place in range(count)
    }
    set_current_context(RequestContext(client))
    return runner.submit(inputs, count)


def batches_of(*counts: int) -> list[int]:
    """The tokens of the batches for clients that send so many texts of 16 tokens, at 4,096 tokens per s."""

    async def main() -> list[int]:
        engine = FakeEngine({"tiny": 16})
        runner = BatchRunner(
            PartSpec("tiny", "", "dense", 16, 256), engine, ServiceSettings(), NullObserver()
        )
        runner.speed.record(texts=64, tokens=4096, seconds=1.0)
        submitted = [
            copy_context().run(partial(submit, runner, f"client {number}", count, tokens=16))
            for number, count in enumerate(counts)
        ]
        running = asyncio.create_task(runner.run())
        for pending in submitted:
            await runner.collect(pending)
        running.cancel()
        return [texts * tokens for _, texts, tokens in engine.batches]

    return asyncio.run(main())


def test_a_client_alone_has_full_batches() -> None:
    assert batches_of(200) == [1024, 1024, 1024, 128]


def test_batches_are_short_while_several_clients_use_an_encoder() -> None:
    first, *others = batches_of(200, 1)
    assert first == 16  # the query goes first
    assert others == [256] * 12 + [128]
