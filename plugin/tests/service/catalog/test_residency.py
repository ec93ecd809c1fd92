from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from nestvec.engines.contract import Batch
from nestvec.engines.factory import EngineOptions, MemoryLimits
from nestvec.engines.onnx import OnnxEngine
from nestvec.service.batching.turns import ClientTurns, Turn, set_current_turn
from nestvec.service.catalog.instance import EncoderInstance
from nestvec.service.catalog.repository import ServedRepository
from nestvec.service.catalog.residency import Residency
from nestvec.service.embedder import Embedder
from nestvec.service.request_context import RequestContext, set_current_context
from nestvec.service.server import bind, open_embedder, serve_in_thread
from nestvec.service.settings import ServiceSettings
from nestvec_schemas.errors import DeadlineExceeded, EngineError, EngineUnavailable, ServiceError
from nestvec_schemas.manifest import Manifest
from nestvec_schemas.repository import GRAPH
from nestvec_schemas.vectors import Vectors

from .conftest import WriteVersion, vector_of


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def opened(models: Path, memory: MemoryLimits) -> Embedder:
    embedder = open_embedder(models, (), ServiceSettings(engine=EngineOptions("onnx", memory=memory)))
    embedder.measures_speed = False
    return embedder


def during(embedder: Embedder, work: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        embedder.start()
        try:
            async with asyncio.timeout(60):
                await work()
        finally:
            await embedder.close()

    asyncio.run(run())


async def vectors(embedder: Embedder, encoder: str, text: str) -> list[list[float]]:
    result = await embedder.embed(encoder, [text])
    rows: list[list[float]] = result.vectors.tolist()
    return rows


def without_prompt(text: str, version: int) -> list[float]:
    count, total, version_number = vector_of(text, version)
    return [count - 1, total - (904 + version), version_number]


def resident(embedder: Embedder) -> list[str]:
    return [instance.name for instance in embedder.encoders.instances if instance.resident]


def test_an_idle_encoder_leaves_memory_and_returns_with_the_next_request(
    write_version: WriteVersion, tmp_path: Path
) -> None:
    write_version(1, "first")
    write_version(2, "second")
    embedder = opened(tmp_path / "models", MemoryLimits(idle_seconds=60))
    clock = Clock()
    residency = embedder.residency = Residency(OnnxEngine({}), MemoryLimits(idle_seconds=60), clock)
    for instance in embedder.encoders.instances:
        residency.open_now(instance)
    embedder.engine = residency.engine  # type: ignore[assignment]

    async def work() -> None:
        clock.now += 50
        assert await vectors(embedder, "first", "w5") == [without_prompt("w5", 1)]
        clock.now += 15
        residency.unload_idle()
        assert resident(embedder) == ["first"], "used 15 s ago"
        assert await embedder.engine.ready("second") is False, "its session is gone"
        assert await vectors(embedder, "second", "w5") == [without_prompt("w5", 2)]
        assert resident(embedder) == ["first", "second"]
        assert residency.loads == {"first": 1, "second": 2}
        assert residency.unloads == {("second", "idle"): 1}

    during(embedder, work)


def test_what_was_not_used_for_longest_makes_room(write_version: WriteVersion, tmp_path: Path) -> None:
    sizes = [(write_version(number, f"n{number}") / GRAPH).stat().st_size for number in (1, 2, 3)]
    budget = max(sizes[0] + sizes[1], sizes[1] + sizes[2])
    embedder = opened(tmp_path / "models", MemoryLimits(budget_bytes=budget))

    async def work() -> None:
        assert resident(embedder) == ["n1", "n2"], "there is no room for the third"
        await vectors(embedder, "n1", "w5")
        assert await vectors(embedder, "n3", "w5") == [without_prompt("w5", 3)]
        assert resident(embedder) == ["n1", "n3"]
        assert embedder.residency.used_bytes <= budget
        assert embedder.residency.unloads == {("n2", "memory"): 1}
        assert await vectors(embedder, "n2", "w6") == [without_prompt("w6", 2)]
        assert resident(embedder) == ["n2", "n3"]

    during(embedder, work)


def test_the_start_waits_for_the_speed_of_every_encoder(write_version: WriteVersion, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        write_version(number, f"n{number}")
    embedder = open_embedder(tmp_path / "models", (), ServiceSettings(engine=EngineOptions("onnx")))
    gate, reached, engine = threading.Event(), threading.Event(), embedder.engine
    assert isinstance(engine, OnnxEngine)
    run_now = engine.run_now

    def run_last_late(encoder: str, batch: Batch) -> Vectors:
        if encoder == "n3":
            reached.set()
            assert gate.wait(60)
        return run_now(encoder, batch)

    async def work() -> None:
        waiting = asyncio.create_task(embedder.wait_until_measured(60))
        assert await asyncio.to_thread(reached.wait, 60)
        assert not waiting.done()
        gate.set()
        await waiting
        assert all(speed and speed.recent for speed in map(embedder.speed, ("n1", "n2", "n3")))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "run_now", run_last_late)
        during(embedder, work)


def test_a_request_waits_for_room_and_no_longer_than_its_deadline(
    write_version: WriteVersion, tmp_path: Path
) -> None:
    sizes = [(write_version(number, f"n{number}") / GRAPH).stat().st_size for number in (1, 2)]
    embedder = opened(tmp_path / "models", MemoryLimits(budget_bytes=max(sizes)))
    first = embedder.encoders.instance("n1")

    async def hurried() -> None:
        loop = asyncio.get_running_loop()
        set_current_context(RequestContext("c", loop.time(), loop.time() + 0.05))
        await vectors(embedder, "n2", "w5")

    async def work() -> None:
        async with embedder.residency.lease(first):
            with pytest.raises(DeadlineExceeded, match="while the encoder n2 was being loaded"):
                await asyncio.create_task(hurried())
            waiting = asyncio.create_task(vectors(embedder, "n2", "w5"))
            await asyncio.sleep(0)
            assert resident(embedder) == ["n1"], "a request uses it"
        assert await waiting == [without_prompt("w5", 2)]
        assert resident(embedder) == ["n2"]

    during(embedder, work)


def test_the_room_of_a_load_that_failed_goes_to_the_one_that_waits(
    write_version: WriteVersion, tmp_path: Path
) -> None:
    write_version(1, "broken")
    write_version(2, "second")
    repository = ServedRepository(tmp_path / "models")
    broken, second = (repository.read(name) for name in ("broken", "second"))
    opening, fails = threading.Event(), threading.Event()

    class Engine(OnnxEngine):
        def open(
            self, encoder: str, folder: Path, generation: int = 0, manifest: Manifest | None = None
        ) -> None:
            if encoder == "broken":
                opening.set()
                fails.wait(60)
                raise EngineError("no such graph", next_step="Export it.")
            super().open(encoder, folder, generation, manifest)

    residency = Residency(Engine({}), MemoryLimits(budget_bytes=max(broken.size, second.size)))

    async def use(instance: EncoderInstance) -> None:
        async with residency.lease(instance):
            assert instance.resident

    async def work() -> None:
        first = asyncio.create_task(use(broken))
        await asyncio.to_thread(opening.wait, 60)
        waiting = asyncio.create_task(use(second))
        first.cancel()  # its client has gone away, so that nobody notices the failure
        await asyncio.gather(first, return_exceptions=True)
        for _ in range(20):
            await asyncio.sleep(0)
        fails.set()
        async with asyncio.timeout(60):
            await waiting
        assert residency.loads == {"second": 1}

    asyncio.run(work())


def test_an_encoder_larger_than_the_budget_is_refused_by_name(
    write_version: WriteVersion, tmp_path: Path
) -> None:
    write_version(1, "large")
    with pytest.raises(ServiceError, match=r"encoder large is larger than the memory budget of 10 bytes"):
        opened(tmp_path / "models", MemoryLimits(budget_bytes=10))


def test_files_that_were_replaced_while_it_was_unloaded(write_version: WriteVersion, tmp_path: Path) -> None:
    write_version(1)
    embedder = opened(tmp_path / "models", MemoryLimits(idle_seconds=60))
    instance = embedder.encoders.instance("tiny")

    async def work() -> None:
        instance.used_at -= 3600
        embedder.residency.unload_idle()
        write_version(2)
        with pytest.raises(EngineUnavailable, match=r"could not be loaded again.*reload the service"):
            await vectors(embedder, "tiny", "w5")
        assert embedder.reloader
        assert (await embedder.reloader.reload({})).replaced == ["tiny"]
        assert await vectors(embedder, "tiny", "w5") == [without_prompt("w5", 2)]

    during(embedder, work)


def test_files_that_are_replaced_while_they_are_read(
    write_version: WriteVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine may have read the graph of the other version."""
    write_version(1)
    embedder = opened(tmp_path / "models", MemoryLimits(idle_seconds=60))
    engine = embedder.residency.engine
    assert engine is not None
    open_files = engine.open

    def open_and_replace(*arguments: Any) -> None:
        open_files(*arguments)
        write_version(3)

    async def work() -> None:
        write_version(2)
        monkeypatch.setattr(engine, "open", open_and_replace)
        assert embedder.reloader
        changes = await embedder.reloader.reload({})
        assert (changes.replaced, list(changes.failed)) == ([], ["tiny"])
        assert "were replaced while they were read" in str(changes.failed["tiny"])
        assert await vectors(embedder, "tiny", "w5") == [without_prompt("w5", 1)]
        monkeypatch.undo()
        assert (await embedder.reloader.reload({})).replaced == ["tiny"]
        assert await vectors(embedder, "tiny", "w5") == [without_prompt("w5", 3)]

    during(embedder, work)


def test_many_requests_at_once_load_an_encoder_once(write_version: WriteVersion, tmp_path: Path) -> None:
    write_version(1)
    embedder = opened(tmp_path / "models", MemoryLimits(idle_seconds=60))

    async def work() -> None:
        embedder.encoders.instance("tiny").used_at -= 3600
        embedder.residency.unload_idle()
        assert resident(embedder) == []
        texts = [f"w{number}" for number in range(20)]
        answers = await asyncio.gather(*(vectors(embedder, "tiny", text) for text in texts))
        assert answers == [[without_prompt(text, 1)] for text in texts]
        assert embedder.residency.loads == {"tiny": 2}

    during(embedder, work)


def test_a_request_that_waits_for_a_load_leaves_its_turn_to_another_of_its_client(
    write_version: WriteVersion, tmp_path: Path
) -> None:
    write_version(1)
    embedder = opened(tmp_path / "models", MemoryLimits(idle_seconds=60))
    loading, may_load = threading.Event(), threading.Event()
    engine = embedder.residency.engine
    assert engine is not None
    open_graphs = engine.open

    def slow_open(encoder: str, folder: Path, generation: int = 0, manifest: Manifest | None = None) -> None:
        loading.set()
        assert may_load.wait(60)
        open_graphs(encoder, folder, generation, manifest)

    engine.open = slow_open  # type: ignore[method-assign]

    async def work() -> None:
        turns = ClientTurns(small=1)

        async def request() -> list[list[float]]:
            turn = Turn(turns, "a", large=False)
            set_current_turn(turn)
            await turn.start()
            try:
                return await vectors(embedder, "tiny", "w5")
            finally:
                turn.stop()

        embedder.encoders.instance("tiny").used_at -= 3600
        embedder.residency.unload_idle()
        first = asyncio.create_task(request())
        assert await asyncio.to_thread(loading.wait, 60)
        second = Turn(turns, "a", large=False)
        await second.start()
        may_load.set()
        await asyncio.wait_for(asyncio.shield(embedder.encoders.instance("tiny").loading or first), 60)
        assert not first.done(), "it has to wait for its turn again"
        second.stop()
        assert await first == [without_prompt("w5", 1)]

    try:
        during(embedder, work)
    finally:
        may_load.set()


def test_what_a_service_tells_of_its_memory(write_version: WriteVersion, tmp_path: Path) -> None:
    sizes = {name: (write_version(1, name) / GRAPH).stat().st_size for name in ("a", "b")}
    embedder = opened(tmp_path / "models", MemoryLimits(budget_bytes=sizes["a"]))
    with serve_in_thread(embedder, bind("127.0.0.1", 0)) as service:
        info = httpx.get(f"{service}/info").json()
        assert [info["encoders"][name]["loaded"] for name in ("a", "b")] == [True, False]
        assert (info["provider"], info["device"]) == ("CPUExecutionProvider", "cpu")
        assert httpx.get(f"{service}/health").status_code == 200, "it is loaded when it is needed"
        metrics = httpx.get(f"{service}/metrics").text
        assert (
            'nestvec_encoder_info{computed_in="fp32",device="cpu",encoder="a",engine="onnx",precision="fp32",'
            'provider="CPUExecutionProvider"} 1.0' in metrics
        )
        assert f'nestvec_encoder_bytes{{encoder="a"}} {float(sizes["a"])}' in metrics
        assert 'nestvec_encoder_bytes{encoder="b"} 0.0' in metrics
        answers: list[int] = []
        threads = [
            threading.Thread(
                target=lambda name=name: answers.append(
                    httpx.post(
                        f"{service}/embed?encoder={name}", json={"inputs": "w1"}, timeout=60
                    ).status_code
                )
            )
            for name in ("a", "b", "a", "b", "a", "b")
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert answers == [200] * 6
