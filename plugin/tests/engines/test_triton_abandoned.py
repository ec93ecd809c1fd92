"""Calls that nobody waits for any more: Triton can crash when one is cancelled, so they run to their end."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from nestvec.engines.triton import TritonEngine, abandoned
from nestvec.engines.triton import server as triton_server
from nestvec.engines.triton.failures import CallFailure
from nestvec.service.preprocess.inputs import collate_ids
from nestvec_schemas.errors import DeadlineExceeded, EngineUnavailable

from .triton_protocol import ROWS, Protocol, listening


@pytest.fixture
def folders(models_folder: Path) -> dict[str, Path]:
    return {"tiny": models_folder / "tiny"}


@pytest.fixture
def held() -> Protocol:
    """A Triton that keeps every call until its event is set."""
    protocol = Protocol()
    protocol.hold = asyncio.Event()
    return protocol


@asynccontextmanager
async def engine_of(
    folders: dict[str, Path], protocol: Protocol, seconds: float
) -> AsyncIterator[TritonEngine]:
    async with listening(protocol) as port:
        engine = TritonEngine(folders, url=f"127.0.0.1:{port}", seconds=seconds)
        try:
            yield engine
        finally:
            await engine.close()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


def release(protocol: Protocol) -> None:
    assert protocol.hold is not None
    protocol.hold.set()


async def is_late(engine: TritonEngine) -> None:
    with pytest.raises(DeadlineExceeded, match=r"did not answer in time for 2 inputs with tiny: 0\.1 s"):
        await engine.run("tiny", collate_ids(ROWS[:2]))


def test_a_late_call_and_a_cancelled_one_run_to_their_end(folders: dict[str, Path], held: Protocol) -> None:
    async def run() -> None:
        async with engine_of(folders, held, 0.1) as engine:
            await is_late(engine)
            task = asyncio.create_task(engine.run("tiny", collate_ids(ROWS[:2])))
            await until(lambda: len(held.sizes) == 2)
            task.cancel()
            await asyncio.wait([task])
            (state,) = engine.servers
            assert (state.in_flight, state.abandoned, held.cancelled) == (0, 2, 0)
            assert state.outcomes["late"] + state.outcomes["cancelled"] == 2
            release(held)
            await until(lambda: engine.servers[0].abandoned == 0)
        assert held.cancelled == 0

    asyncio.run(asyncio.wait_for(run(), 240))


def test_a_failure_that_comes_with_the_cancellation_is_not_logged(
    folders: dict[str, Path],
    held: Protocol,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failing = asyncio.Event()

    async def fail(server: object, graph: object, batch: object) -> None:
        await failing.wait()
        raise CallFailure("lost", EngineUnavailable("it is gone", next_step="Start it."), "a", "b")

    monkeypatch.setattr(triton_server.TritonServer, "_infer", fail)

    async def run() -> None:
        async with engine_of(folders, held, 60.0) as engine:
            task = asyncio.create_task(engine.run("tiny", collate_ids(ROWS[:2])))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            failing.set()
            await asyncio.sleep(0)  # the call has failed; who waits for it has not seen that
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
        gc.collect()

    asyncio.run(asyncio.wait_for(run(), 240))
    gc.collect()
    assert "never retrieved" not in caplog.text


def test_a_server_that_owes_too_many_gets_no_others(
    folders: dict[str, Path], held: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(abandoned, "MAX_ABANDONED", 3)

    async def run() -> None:
        async with engine_of(folders, held, 0.1) as engine:
            for _ in range(3):
                await is_late(engine)
            with pytest.raises(DeadlineExceeded, match="some that were given up: 3 calls"):
                await engine.run("tiny", collate_ids(ROWS[:2]))
            assert len(held.sizes) == 3
            release(held)
            await until(lambda: engine.servers[0].abandoned == 0)
            engine._seconds = 60.0
            assert len(await engine.run("tiny", collate_ids(ROWS[:2]))) == 2

    asyncio.run(asyncio.wait_for(run(), 240))


def test_probes_of_a_model_are_few_while_it_answers_none(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triton_server, "READY_SECONDS", 0.2)
    protocol = Protocol()

    async def run() -> None:
        async with engine_of(folders, protocol, 60.0) as engine:
            await engine.run("tiny", collate_ids(ROWS[:2]))  # what probes repeat
            protocol.hold, engine._seconds = asyncio.Event(), 0.1
            await is_late(engine)
            while len(protocol.sizes) < 1 + abandoned.MAX_CANARIES:
                assert not await engine.ready("tiny")
            for _ in range(4):
                assert not await engine.ready("tiny")
            assert len(protocol.sizes) == 1 + abandoned.MAX_CANARIES
            release(protocol)
            while not await engine.ready("tiny"):
                await asyncio.sleep(0.01)
            assert protocol.cancelled == 0

    asyncio.run(asyncio.wait_for(run(), 240))


def test_closing_waits_a_moment_for_them(folders: dict[str, Path], held: Protocol) -> None:
    async def run() -> None:
        async with engine_of(folders, held, 0.1) as engine:
            await is_late(engine)
            asyncio.get_running_loop().call_later(0.1, release, held)
        assert held.cancelled == 0

    asyncio.run(asyncio.wait_for(run(), 240))


def test_closing_says_what_it_waits_for(
    folders: dict[str, Path], held: Protocol, caplog: pytest.LogCaptureFixture
) -> None:
    test_closing_waits_a_moment_for_them(folders, held)
    assert "still works on 1 calls: the service waits up to 20 s" in caplog.text


def test_pings_do_not_cancel_calls(folders: dict[str, Path]) -> None:
    options = dict(triton_server._CHANNEL_OPTIONS)
    # On the wire, a call ends before its connection is pinged; with keepalive off, the system's limit is too.
    assert triton_server._CALL_SECONDS * 1000 <= options["grpc.keepalive_time_ms"] < 2**31 - 1
    assert options["grpc.keepalive_timeout_ms"] == 5_000


def test_closing_does_not_wait_for_ever(
    folders: dict[str, Path], held: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triton_server, "_CLOSE_SECONDS", 0.1)

    async def run() -> None:
        async with engine_of(folders, held, 0.1) as engine:
            await is_late(engine)
        await until(lambda: held.cancelled == 1)

    asyncio.run(asyncio.wait_for(run(), 240))
