from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from nestvec.engines.contract import Batch
from nestvec.engines.fake import fake_vector
from nestvec.engines.triton import MAX_BATCH_SIZE, TritonEngine
from nestvec.engines.triton import server as triton_server
from nestvec.service.preprocess.inputs import collate_ids
from nestvec.service.settings import ServiceSettings
from nestvec_schemas.errors import DeadlineExceeded, EngineError, EngineUnavailable
from nestvec_schemas.towers import Tower

from .triton_protocol import DIM, ROWS, Protocol, listening


@pytest.fixture
def folders(models_folder: Path) -> dict[str, Path]:
    return {"tiny": models_folder / "tiny"}


def answered(
    folders: dict[str, Path],
    protocol: Protocol,
    ask: Callable[[TritonEngine], Awaitable[Any]],
    seconds: float = 10.0,
) -> Any:
    async def whole() -> Any:
        async with listening(protocol) as port:
            engine = TritonEngine(folders, url=f"127.0.0.1:{port}", seconds=seconds)
            try:
                return await ask(engine)
            finally:
                await engine.close()

    return asyncio.run(whole())


@pytest.mark.parametrize("count", [1, MAX_BATCH_SIZE, MAX_BATCH_SIZE + 1, 150])
def test_rows_come_back_in_order_in_calls_that_triton_takes(folders: dict[str, Path], count: int) -> None:
    protocol = Protocol()
    vectors = answered(folders, protocol, lambda engine: engine.run("tiny", collate_ids(ROWS[:count])))
    assert np.array_equal(vectors, np.stack([fake_vector(row, DIM) for row in ROWS[:count]]))
    assert (sum(protocol.sizes), max(protocol.sizes)) == (count, min(count, MAX_BATCH_SIZE))


@pytest.mark.parametrize(("exit", "layer"), [(0, 4), (2, 2)])
def test_the_exit_goes_with_every_row_where_the_graph_takes_it(
    write_encoder: Callable[..., Path], exit: int, layer: int
) -> None:
    inputs = ("input_ids", "attention_mask", "exit")
    tower = Tower(inputs=inputs, output="sentence_embedding", pooling="mean", max_tokens=8)
    protocol = Protocol()
    folders = {"tiny": write_encoder(towers={"text": tower})}
    answered(
        folders, protocol, lambda engine: engine.run("tiny", collate_ids(ROWS[: MAX_BATCH_SIZE + 3], exit))
    )
    assert protocol.exits == [layer] * (MAX_BATCH_SIZE + 3)


def test_the_services_largest_batch_is_one_call() -> None:
    assert ServiceSettings().batches.texts <= MAX_BATCH_SIZE


@pytest.mark.parametrize(
    ("status", "error", "says"),
    [
        ((grpc.StatusCode.UNAVAILABLE, "Socket closed"), EngineUnavailable, "recovers once it answers"),
        (
            (grpc.StatusCode.UNAVAILABLE, "Request for unknown model: 'tiny' has no available versions"),
            EngineUnavailable,
            "does not serve tiny",
        ),
        (
            (grpc.StatusCode.NOT_FOUND, "Request for unknown model: 'tiny' is not found"),
            EngineUnavailable,
            "does not serve tiny",
        ),
        ((grpc.StatusCode.INTERNAL, "out of memory"), EngineError, r"2 inputs.*memory \(INTERNAL\).*log"),
        ((grpc.StatusCode.INVALID_ARGUMENT, ""), EngineError, "INVALID_ARGUMENT"),
        (
            (grpc.StatusCode.DEADLINE_EXCEEDED, "a proxy's timeout"),
            DeadlineExceeded,
            r"in time for 2 inputs.*: a proxy's timeout \(DEADLINE_EXCEEDED\)",
        ),
    ],
)
def test_what_triton_refuses_says_where_and_what_to_do(
    folders: dict[str, Path], status: tuple[grpc.StatusCode, str], error: type[EngineError], says: str
) -> None:
    protocol = Protocol()
    protocol.status = status
    with pytest.raises(error, match=rf"Triton at 127\.0\.0\.1:\d+ .*tiny.*{says}|{says}") as found:
        answered(folders, protocol, lambda engine: engine.run("tiny", collate_ids(ROWS[:2])))
    assert type(found.value) is error
    assert "127.0.0.1" in str(found.value)


