from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from contextvars import copy_context
from functools import partial

import numpy as np
import pytest

from nestvec.engines.contract import Batch
from nestvec.engines.fake import FakeEngine
from nestvec.service.batching.cache import CacheKey
from nestvec.service.batching.ended_batch import BatchStart
from nestvec.service.batching.engine_threads import EngineThreads
from nestvec.service.batching.outputs import PartSpec
from nestvec.service.batching.pending import PendingEmbedding
from nestvec.service.batching.runner import BatchRunner
from nestvec.service.observability.observer import BatchRun, NullObserver
from nestvec.service.preprocess.inputs import text_input
from nestvec.service.request_context import RequestContext, set_current_context
from nestvec.service.settings import ServiceSettings
from nestvec_schemas.errors import DeadlineExceeded, EngineError
from nestvec_schemas.vectors import Vectors

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


def test_a_thousand_requests_for_the_same_texts_leave_nothing_behind() -> None:
    async def main() -> None:
        gate = asyncio.Event()
        engine = FakeEngine({"tiny": 16}, gate=gate)
        runner = BatchRunner(
            PartSpec("tiny", "", "dense", 16, 256), engine, ServiceSettings(), NullObserver()
        )
        pending = submit(runner, "client", 8, tokens=16)
        waits = [asyncio.create_task(runner.collect(pending)) for _ in range(1000)]
        await asyncio.sleep(0)
        assert {len(entry.waits) for entry in pending.values()} == {1000}
        for wait in waits[1:]:
            wait.cancel()
        await asyncio.gather(*waits[1:], return_exceptions=True)
        assert {len(entry.waits) for entry in pending.values()} == {1}
        running = asyncio.create_task(runner.run())
        gate.set()
        assert len(await waits[0]) == 8
        assert {len(entry.waits) for entry in pending.values()} == {0}
        running.cancel()

    asyncio.run(main())


def test_a_wait_ends_when_what_it_waits_for_fails_or_is_cancelled() -> None:
    async def main() -> None:
        failing = FakeEngine({"tiny": 16}, failure=RuntimeError("broken"))
        runner = BatchRunner(
            PartSpec("tiny", "", "dense", 16, 256), failing, ServiceSettings(), NullObserver()
        )
        running = asyncio.create_task(runner.run())
        with pytest.raises(EngineError, match="the engine failed"):
            await runner.collect(submit(runner, "client", 8, tokens=16))
        running.cancel()
        waiting = asyncio.create_task(runner.collect(submit(runner, "client", 8, tokens=16)))
        await asyncio.sleep(0)
        runner.cancel_all()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(main())


class BrokenObserver(NullObserver):
    """Fails with every report of a batch."""

    def batch_finished(self, run: BatchRun) -> None:
        raise RuntimeError("no metrics")


