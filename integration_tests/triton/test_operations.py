"""A service whose Triton starts later, and reloads in front of a real one."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest

from nestvec.engines.factory import EngineOptions
from nestvec.service.server import bind, open_embedder, serve_in_thread
from nestvec.service.settings import AccessSettings, CacheLimits, ServiceSettings
from nestvec_schemas.repository import CONFIG, MANIFEST

from .conftest import Triton

HANG_SECONDS = 240.0
ADMIN = {"authorization": "Bearer operator-key"}


@contextmanager
def service(models: Path, url: str, keys: Path) -> Iterator[httpx.Client]:
    keys.write_text("operator-key\n")
    keys.chmod(0o600)
    settings = ServiceSettings(
        engine=EngineOptions("triton", triton_url=url),
        cache=CacheLimits(max_bytes=0),
        access=AccessSettings(admin_keys=keys),
    )
    embedder = open_embedder(models, (), settings)
    with (
        serve_in_thread(embedder, bind("127.0.0.1", 0)) as address,
        httpx.Client(base_url=address, timeout=HANG_SECONDS, trust_env=False) as client,
    ):
        yield client


def wait_until(is_true: Callable[[], bool]) -> None:
    end = time.monotonic() + HANG_SECONDS
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.02)


def wait_for_health(client: httpx.Client) -> None:
    wait_until(lambda: client.get("/health").status_code == 200)


def copy_as(models: Path, name: str, new: str) -> None:
    """A second version of an encoder, beside the first."""
    shutil.copytree(models / name, models / new)
    manifest = json.loads((models / new / MANIFEST).read_text())
    config = (models / new / CONFIG).read_text().replace(f'name: "{name}"', f'name: "{new}"', 1)
    (models / new / CONFIG).write_text(config)
    manifest |= {"name": new}
    (models / new / MANIFEST).write_text(json.dumps(manifest))


def only_minilm(repository: Path) -> None:
    for folder in repository.iterdir():
        if folder.name != "minilm":
            shutil.rmtree(folder)


def test_the_service_becomes_ready_once_triton_is_there(
    repository: Path, triton: Triton, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    only_minilm(repository)
    with service(repository, triton.url, tmp_path / "admin.txt") as client:
        assert client.get("/health").status_code == 503
        assert client.get("/livez").status_code == 200
        wait_until(lambda: f"no Triton answers at {triton.url}; trying again" in caplog.messages)
        triton.start(repository)
        wait_for_health(client)
        assert client.post("/embed", json={"inputs": "heat"}).status_code == 200
    refused = [message for message in caplog.messages if message.startswith("no Triton answers")]
    assert len(refused) < 20


def test_encoders_are_loaded_into_an_explicit_triton_and_unloaded(
    repository: Path, triton: Triton, tmp_path: Path
) -> None:
    only_minilm(repository)
    triton.start(repository, "explicit")
    assert triton.ask("load", "minilm").status_code == 200
    with service(repository, triton.url, tmp_path / "admin.txt") as client:
        wait_for_health(client)
        copy_as(repository, "minilm", "minilm:2")
        report = client.post("/admin/reload", headers=ADMIN)
        assert (report.status_code, report.json()["added"]) == (200, ["minilm:2"]), report.text
        switched = client.post("/admin/aliases", json={"live": "minilm:2"}, headers=ADMIN)
        assert switched.json() == {"live": "minilm:2"}
        answers = [
            client.post("/embed", params={"encoder": name}, json={"inputs": "heat flow"}).json()
            for name in ("minilm", "minilm:2", "live")
        ]
        np.testing.assert_allclose(answers[0], answers[1], atol=1e-5)
        assert answers[1] == answers[2]
        client.post("/admin/aliases", json={"live": None}, headers=ADMIN)
        shutil.rmtree(repository / "minilm:2")
        assert client.post("/admin/reload", headers=ADMIN).json()["removed"] == ["minilm:2"]
        wait_until(lambda: triton.http.get("/v2/models/minilm:2/ready").status_code != 200)
        assert client.post("/embed", json={"inputs": "heat"}).status_code == 200


def test_a_triton_that_loads_nothing_on_request_says_so(
    repository: Path, triton: Triton, tmp_path: Path
) -> None:
    only_minilm(repository)
    triton.start(repository)
    with service(repository, triton.url, tmp_path / "admin.txt") as client:
        wait_for_health(client)
        copy_as(repository, "minilm", "minilm:2")
        report = client.post("/admin/reload", headers=ADMIN)
        assert report.status_code == 409
        (failure,) = report.json()["failed"]
        assert failure["name"] == "minilm:2"
        assert "--model-control-mode explicit" in failure["error"]
        assert client.post("/embed", json={"inputs": "heat"}).status_code == 200
