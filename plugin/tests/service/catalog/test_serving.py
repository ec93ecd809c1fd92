"""SIGHUP to ``nestvec serve`` in a process of its own."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import httpx
import pytest

from nestvec.client.service_client import fetch_info

from .conftest import WriteVersion, vector_of

HANG_SECONDS = 120

NESTVEC = (sys.executable, "-c", "from nestvec.cli import main; main()")

HANGS_UP_WHILE_IT_IMPORTS = """
import os, signal, sys
from importlib.abc import MetaPathFinder

class Hangup(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "nestvec.service.server":
            os.kill(os.getpid(), signal.SIGHUP)

sys.meta_path.insert(0, Hangup())
from nestvec.cli import main
main()
"""


@pytest.fixture(autouse=True)
def hangups_are_not_ignored() -> Iterator[None]:
    """A process inherits that a signal is ignored, as it is where the tests run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


class Process:
    """``nestvec serve``, and the lines that it writes."""

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        prefix: tuple[str, ...] = (),
        program: tuple[str, ...] = NESTVEC,
    ) -> None:
        command = [*prefix, *program, "serve", "--port", "0", *arguments]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.popen = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.lines: list[str] = []
        self._changed = threading.Condition()
        assert self.popen.stdout
        self._thread = threading.Thread(target=self._read, args=(self.popen.stdout,), daemon=True)
        self._thread.start()

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            with self._changed:
                self.lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self.lines.append("END")
            self._changed.notify_all()

    def wait_for(self, pattern: str, count: int = 1) -> str:
        """The line that matches for the ``count``-th time."""

        def matching() -> list[str]:
            return [line for line in self.lines if re.search(pattern, line)]

        with self._changed:
            self._changed.wait_for(
                lambda: len(matching()) >= count or "END" in self.lines, timeout=HANG_SECONDS
            )
            assert len(matching()) >= count, "".join(self.lines)
            return matching()[count - 1]


@contextmanager
def serving(
    folder: Path, *arguments: str, prefix: tuple[str, ...] = (), program: tuple[str, ...] = NESTVEC
) -> Iterator[tuple[Process, str]]:
    process = Process(folder, *arguments, prefix=prefix, program=program)
    try:
        address = re.search(r"http://\S+", process.wait_for("Serving at"))
        assert address
        yield process, address[0]
    finally:
        process.popen.terminate()
        process.popen.wait(HANG_SECONDS)


def embed(address: str, encoder: str, key: str) -> httpx.Response:
    return httpx.post(
        f"{address}/embed?encoder={encoder}",
        json={"inputs": "w5"},
        headers={"authorization": f"Bearer {key}"},
        timeout=HANG_SECONDS,
    )


def test_keys_encoders_and_the_aliases_of_the_config_are_read_again(
    write_version: WriteVersion, tmp_path: Path
) -> None:
    write_version(1, "tiny:1")
    keys, config = tmp_path / "keys.txt", tmp_path / "serve.yaml"
    keys.write_text("old-key\n")
    config.write_text("api-keys: keys.txt\nalias: {tiny: 'tiny:1'}\nengine: {engine: onnx, threads: 1}\n")
    with serving(tmp_path, "--config", str(config)) as (process, address):
        assert process.wait_for("^Engine: onnx ").endswith("(cpu, CPUExecutionProvider)\n")
        assert embed(address, "tiny", "old-key").json() == [vector_of("w5", 1)]
        write_version(2, "tiny:2")
        keys.write_text("new-key\n")
        config.write_text("api-keys: keys.txt\nalias: {tiny: 'tiny:2'}\nengine: {engine: onnx}\n")
        process.popen.send_signal(signal.SIGHUP)
        assert "1 encoders added, 0 replaced, 0 removed, 0 failed" in process.wait_for("reloaded: ")
        process.wait_for("option threads has changed too, and needs a restart")
        assert embed(address, "tiny", "old-key").status_code == 401
        assert embed(address, "tiny", "new-key").json() == [vector_of("w5", 2)]
        info = fetch_info(address, "new-key")
        assert info.aliases == {"tiny": "tiny:2"}
        assert info.encoder("tiny", address) == info.encoder("tiny:2", address)
        keys.write_text("not a key\n")
        process.popen.send_signal(signal.SIGHUP)
        process.wait_for("keys were not reloaded: .*is not an API key")
        process.wait_for("reloaded: ", 2)
        assert embed(address, "tiny", "new-key").status_code == 200
    assert process.popen.returncode == 0
    assert not [line for line in process.lines if "Traceback" in line]


def test_a_signal_that_comes_while_it_starts_reloads_once_it_serves(
    write_version: WriteVersion, tmp_path: Path
) -> None:
    write_version(1)
    program = (sys.executable, "-c", HANGS_UP_WHILE_IT_IMPORTS)
    with serving(tmp_path, program=program) as (process, address):
        process.wait_for("reloaded: ")
        assert embed(address, "tiny", "key").json() == [vector_of("w5", 1)]
    assert process.popen.returncode == 0


def test_nohup_keeps_its_meaning(write_version: WriteVersion, tmp_path: Path) -> None:
    write_version(1)
    with serving(tmp_path, prefix=("/usr/bin/env", "--ignore-signal=HUP")) as (process, address):
        write_version(2)
        process.popen.send_signal(signal.SIGHUP)
        assert embed(address, "tiny", "key").json() == [vector_of("w5", 1)]


def test_it_stops_when_its_terminal_is_closed(write_version: WriteVersion, tmp_path: Path) -> None:
    write_version(1)
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        os.execve(
            sys.executable,
            [*NESTVEC, "serve", "--port", "0"],
            {**os.environ, "OMP_NUM_THREADS": "1"},
        )
    output = b""
    while b"Serving at" not in output:
        output += os.read(terminal, 4096)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_device_that_cannot_be_used_is_an_error(
    write_version: WriteVersion, tmp_path: Path, device: str
) -> None:
    write_version(1)
    process = Process(tmp_path, "--device", device)
    process.wait_for(rf"does not support CUDA: {device}\. Install the GPU package.*onnxruntime-gpu")
    assert process.popen.wait(HANG_SECONDS) == 1
    process = Process(tmp_path, "--device", "gpu")
    process.wait_for("no such device: gpu. Use cpu, cuda")
    assert process.popen.wait(HANG_SECONDS) == 1
