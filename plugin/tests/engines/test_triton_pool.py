"""Several Tritons: which takes a batch, and what happens to one that fails, stands still, or is new."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import grpc
import numpy as np
import pytest

from nestvec.engines.contract import ServerState
from nestvec.engines.fake import fake_vector
from nestvec.engines.triton import TritonEngine, hedging, pool
from nestvec.engines.triton import server as triton_server
from nestvec.engines.triton.addresses import Resolver, parse_addresses
from nestvec.service.preprocess.inputs import collate_ids
from nestvec_schemas.errors import EngineError, EngineUnavailable

from .triton_protocol import DIM, ROWS, Protocol, listening


@pytest.fixture
def folders(models_folder: Path) -> dict[str, Path]:
    return {"tiny": models_folder / "tiny"}


@asynccontextmanager
async def engine_of(
    folders: dict[str, Path], *protocols: Protocol, seconds: float = 60.0
) -> AsyncIterator[TritonEngine]:
    """An engine of a server for each protocol."""
    async with AsyncExitStack() as stack:
        ports = [await stack.enter_async_context(listening(protocol)) for protocol in protocols]
        engine = TritonEngine(folders, url=",".join(f"127.0.0.1:{port}" for port in ports), seconds=seconds)
        stack.push_async_callback(engine.close)
        yield engine


def state(engine: TritonEngine, at: int) -> ServerState:
    return engine.servers[at]


def test_batches_go_to_the_server_with_the_least_work(folders: dict[str, Path]) -> None:
    slow, quick = Protocol(), Protocol()
    slow.hold = asyncio.Event()

    async def whole() -> None:
        async with engine_of(folders, slow, quick) as engine:
            assert engine.parallel == 4
            first = asyncio.create_task(engine.run("tiny", collate_ids(ROWS[:8])))
            while not slow.sizes:
                await asyncio.sleep(0.01)
            for _ in range(5):
                await engine.run("tiny", collate_ids(ROWS[:2]))
            assert (slow.sizes, quick.sizes) == ([8], [2] * 5)
            assert state(engine, 0).in_flight == 1
            assert slow.hold is not None
            slow.hold.set()
            await first
            assert [one.outcomes for one in engine.servers] == [{"success": 1}, {"success": 5}]

    asyncio.run(asyncio.wait_for(whole(), 240))


@pytest.mark.parametrize(
    "status",
    [
        (grpc.StatusCode.UNAVAILABLE, "Socket closed"),
        (grpc.StatusCode.UNAVAILABLE, "Request for unknown model: 'tiny' has no available versions"),
        (grpc.StatusCode.INTERNAL, "Stub process 'tiny_0_0' is not healthy"),
    ],
)
def test_a_batch_that_fails_is_answered_by_another_server(
    folders: dict[str, Path], status: tuple[grpc.StatusCode, str]
) -> None:
    broken, whole = Protocol(), Protocol()
    broken.status = status

    async def run() -> None:
        async with engine_of(folders, broken, whole) as engine:
            for _ in range(10):
                vectors = await engine.run("tiny", collate_ids(ROWS[:2]))
                assert np.array_equal(vectors, np.stack([fake_vector(row, DIM) for row in ROWS[:2]]))
            assert len(whole.sizes) >= 10
            assert len(broken.sizes) < 5  # it is taken out; a probe may try it
            assert await engine.ready("tiny")
            broken.status = None
            while len(broken.sizes) < 10:  # it is back
                await engine.run("tiny", collate_ids(ROWS[:2]))
                await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(run(), 240))


def test_inputs_that_are_refused_are_not_sent_to_others(folders: dict[str, Path]) -> None:
    strict, other = Protocol(), Protocol()
    strict.status = other.status = (grpc.StatusCode.INVALID_ARGUMENT, "unexpected shape")

    async def run() -> None:
        async with engine_of(folders, strict, other) as engine:
            with pytest.raises(EngineError, match="unexpected shape"):
                await engine.run("tiny", collate_ids(ROWS[:2]))
            assert len(strict.sizes + other.sizes) == 1
            assert await engine.ready("tiny")

    asyncio.run(asyncio.wait_for(run(), 240))


def test_a_batch_that_breaks_servers_does_not_break_all(folders: dict[str, Path]) -> None:
    servers = [Protocol() for _ in range(6)]
    for server in servers:
        server.status = (grpc.StatusCode.UNAVAILABLE, "Socket closed")

    async def run() -> None:
        async with engine_of(folders, *servers) as engine:
            with pytest.raises(EngineUnavailable) as raised:
                await engine.run("tiny", collate_ids(ROWS[:2]))
            assert sum(len(server.sizes) for server in servers) == 3
            assert str(raised.value).count("127.0.0.1:") == 3

    asyncio.run(asyncio.wait_for(run(), 240))


def test_when_all_are_down_the_error_names_each(folders: dict[str, Path]) -> None:
    async def run() -> list[str]:
        async with engine_of(folders, Protocol(), Protocol(), Protocol()) as engine:
            addresses = [server.address for server in engine.servers]
        with pytest.raises(EngineUnavailable, match="no Triton answers for tiny") as raised:
            await engine.run("tiny", collate_ids(ROWS[:2]))
        assert not await engine.ready("tiny")
        assert not await engine.answers()
        await engine.close()
        for address in addresses:
            assert str(raised.value).count(address) >= 1
        return addresses

    assert len(set(asyncio.run(asyncio.wait_for(run(), 240)))) == 3


def test_a_late_batch_is_given_to_a_second_server(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The first stands still: it is taken out, and back once it answers. No call is cancelled."""
    monkeypatch.setattr(hedging, "_UNKNOWN_SECONDS", 0.1)
    monkeypatch.setattr(hedging, "_MIN_OVERDUE_SECONDS", 0.5)
    still, whole = Protocol(), Protocol()
    still.hold = asyncio.Event()

    async def run() -> None:
        async with engine_of(folders, still, whole) as engine:
            while "gets no more batches of tiny" not in caplog.text:
                await asyncio.gather(*(engine.run("tiny", collate_ids(ROWS[:2])) for _ in range(4)))
            assert engine.hedges["won"] >= 1
            late = state(engine, 0).in_flight
            assert late == engine.hedges["won"]
            sent = len(still.sizes)
            await asyncio.gather(*(engine.run("tiny", collate_ids(ROWS[:2])) for _ in range(30)))
            # No batch of these, though probes may.
            assert state(engine, 0).in_flight == late
            assert await engine.ready("tiny")
            assert still.hold is not None
            still.hold.set()
            while len(still.sizes) < sent + 10:
                await engine.run("tiny", collate_ids(ROWS[:2]))
                await asyncio.sleep(0.01)
            assert "cancelled" not in state(engine, 0).outcomes
            assert state(engine, 0).outcomes["success"] >= late

    asyncio.run(asyncio.wait_for(run(), 240))


