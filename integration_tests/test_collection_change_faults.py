"""A disk without space and a Milvus that is lost while a collection changes: an error, and no half of it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from integration_tests.fixtures.changes import Late, embedding, killed
from integration_tests.fixtures.lite_server import LiteServer
from integration_tests.test_collection_change_kinds import keyed, values
from pymilvus import MilvusClient

from nestvec.collections.change.run import ChangeOptions, plan_or_continue, run_change
from nestvec.ingest.options import DeliveryOptions
from nestvec.ingest.write.patience import Waiting
from nestvec.milvus.connection import open_milvus
from nestvec_schemas.errors import StoreError, StoreRefused

pytestmark = pytest.mark.usefixtures("no_late_writers")
SECONDS = 600
ROWS = 600


@pytest.fixture
def start() -> Iterator[Callable[[Path], LiteServer]]:
    servers = list[LiteServer]()

    def start(folder: Path) -> LiteServer:
        servers.append(LiteServer(folder))
        servers[-1].start()
        return servers[-1]

    yield start
    for server in servers:
        server.kill()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 12 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "none", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("this user may not mount a file system")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def filled(client: MilvusClient, rows: int = ROWS) -> None:
    keyed(client, "c")
    for first in range(0, rows, 300):
        client.insert("c", [values(number) | {"id": number} for number in range(first, first + 300)])
    client.flush("c")


def check_unchanged(client: MilvusClient) -> None:
    """The name leads to the collection of before, which has its rows."""
    client.load_collection("c")
    assert client.describe_collection("c")["collection_name"] == "c"
    assert client.query("c", filter="", output_fields=["count(*)"])[0]["count(*)"] == ROWS


def check_changed(client: MilvusClient) -> None:
    client.load_collection("c")
    assert client.describe_collection("c")["collection_name"] == "c__1"
    rows = client.query("c", filter="", limit=10_000, output_fields=["id", "text", "text_256"])
    assert {row["id"]: row["text"] for row in rows} == {n: f"text {n}" for n in range(ROWS)}
    assert len(rows) == ROWS
    assert all(any(row["text_256"]) for row in rows)


def fill_up(disk: Path) -> Path:
    """A file that takes what is left of a file system."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(bytes(1024))
    return ballast


def until_full(disk: Path, rows: int) -> Callable[[int], None]:
    """What fills a file system up once so many rows are copied."""
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        if done >= rows and not (disk / "ballast").exists():
            fill_up(disk)

    return advance


@pytest.mark.parametrize("full", ["milvus", "journal"])
def test_a_disk_that_is_full(
    full: str,
    small_disk: Path,
    start: Callable[[Path], LiteServer],
    service: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str((small_disk if full == "journal" else tmp_path) / "state"))
    server = start((small_disk if full == "milvus" else tmp_path) / "milvus")
    change = embedding(service, 256)
    with open_milvus(server.uri) as client:
        filled(client)
        plan, _ = plan_or_continue(client, "c", change)
        options = ChangeOptions(
            delivery=DeliveryOptions(retry_seconds=1), advance=until_full(small_disk, ROWS // 3)
        )
        with pytest.raises(StoreRefused) as failed:
            run_change(client, plan, change, options)
        assert re.search("No space left|disk is full|I/O error", str(failed.value))
        check_unchanged(client)
        (small_disk / "ballast").unlink()
        plan, continues = plan_or_continue(client, "c", change)
        assert continues
        run_change(client, plan, change)
        check_changed(client)


def test_a_milvus_that_is_lost_and_comes_back(
    start: Callable[[Path], LiteServer], service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    server = start(tmp_path / "milvus")
    change = embedding(service, 256)
    waits, lost, done = list[str](), list[int](), 0

    def restart(waiting: Waiting) -> None:
        if not waits:
            server.start()
        waits.append(waiting.fault.reason)

    def lose(rows: int) -> None:
        nonlocal done
        done += rows
        if done >= ROWS // 3 and not lost:
            lost.append(done)
            server.kill()

    with open_milvus(server.uri) as client:
        filled(client)
        plan, _ = plan_or_continue(client, "c", change)
        delivery = DeliveryOptions(retry_seconds=SECONDS, waiting=restart)
        run_change(client, plan, change, ChangeOptions(delivery=delivery, advance=lose))
        assert lost
        assert waits
        check_changed(client)


def test_a_milvus_that_stays_lost(
    start: Callable[[Path], LiteServer], service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    server = start(tmp_path / "milvus")
    change = embedding(service, 256)
    with open_milvus(server.uri) as client:
        filled(client)
        plan, _ = plan_or_continue(client, "c", change)
        options = ChangeOptions(delivery=DeliveryOptions(retry_seconds=0), advance=lambda rows: server.kill())
        with pytest.raises(StoreError) as failed:
            run_change(client, plan, change, options)
        assert failed.value.next_step
    server.start()
    with open_milvus(server.uri) as client:
        check_unchanged(client)
        run_change(client, plan_or_continue(client, "c", change)[0], change)
        check_changed(client)


def test_a_request_that_is_carried_out_after_its_command_was_killed(
    client: MilvusClient, service: str
) -> None:
    filled(client)
    change = embedding(service, 256)
    stale = [values(0) | {"id": 0, "text": "a stale text"}, values(1) | {"id": ROWS, "text": "gone"}]
    client.upsert("c", stale)
    killed(client, change, "upsert", name="c")
    client.upsert("c", [values(0) | {"id": 0}])
    client.delete("c", filter=f"id == {ROWS}")
    copied = 0

    def count(rows: int) -> None:
        nonlocal copied
        copied += rows

    # Rows that may be in the copy are deleted there before they are written anew: that is too early.
    late: Any = Late(client, "delete", lambda: client.upsert("c__1", stale), lambda: copied >= ROWS)
    plan, _ = plan_or_continue(client, "c", change)
    run_change(late, plan, change, ChangeOptions(advance=count))
    assert late.done
    assert copied == ROWS + 1
    check_changed(client)
