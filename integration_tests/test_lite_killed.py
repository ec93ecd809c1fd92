"""A ``milvus-lite server`` that is killed while it writes: what the next one contains."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from integration_tests.fixtures.lite_server import LiteServer
from pymilvus import DataType, MilvusClient, MilvusException

from nestvec.milvus.connection import open_milvus

SECONDS = 600
BATCH = 50


@pytest.fixture
def lite(tmp_path: Path) -> Iterator[LiteServer]:
    server = LiteServer(tmp_path / "d")
    server.start()
    yield server
    server.kill()


def create(client: MilvusClient, *, auto_id: bool) -> None:
    schema = client.create_schema(auto_id=auto_id)
    schema.add_field("id", DataType.INT64, is_primary=True, auto_id=auto_id)
    schema.add_field("note", DataType.VARCHAR, max_length=10)
    schema.add_field("v", DataType.FLOAT_VECTOR, dim=64)
    client.create_collection("c", schema=schema)


def rows(start: int, *, keys: bool = True, note: str = "") -> list[dict[str, Any]]:
    numbers = range(start, start + BATCH)
    return [{"note": note or str(n), "v": [float(n)] * 64} | ({"id": n} if keys else {}) for n in numbers]


def stored(client: MilvusClient) -> dict[int, str]:
    client.load_collection("c")
    found = client.query("c", filter="", output_fields=["id", "note"], limit=16_384)
    count = client.query("c", filter="", output_fields=["count(*)"])[0]["count(*)"]
    assert count == len(found) == len({row["id"] for row in found})
    return {row["id"]: row["note"] for row in found}


def test_answered_writes_are_there_and_the_last_one_wholly_or_not(lite: LiteServer) -> None:
    written = 0
    enough = threading.Event()

    def write() -> None:
        nonlocal written
        with open_milvus(lite.uri) as client:
            create(client, auto_id=False)
            for start in range(0, 10_000, BATCH):
                try:
                    client.upsert("c", rows(start), retry_times=0)
                except MilvusException:
                    return
                written = start + BATCH
                if written >= 10 * BATCH:
                    enough.set()

    writer = threading.Thread(target=write)
    writer.start()
    assert enough.wait(SECONDS)
    lite.kill()
    writer.join(SECONDS)
    assert not writer.is_alive()
    lite.start()
    with open_milvus(lite.uri) as client:
        numbers = sorted(stored(client))
        assert numbers == list(range(len(numbers)))
        assert len(numbers) in (written, written + BATCH)
        # What is written again replaces what is there.
        client.upsert("c", rows(written - BATCH, note="again"))
        assert len(stored(client)) == len(numbers)
        client.upsert("c", rows(written, note="again"))
        after = stored(client)
    assert sorted(after) == list(range(written + BATCH))
    assert [note for key, note in after.items() if key >= written - BATCH] == ["again"] * 2 * BATCH
    lite.kill()
    lite.start()
    with open_milvus(lite.uri) as client:
        assert stored(client) == after


def test_generated_keys_are_used_twice_after_failed_writes(lite: LiteServer) -> None:
    """Why an ingest makes the keys itself. If this fails, Milvus Lite has corrected it."""
    with open_milvus(lite.uri) as client:
        create(client, auto_id=True)
        client.insert("c", rows(0, keys=False))
        with pytest.raises(MilvusException):
            client.insert("c", rows(0, keys=False, note="x" * 50))
        client.insert("c", rows(BATCH, keys=False))
    lite.kill()
    lite.start()
    with open_milvus(lite.uri) as client:
        client.insert("c", rows(2 * BATCH, keys=False))
        assert len(stored(client)) < 3 * BATCH