def test_a_model_whose_process_died_is_not_ready_although_it_is_loaded(folders: dict[str, Path]) -> None:
    protocol = Protocol()

    async def run() -> None:
        async with engine_of(folders, protocol) as engine:
            await engine.run("tiny", collate_ids(ROWS[:2]))
            assert await engine.ready("tiny")
            protocol.status = (grpc.StatusCode.INTERNAL, "Stub process 'tiny_0_0' is not healthy")
            with pytest.raises(EngineError):
                await engine.run("tiny", collate_ids(ROWS[:2]))
            assert not await engine.ready("tiny")
            protocol.status = None
            assert await engine.ready("tiny")

    asyncio.run(asyncio.wait_for(run(), 240))


def test_an_idle_model_is_tried_before_it_is_called_ready(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triton_server, "_FRESH_SECONDS", -1.0)
    protocol = Protocol()

    async def run() -> None:
        async with engine_of(folders, protocol) as engine:
            assert await engine.ready("tiny")
            await engine.run("tiny", collate_ids(ROWS[3:9]))
            assert await engine.ready("tiny")
            assert protocol.sizes == [6, 1]
            protocol.status = (grpc.StatusCode.INTERNAL, "Stub process 'tiny_0_0' is not healthy")
            assert not await engine.ready("tiny")

    asyncio.run(asyncio.wait_for(run(), 240))


