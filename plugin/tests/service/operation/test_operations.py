"""Options that a running service takes up, all of them or none."""

from __future__ import annotations

import asyncio
import logging
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from nestvec.engines.factory import MemoryLimits
from nestvec.service.embedder import Embedder
from nestvec.service.middleware.connection import LimitedConnection
from nestvec.service.operation.declared_options import DeclaredOptions
from nestvec.service.operation.operations import Operations
from nestvec.service.server import Server, bind, create_server, open_embedder, serve_in_thread
from nestvec.service.settings import (
    AccessSettings,
    BodyLimits,
    CacheLimits,
    ConnectionLimits,
    LoadLimits,
    ServiceSettings,
)
from nestvec_schemas.errors import ServiceError
from nestvec_schemas.towers import MAIN_PART

from ..catalog.conftest import WriteVersion, write_version  # noqa: F401 - a fixture

ADMIN = {"authorization": "Bearer operator-key"}


@dataclass
class Running:
    """A service whose declared options change."""

    embedder: Embedder
    client: httpx.Client
    start: ServiceSettings
    declared: list[DeclaredOptions]

    def declare(self, settings: ServiceSettings, **others: Any) -> None:
        self.declared[:] = [DeclaredOptions(settings=settings, **others)]

    def reload(self, status: int = 200) -> dict[str, Any]:
        answer = self.client.post("/admin/reload", headers=ADMIN)
        assert answer.status_code == status, answer.text
        report: dict[str, Any] = answer.json()
        return report

    def embed(self, *texts: str, host: str = "localhost") -> int:
        answer = self.client.post("/embed", json={"inputs": texts}, headers={"host": host})
        return answer.status_code


@pytest.fixture
def settings(tmp_path: Path) -> ServiceSettings:
    (tmp_path / "admin.txt").write_text("operator-key\n")
    (tmp_path / "admin.txt").chmod(0o600)
    return ServiceSettings(access=AccessSettings(admin_keys=tmp_path / "admin.txt"))


@pytest.fixture
def running(tmp_path: Path, write_version: WriteVersion, settings: ServiceSettings) -> Iterator[Running]:  # noqa: F811
    write_version(1)
    declared = [DeclaredOptions(settings=settings, options={"max-inputs": 2048})]
    embedder = open_embedder(tmp_path / "models", (), settings, declared=lambda: declared[0])
    with (
        serve_in_thread(embedder, bind("127.0.0.1", 0)) as service,
        httpx.Client(base_url=service, timeout=60) as client,
    ):
        yield Running(embedder, client, settings, declared)


