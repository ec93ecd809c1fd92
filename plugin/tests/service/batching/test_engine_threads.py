from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import numpy as np
import pytest

from nestvec.engines.contract import Batch
from nestvec.engines.fake import FakeEngine, fake_vector
from nestvec.service.batching.engine_threads import EngineThreads
from nestvec.service.embedder import Embedder
from nestvec.service.encoders import open_encoders
from nestvec.service.settings import ServiceSettings
from nestvec_schemas.errors import EngineError
from nestvec_schemas.vectors import Vectors

HANG_SECONDS = 120


class BlockingFake(FakeEngine):
    """A fake engine that runs batches on the thread that calls it."""

    def __init__(self) -> None:
        super().__init__({"tiny": 16})
        self.threads: list[str] = []
        self.go, self.started = threading.Event(), threading.Event()
        self.go.set()

    def run_now(self, encoder: str, batch: Batch) -> Vectors:
        """See ``BlockingEngine``."""
        self.threads.append(threading.current_thread().name)
        ids, mask = batch.arrays["input_ids"], batch.arrays["attention_mask"]
        self.batches.append((encoder, len(batch), int(mask.sum(1).max())))
        self.started.set()
        self.go.wait(HANG_SECONDS)
        if self.failure is not None:
            raise self.failure
        return np.stack([fake_vector(row[kept > 0], 16) for row, kept in zip(ids, mask, strict=True)])


@pytest.fixture
def engine() -> BlockingFake:
    return BlockingFake()


@pytest.fixture
def embedder(models_folder: Path, engine: BlockingFake) -> Embedder:
    return Embedder(open_encoders(models_folder), engine, ServiceSettings())


def test_work_is_done_in_its_order_until_the_threads_are_closed() -> None:
    threads, done = EngineThreads(1), list[int]()
    for number in range(100):
        threads.add(lambda number=number: done.append(number))  # type: ignore[misc]
    threads.close()
    assert done == list(range(100))


def test_work_that_fails_is_logged_and_the_thread_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    threads, done = EngineThreads(1), list[int]()
    threads.add(lambda: done.append(1 // 0))
    threads.add(lambda: done.append(1))
    threads.close()
    assert done == [1]
    assert "ZeroDivisionError" in caplog.text


def test_the_batches_of_one_request_run_on_every_thread(embedder: Embedder, engine: BlockingFake) -> None:
    async def work() -> None:
        engine.parallel = 2
        embedder.start()
        engine.go.clear()
        request = asyncio.create_task(embedder.embed("tiny", [f"w{number}" for number in range(200)]))
        async with asyncio.timeout(HANG_SECONDS):
            while len(engine.threads) < 2:
                await asyncio.sleep(0)
        engine.go.set()
        await request
        assert set(engine.threads) == {"nestvec-engine-0", "nestvec-engine-1"}
        await embedder.close()

    asyncio.run(work())


def test_batches_run_on_the_threads_and_give_what_they_would_give_in_the_loop(
    models_folder: Path, embedder: Embedder, engine: BlockingFake
) -> None:
    texts = [f"w{number} " * (1 + number % 5) for number in range(300)]

    async def vectors(of: Embedder) -> Vectors:
        of.start()
        try:
            return (await of.embed("tiny", texts)).vectors
        finally:
            await of.close()

    plain = Embedder(open_encoders(models_folder), FakeEngine({"tiny": 16}), ServiceSettings())
    assert np.array_equal(asyncio.run(vectors(embedder)), asyncio.run(vectors(plain)))
    assert set(engine.threads) == {"nestvec-engine-0"}
    assert sum(count for _, count, _ in engine.batches) == len(set(texts))


def test_a_query_that_comes_while_a_batch_runs_goes_before_the_bulk(
    embedder: Embedder, engine: BlockingFake
) -> None:
    async def work() -> None:
        embedder.start()
        engine.go.clear()
        bulk = asyncio.create_task(embedder.embed("tiny", [f"w{number}" for number in range(200)]))
        await asyncio.to_thread(engine.started.wait, HANG_SECONDS)
        query = asyncio.create_task(embedder.embed("tiny", ["w300 w301 w302"]))
        (runner,) = embedder.encoders.instance("tiny").runners.values()
        async with asyncio.timeout(HANG_SECONDS):
            while runner.admission.shares.total < 200 * 3 + 5:
                await asyncio.sleep(0)
        engine.go.set()
        await asyncio.gather(bulk, query)
        assert [longest for _, _, longest in engine.batches].index(5) == 1
        await embedder.close()

    asyncio.run(work())


def test_an_engine_that_fails_fails_the_requests_and_goes_on(
    embedder: Embedder, engine: BlockingFake
) -> None:
    async def work() -> None:
        embedder.start()
        engine.failure = RuntimeError("broken")
        with pytest.raises(EngineError, match="the engine failed"):
            await embedder.embed("tiny", ["w1"])
        engine.failure = None
        assert len((await embedder.embed("tiny", ["w1"])).vectors) == 1
        await embedder.close()

    asyncio.run(work())


def test_the_end_waits_for_the_batch_that_runs(embedder: Embedder, engine: BlockingFake) -> None:
    async def work() -> None:
        embedder.start()
        engine.go.clear()
        waiting = asyncio.create_task(embedder.embed("tiny", ["w1"]))
        await asyncio.to_thread(engine.started.wait, HANG_SECONDS)
        closing = asyncio.create_task(embedder.close())
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not closing.done()
        engine.go.set()
        await closing
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("nestvec-engine")]

    asyncio.run(work())
