"""A service in a process of its own: its log under hostile traffic, and its life without file descriptors."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

# The real server, app and log, with an engine that computes nothing. SIGUSR1 takes every file descriptor, and
# SIGUSR2 gives them back.
_PROGRAM = """
import asyncio, ctypes, logging, os, signal, sys, threading, warnings
from pathlib import Path
from nestvec.engines.fake import FakeEngine
from nestvec.service.embedder import Embedder
from nestvec.service.encoders import open_encoders
from nestvec.service.observability.logs import service_log
from nestvec.service.server import bind, create_server, listening_url, serve
from nestvec.service.settings import ServiceSettings

files = []

def take(*_):
    try:
        while True:
            files.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        pass

def give_back(*_):
    while files:
        os.close(files.pop())

def fail():
    raise RuntimeError("a thread\\nfailed")

class Engine(FakeEngine):
    async def run(self, encoder, batch):
        if batch.arrays["input_ids"].max() >= 1003:
            raise RuntimeError("the engine\\nfailed")
        return await super().run(encoder, batch)

signal.signal(signal.SIGUSR1, take)
signal.signal(signal.SIGUSR2, give_back)
logging.basicConfig(level=logging.INFO, stream=sys.stderr)
with service_log("json"):
    warnings.warn("a library\\nwarns")
    threading.Thread(target=fail).start()
    print("printed on stderr", file=sys.stderr)
    native = b"\\x1b[0;93m2026-11-29 [W:onnxruntime:, session.cc:1] native\\x1b[m\\n"
    ctypes.CDLL(None).write(2, native, len(native))
    models = Path(sys.argv[1])
    embedder = Embedder(open_encoders(models), Engine({"tiny": 16}), ServiceSettings())
    with bind("127.0.0.1", 0) as listener:
        server = create_server(embedder)
        print(listening_url(listener), flush=True)
        serve(server, listener)
