from __future__ import annotations

import asyncio

import httpx
import pytest

from nestvec.engines.fake import FakeEngine
from nestvec.service.api import health
from nestvec.service.api.health import Readiness
from nestvec.service.embedder import Embedder
from nestvec.service.server import bind, serve_in_thread


class Gone(FakeEngine):
    """Answers for no encoder in ``gone``, and is slow to say so by ``hesitates``."""

    gone: tuple[str, ...] = ()
    hesitates: float = 0.0
    asked: int = 0

    async def ready(self, encoder: str) -> bool:
        self.asked += 1
        await asyncio.sleep(self.hesitates)
        return encoder not in self.gone


def test_health_names_the_encoders_that_do_not_answer(embedder: Embedder) -> None:
    engine = embedder.engine = Gone({"tiny": 16})
    engine.gone = ("tiny",)
    with serve_in_thread(embedder, bind("127.0.0.1", 0)) as service:
        answer = httpx.get(f"{service}/health")
        head = httpx.head(f"{service}/health")
    assert (answer.status_code, head.status_code) == (503, 503)
    assert answer.json()["error_type"] == "Unhealthy"
    assert "does not answer for every encoder: tiny. Check that the engine runs" in answer.json()["error"]


def test_health_of_a_service_that_answers(service: str) -> None:
    assert [httpx.request(verb, f"{service}/health").status_code for verb in ("GET", "HEAD")] == [200, 200]


def test_many_probes_ask_once_a_second() -> None:
    engine, now = Gone({"a": 4, "b": 4}), [0.0]
    engine.gone = ("b",)

    async def probe() -> None:
        ready = Readiness(engine, lambda: ["b", "a"], lambda: now[0])
        assert await asyncio.gather(*(ready.unready() for _ in range(50))) == [("b",)] * 50
        engine.gone = ()
        now[0] = 0.9
        assert await ready.unready() == ("b",)
        assert engine.asked == 2
        now[0] = 1.1
        assert await ready.unready() == ()
        assert engine.asked == 4

    asyncio.run(probe())


def test_an_engine_that_hesitates_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "DEADLINE_SECONDS", 0.05)
    engine = Gone({"a": 4})
    engine.hesitates = 30.0
    assert asyncio.run(Readiness(engine, lambda: ["a"]).unready()) == ("a",)


def test_a_process_lives_whose_engine_does_not_answer(embedder: Embedder) -> None:
    engine = embedder.engine = Gone({"tiny": 16})
    engine.gone = ("tiny",)
    with serve_in_thread(embedder, bind("127.0.0.1", 0)) as service:
        statuses = {
            path: [httpx.request(verb, f"{service}{path}").status_code for verb in ("GET", "HEAD")]
            for path in ("/livez", "/readyz", "/health")
        }
    assert statuses == {"/livez": [200, 200], "/readyz": [503, 503], "/health": [503, 503]}
