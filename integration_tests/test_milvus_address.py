"""Addresses of a real Milvus Lite server, as people write them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from integration_tests.fixtures.services import vacant_ports

import nestvec
from nestvec.dbapi import OperationalError

_HANG_SECONDS = 600


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a server."""
    (port,) = vacant_ports(1)
    program = str(Path(sys.executable).with_name("milvus-lite"))
    folder = tmp_path_factory.mktemp("server") / "a.db"
    process = subprocess.Popen([program, "server", "--data-dir", str(folder), "--port", str(port)])
    try:
        end = time.monotonic() + _HANG_SECONDS
        while True:
            try:
                nestvec.connect(f"127.0.0.1:{port}").close()
                break
            except OperationalError:
                assert process.poll() is None and time.monotonic() < end
                time.sleep(0.2)
        yield port
    finally:
        process.terminate()
        process.wait()


@pytest.mark.parametrize(
    "address",
    ["localhost:{}", "http://127.0.0.1:{}/", "milvus://localhost:{}/default", "root:Milvus@localhost:{}"],
)
def test_an_address_is_accepted(port: int, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with nestvec.connect(address.format(port)) as connection:
        assert connection.execute("SHOW TABLES").fetchall() == []
    monkeypatch.setenv("NESTVEC_URI", address.format(port))
    with nestvec.connect(timeout=_HANG_SECONDS) as connection:
        assert connection.execute("SHOW TABLES").fetchall() == []


def test_a_database_that_is_not_there(port: int) -> None:
    with pytest.raises(OperationalError, match="no database of this name: papers"):
        nestvec.connect(f"localhost:{port}/papers")


def test_tls_where_there_is_none(port: int) -> None:
    with pytest.raises(OperationalError, match="does not speak TLS"):
        nestvec.connect(f"https://localhost:{port}", timeout=3)


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan")])
def test_a_timeout_is_a_number_of_seconds(timeout: float) -> None:
    with pytest.raises(nestvec.dbapi.InterfaceError, match="not a number of seconds"):
        nestvec.connect("a.db", timeout=timeout)