def test_a_slow_triton_meets_the_deadline(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_server, "_CLOSE_SECONDS", 0.1)
    protocol = Protocol()
    protocol.seconds = 30.0
    with pytest.raises(DeadlineExceeded, match=r"did not answer in time for 3 inputs with tiny: 0\.2 s"):
        answered(folders, protocol, lambda engine: engine.run("tiny", collate_ids(ROWS[:3])), seconds=0.2)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"vectors": lambda vectors: b""}, "has no float32 sentence_embedding: cannot reshape"),
        ({"output": "other"}, "no such output"),
        (
            {"type": "FP64", "vectors": lambda vectors: vectors.astype(np.float64).tobytes()},
            "float64",
        ),
    ],
)
def test_an_answer_without_vectors_is_an_error(
    folders: dict[str, Path], fields: dict[str, Any], says: str
) -> None:
    protocol = Protocol()
    for name, value in fields.items():
        setattr(protocol, name, value)
    with pytest.raises(EngineError, match=says):
        answered(folders, protocol, lambda engine: engine.run("tiny", collate_ids(ROWS[:2])))


def test_gone_and_back_on_the_same_port(folders: dict[str, Path]) -> None:
    async def whole() -> None:
        async with listening(Protocol()) as port:
            engine = TritonEngine(folders, url=f"127.0.0.1:{port}")
            expected = await engine.run("tiny", collate_ids(ROWS[:2]))
            assert await engine.ready("tiny")
            assert not await engine.ready("other")
        with pytest.raises(EngineUnavailable, match=r"does not answer for tiny.*--triton-url"):
            await engine.run("tiny", collate_ids(ROWS[:2]))
        assert not await engine.ready("tiny")
        async with listening(Protocol(), port):
            while not await engine.ready("tiny"):
                await asyncio.sleep(0.05)
            assert np.array_equal(await engine.run("tiny", collate_ids(ROWS[:2])), expected)
            await engine.close()

    asyncio.run(asyncio.wait_for(whole(), 240))


def test_a_port_that_takes_calls_and_says_nothing_is_given_up(folders: dict[str, Path]) -> None:
    async def whole() -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            engine = TritonEngine(folders, url=f"127.0.0.1:{silent.getsockname()[1]}", seconds=0.5)
            with pytest.raises((DeadlineExceeded, EngineUnavailable)):
                await engine.run("tiny", collate_ids(ROWS[:2]))
            await engine.close()

    asyncio.run(asyncio.wait_for(whole(), 240))


def test_a_call_that_is_given_up_ends_its_wait(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triton_server, "_CLOSE_SECONDS", 0.1)
    protocol = Protocol()
    protocol.seconds = 30.0

    async def ask(engine: TritonEngine) -> Batch:
        batch = collate_ids(ROWS[:1])
        task = asyncio.create_task(engine.run("tiny", batch))
        while not protocol.sizes:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return batch

    answered(folders, protocol, ask)


@pytest.mark.parametrize(
    "url", ["", "localhost", "http://localhost:8001", "h:99999", "h:0", "h:1/x", ":8001", "h: 1"]
)
def test_an_address_is_host_and_port(folders: dict[str, Path], url: str) -> None:
    with pytest.raises(EngineError, match=r"not HOST:PORT.*127\.0\.0\.1:8001"):
        TritonEngine(folders, url=url)


@pytest.mark.parametrize("url", ["triton:8001", "10.0.0.1:1", "[::1]:8001"])
def test_an_engine_opens_with_nobody_there(folders: dict[str, Path], url: str) -> None:
    engine = TritonEngine(folders, url=url)
    assert engine.name == "triton"
    asyncio.run(engine.close())