"""


@dataclass(frozen=True)
class ServiceProcess:
    url: str
    process: subprocess.Popen[str]
    errors: Path

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.url.removeprefix("http://").split(":")
        return host, int(port)

    def log(self) -> list[dict[str, Any]]:
        """Every line on standard error, each of which must be a JSON object."""
        return [json.loads(line) for line in self.errors.read_text(encoding="utf-8").splitlines()]

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=240)


@contextmanager
def started(models: Path, folder: Path, files: int | None = None) -> Iterator[ServiceProcess]:
    def limit() -> None:
        if files is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    errors = folder / "stderr"
    with errors.open("w") as stderr:
        command = [sys.executable, "-c", _PROGRAM, str(models)]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=stderr, text=True, preexec_fn=limit, env=dict(os.environ)
        )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url, errors.read_text()
        yield ServiceProcess(url, process, errors)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def response_of(service: ServiceProcess, data: bytes) -> bytes:
    """The beginning of what the service sends, b"" if it only closes."""
    with socket.create_connection(service.address, timeout=240) as connection:
        connection.sendall(data)
        try:
            return connection.recv(65536)
        except ConnectionResetError:
            return b""


def eventually(condition: Callable[[], bool]) -> bool:
    for _ in range(12_000):
        if condition():
            return True
        time.sleep(0.01)
    return False


def test_every_line_of_a_json_log_is_json_and_one_cause_is_one_line_a_second(
    models_folder: Path, tmp_path: Path
) -> None:
    begun = time.monotonic()
    with started(models_folder, tmp_path) as service:
        head = b"GET /%s HTTP/1.1\r\nhost: localhost\r\n"
        for number in range(150):
            response_of(service, b"\x16\x03\x01 not HTTP %d\r\n\r\n" % number)
            response_of(service, head % b"health" + b"connection: upgrade\r\nupgrade: websocket\r\n\r\n")
        for path in (b"%0a%0d%1b[31m", b"\xff\xfe", b"..%2f..%2fetc", b"a" * 5000, b"%ed%a0%80"):
            response_of(service, head % path + b"\r\n")
        response_of(service, b"GET /info HTTP/1.1\r\nhost: rebind.example\r\nx-request-id: a\x01b\r\n\r\n")
        for body in (b"{", b"\xff", b"[" * 10_000, b'{"inputs":[null]}', b'{"inputs":"w999"}'):
            for _ in range(10):
                headers = {"content-type": "application/json"}
                httpx.post(f"{service.url}/embed", content=body, headers=headers, timeout=240)
        assert httpx.post(f"{service.url}/embed", json={"inputs": "w1"}, timeout=240).status_code == 200
        assert service.stop() == 0
        seconds = time.monotonic() - begun
        log = service.log()
    for line in log:
        assert {"time", "level", "logger", "message"} <= set(line)
    messages = [line["message"] for line in log]
    for logged in (
        "a library\nwarns",
        "uncaught exception on the thread",
        "printed on stderr",
        "Shutting down",
    ):
        assert any(logged in message for message in messages), logged
    (native,) = [line for line in log if "onnxruntime" in line["message"]]
    assert (native["logger"], native["level"]) == ("stderr", "warning")
    assert "\x1b" not in native["message"]
    lines = [message for message in messages if message.startswith("Invalid HTTP request received")]
    assert 1 <= len(lines) <= 2 * seconds + 2
    left_out = sum(int(count) for line in lines for count in re.findall(r"\((\d+) more like it", line))
    first_hand = sum("more like it" not in line for line in lines)
    assert left_out + first_hand >= 140, "what was left out is counted"
    assert not any("upgrade" in message for message in messages), "it is answered, without the upgrade"


def test_few_file_descriptors_limit_the_connections(models_folder: Path, tmp_path: Path) -> None:
    with started(models_folder, tmp_path, files=64) as service:
        with ExitStack() as stack:
            statuses = []
            for _ in range(100):
                connection = stack.enter_context(socket.create_connection(service.address, timeout=240))
                connection.sendall(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n")
                statuses.append(connection.recv(65536)[9:12])
            assert set(statuses) == {b"200", b"503"}
            assert statuses[0] == b"200" and statuses[-1] == b"503"
            assert 5 < statuses.count(b"200") < 64
        assert eventually(lambda: b" 200 " in response_of(service, _LIVE))
        assert service.stop() == 0
        refusals = [line for line in service.log() if "a connection was refused" in line["message"]]
        assert refusals and not any(line["logger"] == "asyncio" for line in service.log())


_LIVE = b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n"


def test_without_file_descriptors_the_service_stays_up_and_recovers(
    models_folder: Path, tmp_path: Path
) -> None:
    begun = time.monotonic()
    with started(models_folder, tmp_path, files=96) as service, httpx.Client(timeout=240) as client:
        assert client.post(f"{service.url}/embed", json={"inputs": "w1"}).status_code == 200
        descriptors = Path(f"/proc/{service.process.pid}/fd")
        service.process.send_signal(signal.SIGUSR1)
        assert eventually(lambda: sum(1 for _ in descriptors.iterdir()) >= 96)
        for _ in range(60):
            assert response_of(service, _LIVE).startswith(b"HTTP/1.1 503 ")
        assert client.post(f"{service.url}/embed", json={"inputs": "w2"}).status_code == 200, (
            "on its connection"
        )
        service.process.send_signal(signal.SIGUSR2)
        assert eventually(lambda: b" 200 " in response_of(service, _LIVE))
        assert service.stop() == 0
        seconds = time.monotonic() - begun
        log = service.log()
        text = service.errors.read_text()
    lines = [line["message"] for line in log if "too many open files" in line["message"]]
    assert 1 <= len(lines) <= 2 * seconds + 2
    assert "socket.accept() out of system resource" not in text


@pytest.mark.parametrize(
    "options",
    [
        ["--models", "/nothing/here"],
        ["--no-such-option"],
        ["--port", "70000"],
        ["--tls-cert", "/none"],
        ["--config", "/none"],
    ],
)
def test_a_failed_start_is_one_line_of_json(options: list[str], models_folder: Path) -> None:
    program = Path(sys.executable).with_name("nestvec")
    arguments = ["serve", "--models", str(models_folder), "--port", "0", "--log-format", "json", *options]
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode in (1, 2)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["level"] for line in lines] == ["critical"]


@pytest.mark.parametrize(
    "content", ["log-format: json\nprot: 1\n", "observability: {log-format: 'json'}\n- ["]
)
def test_a_configuration_with_an_error_decides_how_that_is_logged(tmp_path: Path, content: str) -> None:
    config = tmp_path / "serve.yaml"
    config.write_text(content)
    program = Path(sys.executable).with_name("nestvec")
    arguments = ["serve", "--config", str(config)]
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=240, check=False)
    assert (done.returncode, json.loads(done.stderr)["level"]) == (1, "critical")
    arguments += ["--log-format", "text"]
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=240, check=False)
    assert done.stderr.startswith("nestvec: the configuration ")
