"""The service in front of three real Tritons: they are killed, stopped and started under traffic."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from nestvec_schemas.vectors import Vectors, cosines

from .conftest import Triton
from .test_operations import ADMIN, HANG_SECONDS, copy_as, only_minilm, wait_for_health, wait_until
from .test_operations import service as operated
from .test_triton import TEXTS, service, vectors

CLIENTS = 4


@pytest.fixture
def tritons(triton_tool: Any, triton_venv: Path, tmp_path: Path) -> Iterator[list[Triton]]:
    """Three, not started yet."""
    servers = [Triton(triton_tool, triton_venv, tmp_path / f"triton{number}.log") for number in range(3)]
    yield servers
    for server in servers:
        server.kill()
        server.http.close()


def urls(tritons: list[Triton]) -> str:
    return ",".join(triton.url for triton in tritons)


class Clients:
    """Several clients that send requests without a pause and collect what was not answered with vectors."""

    def __init__(self, client: httpx.Client, expected: Vectors) -> None:
        self.answered = 0
        self.wrong: list[str] = []
        self._client, self._expected = client, expected
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(CLIENTS)]

    def _run(self) -> None:
        while not self._stop.is_set():
            self.wrong += self._problems()
            self.answered += 1

    def _problems(self) -> list[str]:
        try:
            answer = self._client.post("/embed", json={"inputs": TEXTS[:16]})
        except httpx.HTTPError as error:  # it would end the thread unseen
            return [repr(error)]
        if answer.status_code != 200:
            return [answer.text]
        alike = cosines(np.array(answer.json(), np.float32), self._expected).min() >= 0.99999
        return [] if alike else ["other vectors"]

    def wait_for(self, more: int) -> None:
        wait_until(lambda wanted=self.answered + more: self.answered >= wanted)  # type: ignore[misc]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def metric(client: httpx.Client, name: str, triton: Triton, outcome: str = "") -> float:
    labels = f'address="{triton.url}"' + (f',outcome="{outcome}"' if outcome else "")
    for line in client.get("/metrics").text.splitlines():
        if line.startswith(f"{name}{{{labels}}}"):
            return float(line.rpartition(" ")[2])
    return 0.0


def test_killing_one_after_another_loses_no_request(models: Path, tritons: list[Triton]) -> None:
    for triton in tritons:
        triton.start(models)
    with service(models, urls(tritons), seconds=HANG_SECONDS) as client:
        wait_for_health(client)
        with Clients(client, vectors(client, TEXTS[:16])) as clients:
            clients.wait_for(20)
            for triton in tritons:
                assert metric(client, "nestvec_triton_batches_total", triton, "success") > 0
                triton.kill()
                clients.wait_for(20)
                wait_until(lambda one=triton: metric(client, "nestvec_triton_up", one) == 0)  # type: ignore[misc]
                wait_for_health(client)  # a probe has 1.5 s, which a busy machine may miss
                triton.start(models)
                before = metric(client, "nestvec_triton_batches_total", triton, "success")
                wait_until(
                    lambda one=triton, least=before: (  # type: ignore[misc]
                        metric(client, "nestvec_triton_batches_total", one, "success") > least
                    )
                )
                clients.wait_for(20)
        assert clients.wrong == []


@pytest.mark.nightly
def test_one_that_stands_still_holds_no_request(models: Path, tritons: list[Triton]) -> None:
    for triton in tritons[:2]:
        triton.start(models)
    with service(models, urls(tritons[:2]), seconds=HANG_SECONDS) as client:
        wait_for_health(client)
        with Clients(client, vectors(client, TEXTS[:16])) as clients:
            clients.wait_for(20)
            tritons[0].signal(signal.SIGSTOP)
            clients.wait_for(60)
            assert 'nestvec_triton_hedges_total{outcome="won"} 0.0' not in client.get("/metrics").text
            tritons[0].signal(signal.SIGCONT)
            before = metric(client, "nestvec_triton_batches_total", tritons[0], "success")

            def takes_part() -> bool:
                tritons[0].start_again_if_ended(models)
                return metric(client, "nestvec_triton_batches_total", tritons[0], "success") > before

            wait_until(takes_part)
        assert clients.wrong == []


def test_when_all_are_dead_the_error_names_each_and_health_says_so(
    models: Path, tritons: list[Triton]
) -> None:
    for triton in tritons[:2]:
        triton.start(models)
    with service(models, urls(tritons[:2])) as client:
        wait_for_health(client)
        vectors(client)
        for triton in tritons[:2]:
            triton.kill()
        answer = client.post("/embed", json={"inputs": "late"})
        assert answer.status_code == 503
        assert all(triton.url in answer.json()["error"] for triton in tritons[:2])
        wait_until(lambda: client.get("/health").status_code == 503)
        tritons[1].start(models)
        wait_for_health(client)
        assert vectors(client).shape == (4, 384)


def test_a_triton_whose_models_process_died_is_not_ready(repository: Path, tritons: list[Triton]) -> None:
    """Triton itself answers, and says that the model is loaded."""
    only_minilm(repository)
    for triton in tritons[:2]:
        triton.start(repository)
    with service(repository, urls(tritons[:2])) as client:
        wait_for_health(client)
        expected = vectors(client)
        kill_models(tritons[0])
        for number in range(6):
            assert client.post("/embed", json={"inputs": f"text {number}"}).status_code == 200
        assert cosines(vectors(client), expected).min() > 0.99999
        wait_for_health(client)
        kill_models(tritons[1])
        assert tritons[0].http.get("/v2/models/minilm/ready").status_code == 200
        failed = client.post("/embed", json={"inputs": "late"})
        assert failed.status_code == 424
        assert "Stub process" in failed.json()["error"]
        wait_until(lambda: client.get("/health").status_code == 503)


def kill_models(triton: Triton) -> None:
    """The processes of Triton's models, and not Triton."""
    children = Path(f"/proc/{triton.pid}/task/{triton.pid}/children").read_text().split()
    tasks = Path(f"/proc/{triton.pid}/task").iterdir()
    for task in tasks:
        children += (task / "children").read_text().split()
    killed = set(children)
    assert killed
    for child in killed:
        os.kill(int(child), signal.SIGKILL)


@pytest.mark.nightly
def test_one_that_restarts_empty_is_given_the_encoders_again(
    repository: Path, tritons: list[Triton], tmp_path: Path
) -> None:
    """With explicit control, a Triton loads nothing by itself."""
    only_minilm(repository)
    for triton in tritons[:2]:
        triton.start(repository, "explicit")
        assert triton.ask("load", "minilm").status_code == 200
    with operated(repository, urls(tritons[:2]), tmp_path / "admin.txt") as client:
        wait_for_health(client)
        copy_as(repository, "minilm", "minilm:2")
        assert client.post("/admin/reload", headers=ADMIN).json()["added"] == ["minilm:2"]
        for triton in tritons[:2]:
            assert triton.http.get("/v2/models/minilm:2/ready").status_code == 200
        tritons[0].kill()
        path = "/embed?encoder=minilm:2"
        assert client.post(path, json={"inputs": "a"}).status_code == 200
        assert client.post(path, json={"inputs": "b"}).status_code == 200
        tritons[0].start(repository, "explicit")
        wait_until(lambda: tritons[0].http.get("/v2/models/minilm:2/ready").status_code == 200)
        assert client.post(path, json={"inputs": "c"}).status_code == 200
