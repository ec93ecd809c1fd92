"""A real Triton server on free loopback ports, from the environment that ``make test`` builds."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import httpx
import pytest
from integration_tests.fixtures.services import vacant_ports

ROOT = Path(__file__).parents[2]
START_SECONDS = 240.0


def _tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("triton_server", ROOT / "tools" / "triton" / "server.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class Triton:
    """One server that can be started, killed and started again on the same ports."""

    def __init__(self, tool: ModuleType, venv: Path, log: Path) -> None:
        self._tool, self._venv, self._log = tool, venv, log
        self._ports = tool.Ports(*vacant_ports(3))
        self._process: subprocess.Popen[bytes] | None = None
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self._ports.http}", timeout=60, trust_env=False)

    @property
    def url(self) -> str:
        return f"127.0.0.1:{self._ports.grpc}"

    @property
    def pid(self) -> int:
        """The server's process, whose children run its models."""
        assert self._process is not None
        return self._process.pid

    def start(self, models: Path, control: str = "none") -> None:
        """Start over ``models`` and wait until it answers, and has loaded what it can."""
        line = self._tool.command(self._venv, models, self._ports, control)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                line,
                env=self._tool.environment(self._venv),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            with contextlib.suppress(httpx.TransportError):
                if self.http.get("/v2/health/live").status_code == 200:
                    return
            self.check_running()
            time.sleep(0.05)
        raise AssertionError(self._log.read_text()[-3000:])

    def start_again_if_ended(self, models: Path) -> None:
        """Its Python backend (2.51) can end it with a lock_exception after its processes stood still."""
        if self._process is not None and self._process.poll() is not None:
            self.kill()
            self.start(models)

    def check_running(self) -> None:
        """Fail with its log if its process ended."""
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()[-3000:]

    def signal(self, number: signal.Signals) -> None:
        """To the server and the stubs that run its models."""
        assert self._process is not None
        os.killpg(self._process.pid, number)

    def kill(self) -> None:
        """As the kernel does when memory is short: no goodbye."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.signal(signal.SIGKILL)
            self._process.wait()
            self._process = None
            for left in Path("/dev/shm").glob(f"{self._tool.shared_memory(self._ports)}*"):
                left.unlink(missing_ok=True)

    def ask(self, action: str, name: str) -> httpx.Response:
        """Load or unload a model (control mode explicit)."""
        return self.http.post(f"/v2/repository/models/{name}/{action}", json={})


@pytest.fixture(scope="session")
def triton_tool() -> ModuleType:
    return _tool()


@pytest.fixture(scope="session")
def triton_venv(triton_tool: ModuleType) -> Path:
    """NESTVEC_TRITON names another environment than the one beside the checkout."""
    venv = Path(os.environ.get("NESTVEC_TRITON", triton_tool.VENV))
    triton_tool.setup(venv)
    return venv


@pytest.fixture
def triton(triton_tool: ModuleType, triton_venv: Path, tmp_path: Path) -> Iterator[Triton]:
    """Not started yet."""
    server = Triton(triton_tool, triton_venv, tmp_path / "triton.log")
    yield server
    server.kill()
    server.http.close()


@pytest.fixture
def repository(models: Path, tmp_path: Path) -> Path:
    """A copy of the model repository that a test may change."""
    return Path(shutil.copytree(models, tmp_path / "repository"))