def test_a_report_that_fails_ends_no_runner(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        spec, engine = PartSpec("tiny", "", "dense", 16, 256), FakeEngine({"tiny": 16})
        runner = BatchRunner(spec, engine, ServiceSettings(), BrokenObserver())
        running = asyncio.create_task(runner.run())
        for client in ("first", "second"):
            async with asyncio.timeout(60):
                assert len(await runner.collect(submit(runner, client, 2, tokens=16))) == 2
        running.cancel()

    asyncio.run(main())
    assert "a batch of 2 texts for tiny was not reported" in caplog.text


def test_a_request_waits_from_the_call_on_whoever_goes_away_before_it_starts() -> None:
    async def main() -> None:
        spec, engine = PartSpec("tiny", "", "dense", 16, 256), FakeEngine({"tiny": 16})
        runner = BatchRunner(spec, engine, ServiceSettings(), NullObserver())
        pending = submit(runner, "client", 2, tokens=16)
        first = asyncio.create_task(runner.collect(pending))
        await asyncio.sleep(0)
        second = runner.collect(pending)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        running = asyncio.create_task(runner.run())
        async with asyncio.timeout(60):
            assert len(await second) == 2
        running.cancel()

    asyncio.run(main())


def test_what_comes_after_the_deadline_is_too_late_however_quick_the_engine_is() -> None:
    async def main() -> None:
        spec, engine = PartSpec("tiny", "", "dense", 16, 256), FakeEngine({"tiny": 16})
        runner = BatchRunner(spec, engine, ServiceSettings(), NullObserver())
        running = asyncio.create_task(runner.run())
        await asyncio.sleep(0)
        pending = submit(runner, "client", 2, tokens=16)
        set_current_context(RequestContext("client", 0.0, asyncio.get_running_loop().time() - 1))
        with pytest.raises(DeadlineExceeded):
            await runner.collect(pending)
        running.cancel()

    asyncio.run(main())


class BlockingFake(FakeEngine):
    """Counts the batches that run at the same time, and holds the first until it is released."""

    def __init__(self) -> None:
        super().__init__({"tiny": 16})
        self.started, self.release = threading.Event(), threading.Event()
        self.running = self.max_running = self.runs = 0

    def run_now(self, encoder: str, batch: Batch) -> Vectors:
        self.running += 1
        self.runs += 1
        self.max_running = max(self.max_running, self.running)
        self.started.set()
        assert self.release.wait(60)
        self.running -= 1
        return np.zeros((len(batch), 16), np.float32)


def test_speed_is_measured_in_the_turn_of_the_engine() -> None:
    async def main() -> None:
        engine, threads = BlockingFake(), EngineThreads(1)
        spec = PartSpec("tiny", "", "dense", 16, 256)
        busy, new = (BatchRunner(spec, engine, ServiceSettings(), NullObserver(), threads) for _ in range(2))
        running = asyncio.create_task(busy.run())
        pending = submit(busy, "client", 1, tokens=16)
        assert await asyncio.to_thread(engine.started.wait, 60)
        measuring = asyncio.create_task(new.measure(text_input(np.full(16, 1))))
        await asyncio.sleep(0.05)
        assert engine.running == 1
        engine.release.set()
        await measuring
        await busy.collect(pending)
        assert (engine.max_running, engine.runs) == (1, 3)
        assert new.speed.recent > 0
        running.cancel()
        await asyncio.to_thread(threads.close)

    asyncio.run(main())


class StreamingFake(BlockingFake):
    """Runs two batches at once, and each only once ``together`` of them run."""

    def __init__(self, together: int, count: int = 2) -> None:
        super().__init__()
        self.count, self.given = count, list[Batch]()
        self.barrier = threading.Barrier(together)

    def streams(self, encoder: str) -> int:
        return self.count

    def run_now(self, encoder: str, batch: Batch) -> Vectors:
        self.given.append(batch)
        self.barrier.wait(60)
        self.release.set()
        return super().run_now(encoder, batch)


def batches_on_streams(engine: StreamingFake, texts: int, tokens: int = 16) -> BatchRunner:
    """A runner that ran so many texts on two threads."""

    async def main() -> BatchRunner:
        threads = EngineThreads(2)
        spec = PartSpec("tiny", "", "dense", 16, 256)
        runner = BatchRunner(spec, engine, ServiceSettings(), NullObserver(), threads)
        pending = submit(runner, "client", texts, tokens=tokens)
        running = asyncio.create_task(runner.run())
        async with asyncio.timeout(60):
            await runner.collect(pending)
        await asyncio.sleep(0)  # what ended is reported after those that wait for it
        running.cancel()
        await asyncio.to_thread(threads.close)
        return runner

    return asyncio.run(main())


def test_texts_that_wait_are_divided_among_streams() -> None:
    engine = StreamingFake(together=2)
    batches_on_streams(engine, 64, tokens=32)
    first = engine.given[:2]  # of two threads, in any order
    assert sorted(len(batch) for batch in first) == [16, 32]
    assert not any(batch.alone for batch in first)


def test_a_batch_alone_has_all_cores() -> None:
    engine = StreamingFake(together=1)
    batches_on_streams(engine, 4)
    assert [(len(batch), batch.alone) for batch in engine.given] == [(4, True)]


def test_an_encoder_without_streams_runs_one_batch_at_a_time_whatever_threads_there_are() -> None:
    engine = StreamingFake(together=1, count=1)
    batches_on_streams(engine, 200)
    assert engine.max_running == 1
    assert all(len(batch) == 64 for batch in engine.given[:3])


def test_a_batch_beside_another_counts_with_its_part_of_the_cores() -> None:
    pending = PendingEmbedding(CacheKey("", 0, "", b""), text_input(np.full(16, 1)), "client")
    alone, beside = (BatchStart.now([pending], streams).ended(16) for streams in (1, 2))
    assert alone.engine_seconds == alone.seconds
    assert beside.engine_seconds == beside.seconds / 2


def test_an_engine_on_the_event_loop_hears_which_batches_are_alone() -> None:
    class Engine(FakeEngine):
        def streams(self, encoder: str) -> int:
            return 2

        async def run(self, encoder: str, batch: Batch) -> Vectors:
            alone.append(batch.alone)
            return await super().run(encoder, batch)

    alone: list[bool] = []

    async def main() -> None:
        engine = Engine({"tiny": 16}, seconds=0.01, parallel=2)
        runner = BatchRunner(
            PartSpec("tiny", "", "dense", 16, 256), engine, ServiceSettings(), NullObserver()
        )
        running = asyncio.create_task(runner.run())
        await asyncio.sleep(0)
        await runner.collect(submit(runner, "first", 1, tokens=16))
        await runner.collect(submit(runner, "second", 64, tokens=16))
        running.cancel()

    asyncio.run(main())
    assert alone[:3] == [True, False, False]
