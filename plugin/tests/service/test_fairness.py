"""Deadlines, shares and turns, through the app."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from nestvec.engines.contract import Batch
from nestvec.engines.fake import FakeEngine
from nestvec.service.app import create_app
from nestvec.service.embedder import Embedder
from nestvec.service.encoders import open_encoders
from nestvec.service.settings import BatchLimits, LoadLimits, ServiceSettings
from nestvec_schemas.vectors import Vectors

HANG_SECONDS = 120
"""Long enough for any machine: only a test that hangs takes as long."""

Send = Callable[..., Awaitable[httpx.Response]]


@dataclass
class HeldEngine(FakeEngine):
    """An engine whose batches wait until they are let go."""

    go: asyncio.Event = field(default_factory=asyncio.Event)
    started: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, encoder: str, batch: Batch) -> Vectors:
        """See the contract."""
        self.started.set()
        await self.go.wait()
        return await super().run(encoder, batch)


class Service:
    """The app in this loop, and clients of several addresses."""

    def __init__(self, embedder: Embedder) -> None:
        self.embedder, self.app = embedder, create_app(embedder)

    async def post(self, path: str, body: object, address: str = "10.0.0.1") -> httpx.Response:
        transport = httpx.ASGITransport(self.app, client=(address, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.post(path, json=body)

    async def get(self, path: str, address: str = "10.0.0.1") -> httpx.Response:
        transport = httpx.ASGITransport(self.app, client=(address, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.get(path)


def during(models: Path, work: Callable[[Service, HeldEngine], Awaitable[Any]], **load: float) -> None:
    limits = replace(LoadLimits(), **load)  # type: ignore[arg-type]
    settings = ServiceSettings(batches=BatchLimits(texts=2), load=limits)

    async def main() -> None:
        engine = HeldEngine({"tiny": 16})
        embedder = Embedder(open_encoders(models), engine, settings)
        embedder.start()
        try:
            await asyncio.wait_for(work(Service(embedder), engine), HANG_SECONDS)
        finally:
            engine.go.set()
            await embedder.close()

    asyncio.run(main())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


TEXTS = {"inputs": [f"w{number}" for number in range(8)]}


async def run_out_of_time(service: Service) -> httpx.Response:
    """The response to texts that were queued when their time was over; a slow machine needs more of it."""
    for seconds in (0.05, 0.5, 5, 50):
        response = await service.post(f"/embed?deadline={seconds}", TEXTS)
        assert response.status_code == 504
        if "did not embed 8 of the texts within" in response.text:
            return response
    raise AssertionError(response.text)


def test_a_try_that_ran_out_of_time_is_continued_by_the_next(models_folder: Path) -> None:
    async def work(service: Service, engine: HeldEngine) -> None:
        late = await run_out_of_time(service)
        assert "s. Send the same request again" in late.text
        assert int(late.headers["retry-after"]) >= 1
        engine.go.set()
        again = await service.post("/embed", TEXTS)
        assert again.status_code == 200
        assert len(again.json()) == 8
        assert sum(count for _, count, _ in engine.batches) == 8

    during(models_folder, work)


def test_what_nobody_asks_for_again_leaves_the_queue(models_folder: Path) -> None:
    async def work(service: Service, engine: HeldEngine) -> None:
        await run_out_of_time(service)
        (runner,) = service.embedder.encoders.instance("tiny").runners.values()
        await until(lambda: runner.admission.shares.total == 2 * 3)  # the batch in the engine
        engine.go.set()
        await until(lambda: runner.admission.shares.total == 0)
        assert sum(count for _, count, _ in engine.batches) == 2

    during(models_folder, work, keep_queued_seconds=0.05)


def test_a_second_try_keeps_what_the_first_left(models_folder: Path) -> None:
    async def work(service: Service, engine: HeldEngine) -> None:
        await run_out_of_time(service)
        again = asyncio.create_task(service.post("/embed", TEXTS))
        await asyncio.sleep(0.1)  # when the first would have been dropped
        engine.go.set()
        assert (await again).status_code == 200
        assert sum(count for _, count, _ in engine.batches) == 8

    during(models_folder, work, keep_queued_seconds=0.05)


def test_a_client_has_half_of_the_places_and_another_is_served(models_folder: Path) -> None:
    async def work(service: Service, engine: HeldEngine) -> None:
        own = [asyncio.create_task(service.post("/embed", {"inputs": f"w{n}"})) for n in range(2)]
        await until(lambda: service.embedder.admission.shares.total == 2)
        for path, body in (
            ("/embed", {"inputs": "w9"}),
            ("/tokenize", {"inputs": "w9"}),
            ("/check", {"inputs": ["w9"]}),
            ("/rerank", {"query": "w9", "texts": ["w8"]}),
            ("/v1/embeddings", {"input": "w9"}),
        ):
            refused = await service.post(path, body)
            assert refused.status_code == 429, path
            assert "2 requests in flight, 2 of them this client's. Try again in 1 s" in refused.text
            assert refused.headers["retry-after"] == "1"
        assert (await service.get("/health")).status_code == 200
        assert (await service.get("/info", address="10.0.0.2")).status_code == 200
        other = asyncio.create_task(service.post("/embed", {"inputs": "w9"}, address="10.0.0.2"))
        await until(lambda: service.embedder.admission.shares.total == 3)
        engine.go.set()
        answers = await asyncio.gather(*own, other)
        assert [answer.status_code for answer in answers] == [200, 200, 200]
        assert service.embedder.admission.shares.total == 0

    during(models_folder, work, requests=4)


def test_a_request_larger_than_a_share_is_refused_to_its_sender_alone(models_folder: Path) -> None:
    async def work(service: Service, engine: HeldEngine) -> None:
        engine.go.set()
        large = {"inputs": [f"w{number}" for number in range(20)]}
        refused = await service.post("/embed", large)
        assert refused.status_code == 413
        assert "more tokens than the 50 of a client that may wait: 60" in refused.text
        overlong = await service.post("/embed?overlong=mean", {"inputs": " ".join(["w1"] * 90)})
        assert overlong.status_code == 413
        assert (await service.post("/embed", {"inputs": "w1"}, address="10.0.0.2")).status_code == 200
        assert (await service.post("/embed", TEXTS)).status_code == 200

    during(models_folder, work, queue_tokens=100)


def test_the_lone_query_of_a_client_is_in_the_batch_after_the_running_one(models_folder: Path) -> None:
    async def work(service: Service, engine: HeldEngine) -> None:
        flood = [
            asyncio.create_task(service.post("/embed", {"inputs": [f"w{10 * n + m}" for m in range(8)]}))
            for n in range(40)
        ]
        (runner,) = service.embedder.encoders.instance("tiny").runners.values()
        await until(lambda: runner.admission.shares.total >= 40 * 8 * 3)
        query = {"inputs": "w998 w999"}
        polite = asyncio.create_task(service.post("/embed", query, address="10.0.0.2"))
        await until(lambda: runner.admission.shares.total > 40 * 8 * 3)
        engine.go.set()
        await polite
        assert [longest for _, _, longest in engine.batches].index(4) == 1
        await asyncio.gather(*flood)

    during(models_folder, work)


@pytest.mark.parametrize("path", ["/embed?deadline=soon", "/embed?deadline=-1"])
def test_a_wrong_deadline_is_refused(models_folder: Path, path: str) -> None:
    async def work(service: Service, engine: HeldEngine) -> None:
        refused = await service.post(path, TEXTS)
        assert refused.status_code == 422
        assert "deadline=8.5" in refused.text

    during(models_folder, work)


def test_info_tells_speed_once_it_is_measured(models_folder: Path) -> None:
    async def work(service: Service, engine: HeldEngine) -> None:
        before = (await service.get("/info")).json()["encoders"]["tiny"]
        assert (before["tokens_per_second"], before["recommended_chunk"]) == (None, None)
        engine.go.set()
        (runner,) = service.embedder.encoders.instance("tiny").runners.values()
        runner.speed.record(texts=64, tokens=64 * 12, seconds=6.4)
        after = (await service.get("/info")).json()["encoders"]["tiny"]
        assert after["tokens_per_second"] == 120
        assert after["texts_per_second"] == 120 / 8
        assert after["recommended_chunk"] == 56

    during(models_folder, work)