def test_a_name_gains_and_loses_servers(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_RESOLVE_SECONDS", 0.0)
    first, second = Protocol(), Protocol()

    async def run() -> None:
        async with listening(first, host="127.0.0.1") as port, listening(second, port, host="127.0.0.2"):
            ips = ["127.0.0.1"]
            resolver = Resolver(parse_addresses(f"triton.example:{port}"), lambda address: ips)
            ips += ["127.0.0.2"]
            engine = TritonEngine(folders, url="", resolver=resolver)
            assert [server.address for server in engine.servers] == [f"{ip}:{port}" for ip in ips]
            ips.remove("127.0.0.1")
            while len(engine.servers) == 2:
                await engine.run("tiny", collate_ids(ROWS[:2]))
                await asyncio.sleep(0.01)
            sent = len(first.sizes)
            await engine.run("tiny", collate_ids(ROWS[:2]))
            assert len(first.sizes) == sent
            ips.append("127.0.0.1")
            while len(first.sizes) < sent + 3:
                await engine.run("tiny", collate_ids(ROWS[:2]))
                await asyncio.sleep(0.01)
            await engine.close()

    asyncio.run(asyncio.wait_for(run(), 240))


@pytest.mark.parametrize("is_live", [True, False])
def test_one_that_did_not_load_what_others_did_computes_nothing_of_it(
    folders: dict[str, Path], is_live: bool
) -> None:
    """Its graph may be of earlier files, and nothing in its vectors would say so."""
    left_out, other = Protocol(), Protocol()
    left_out.load_error, left_out.is_live = "failed to load 'tiny'", is_live

    async def run() -> None:
        async with engine_of(folders, left_out, other) as engine:
            await engine.run("tiny", collate_ids(ROWS[:2]))
            before = len(left_out.sizes)
            if is_live:
                with pytest.raises(EngineError, match="failed to load 'tiny'"):
                    await engine.load("tiny")
            else:
                await engine.load("tiny")
            for _ in range(10):
                await engine.run("tiny", collate_ids(ROWS[:2]))
            assert await engine.ready("tiny")
            other.status = (grpc.StatusCode.INTERNAL, "Stub process 'tiny_0_0' is not healthy")
            with pytest.raises(EngineError, match="Stub process"):
                await engine.run("tiny", collate_ids(ROWS[:2]))
            assert not await engine.ready("tiny")
            assert len(left_out.sizes) == before
            left_out.load_error, left_out.is_live = "", True
            while not left_out.sizes[before:]:
                with suppress(EngineError):
                    await engine.run("tiny", collate_ids(ROWS[:2]))
                await asyncio.sleep(0.01)
            assert left_out.loads >= 1 + is_live

    asyncio.run(asyncio.wait_for(run(), 240))


def test_hedges_are_few_and_late() -> None:
    delays = hedging.HedgeDelays()
    assert delays.delay("tiny", 100) == 1.0  # nothing is known yet
    for hundredths in range(1, 101):
        delays.call_answered("tiny", 100, hundredths / 100)
    assert 1.3 < delays.delay("tiny", 120) < 1.5  # half more than the 95th percentile of that size
    assert delays.delay("tiny", 1000) == 1.0
    sent = 0
    for _ in range(1000):
        delays.call_started()
        sent += delays.take()
    assert 45 <= sent <= 56