def test_requests_meet_the_new_options(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    assert (running.embed("w1", "w2"), running.embed("w1", host="a.example.com")) == (200, 421)
    running.declare(
        replace(
            running.start,
            load=LoadLimits(inputs=1, body_bytes=200),
            access=replace(running.start.access, allowed_hosts=("a.example.com",)),
        ),
        options={"max-inputs": 1},
        needs_restart=("port",),
    )
    with caplog.at_level(logging.WARNING):
        report = running.reload()
    assert (report["options"], report["needs_restart"]) == (["max-inputs"], ["port"])
    assert "option max-inputs changed" in caplog.text
    assert "option port has changed too, and needs a restart" in caplog.text
    assert running.embed("w1", host="a.example.com") == 200
    assert running.embed("w1", "w2") == 422
    assert running.embed("w1 " * 100) == 413
    assert running.client.get("/info").json()["max_client_batch_size"] == 1
    running.declare(running.start, options={"max-inputs": 2048})
    assert running.reload()["options"] == ["max-inputs"]
    assert (running.embed("w1", "w2"), running.embed("w1", host="a.example.com")) == (200, 421)


def test_a_deadline_is_that_of_the_next_request(running: Running) -> None:
    assert running.embed("w1") == 200
    running.declare(replace(running.start, load=LoadLimits(deadline_seconds=1e-9)))
    running.reload()
    assert running.embed("w2") in (408, 504)
    running.declare(running.start)
    running.reload()
    assert running.embed("w2") == 200


def test_a_reload_is_carried_out_although_its_request_is_gone(
    tmp_path: Path,
    write_version: WriteVersion,  # noqa: F811
) -> None:
    write_version(1)
    embedder = open_embedder(tmp_path / "models", (), ServiceSettings())
    engine, opening, may_open = embedder.residency.engine, threading.Event(), threading.Event()
    assert engine is not None
    open_graphs = engine.open

    def slow_open(*arguments: Any) -> None:
        opening.set()
        assert may_open.wait(60)
        open_graphs(*arguments)

    engine.open = slow_open  # type: ignore[method-assign, assignment]
    write_version(2, "second")

    async def work() -> None:
        operations = Operations(embedder)
        embedder.start()
        request = asyncio.create_task(operations.reload())
        assert await asyncio.to_thread(opening.wait, 60)
        request.cancel()
        await asyncio.gather(request, return_exceptions=True)
        assert request.cancelled()
        assert [*embedder.encoders] == ["tiny"]
        may_open.set()
        await asyncio.gather(*operations._reloads)
        assert [*embedder.encoders] == ["second", "tiny"]
        await embedder.close()

    asyncio.run(work())


def test_what_does_not_fit_changes_nothing(running: Running) -> None:
    small = replace(running.start.engine, memory=MemoryLimits(budget_bytes=10))
    running.declare(replace(running.start, engine=small, load=LoadLimits(inputs=1)))
    assert (
        "tiny is larger than the memory budget of 10 bytes"
        in running.client.post("/admin/reload", headers=ADMIN).text
    )
    assert running.embedder.settings == running.start
    running.declare(
        replace(running.start, load=LoadLimits(inputs=1)), aliases={"small": "large"}, encoders=("tiny",)
    )
    assert "no encoder for the alias small" in str(running.reload(422))
    assert running.embedder.settings == running.start
    assert running.embed("w1", "w2") == 200
    running.declare(replace(running.start, load=LoadLimits(inputs=1)), aliases={"small": "tiny"})
    running.reload()
    assert running.embedder.settings.load.inputs == 1


def test_a_budget_may_become_too_small_for_an_encoder_that_goes(
    running: Running,
    write_version: WriteVersion,  # noqa: F811
) -> None:
    write_version(2, "second")
    running.reload()
    first, second = (running.embedder.encoders.instance(name) for name in ("tiny", "second"))
    first.size = 2 * second.size
    budget = replace(running.start.engine, memory=MemoryLimits(budget_bytes=second.size))
    running.declare(replace(running.start, engine=budget))
    assert "tiny is larger than the memory budget" in str(running.reload(500))
    running.declare(replace(running.start, engine=budget), encoders=("second",))
    assert running.reload()["removed"] == ["tiny"]
    assert running.embedder.settings.engine.memory.budget_bytes == second.size
    assert running.embed("w1") == 200, "the only one"


def test_options_that_cannot_be_read_are_reported_and_the_rest_is_reloaded(
    running: Running,
    write_version: WriteVersion,  # noqa: F811
) -> None:
    def fail() -> DeclaredOptions:
        raise ServiceError("the configuration is not valid YAML", next_step="Correct it.")

    running.embedder.declared = fail
    write_version(2, "second")
    report = running.reload(409)
    assert report["added"] == ["second"]
    assert [failure["name"] for failure in report["failed"]] == ["config"]
    assert running.embedder.settings == running.start


def test_other_encoders_are_served(running: Running, write_version: WriteVersion) -> None:  # noqa: F811
    write_version(2, "second")
    running.declare(running.start, encoders=("second",), options={"encoder": ("second",)})
    report = running.reload()
    assert (report["added"], report["removed"]) == (["second"], ["tiny"])
    running.declare(running.start, encoders=())
    assert running.reload()["added"] == ["tiny"]


def write_certificate(cert: Path, key: Path) -> None:
    openssl = shutil.which("openssl")
    assert openssl
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", "/CN=nestvec", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, *names, "-keyout", key, "-out", cert], check=True, capture_output=True)


def test_a_renewed_certificate_is_that_of_the_next_connection(
    tmp_path: Path,
    write_version: WriteVersion,  # noqa: F811
    settings: ServiceSettings,
) -> None:
    write_version(1)
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    write_certificate(cert, key)
    access = replace(settings.access, tls_cert=cert, tls_key=key)
    embedder = open_embedder(tmp_path / "models", (), replace(settings, access=access))
    with serve_in_thread(embedder, bind("127.0.0.1", 0)) as service:
        address = ("127.0.0.1", int(service.rpartition(":")[2]))

        def reload() -> httpx.Response:
            trusted = ssl.create_default_context(cadata=ssl.get_server_certificate(address))
            return httpx.post(f"{service}/admin/reload", headers=ADMIN, verify=trusted, timeout=60)

        first = cert.read_text()
        assert ssl.get_server_certificate(address) == first
        write_certificate(cert, key)
        assert reload().status_code == 200
        assert ssl.get_server_certificate(address) == cert.read_text() != first
        second = cert.read_text()
        cert.write_text(first)  # not of this key
        refused = reload()
        assert (refused.status_code, refused.json()["failed"][0]["name"]) == (409, "certificate")
        assert ssl.get_server_certificate(address) == second


def test_every_limit_is_where_it_is_used(
    tmp_path: Path,
    write_version: WriteVersion,  # noqa: F811
    settings: ServiceSettings,
) -> None:
    write_version(1)
    embedder = open_embedder(tmp_path / "models", (), settings)
    embedder.measures_speed = False
    server = create_server(embedder)
    limits = ConnectionLimits(connections=5, client_connections=2, unread_bytes=9, shutdown_seconds=1)
    load = LoadLimits(
        requests=10, queue_tokens=100, client_share=0.25, body_bytes=77, bodies=BodyLimits(memory_bytes=8)
    )
    changed = replace(settings, connections=limits, load=load, cache=CacheLimits(5000, 3))
    embedder.declared = lambda: DeclaredOptions(settings=changed)

    async def work() -> None:
        embedder.start()
        await embedder.embed("tiny", [f"w{number}" for number in range(50)])
        await server.operations.reload()
        await embedder.close()

    asyncio.run(work())
    _check_connections(server, limits)
    runner = embedder.encoders.instance("tiny").runners[MAIN_PART]
    assert (embedder.admission.shares.max_share, embedder.admission.shares.limit) == (2, 10)
    assert (runner.admission.shares.max_share, runner.admission.shares.limit) == (25, 100)
    assert 0 < runner._cache.bytes <= 5000
    assert runner._cache._seconds == 3


def _check_connections(server: Server, limits: ConnectionLimits) -> None:
    connection = server.config.http
    assert isinstance(connection, type) and issubclass(connection, LimitedConnection)
    assert (connection.limits, connection.max_request_bytes) == (limits, 2 * 77 + limits.header_bytes)
    assert [server.gate.admit("a") for _ in range(3)] == [True, True, False]
    assert server.config.timeout_graceful_shutdown == 1
