"""Two requests at once for a collection of Milvus Lite that is not open yet."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import milvus_lite.db
import pytest
from milvus_lite.db import MilvusLite
from pymilvus import MilvusClient

from nestvec.milvus.connection import open_milvus


def test_a_collection_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "papers.db")
    with open_milvus(path) as client:
        client.create_collection("papers", dimension=4)
    database, opened, opening = MilvusLite(path), list[Any](), threading.Barrier(2)
    read_schema = milvus_lite.db.load_schema

    def read_slowly(file: str) -> Any:
        # Two that open it at once meet here; one alone goes on after a second.
        with suppress(threading.BrokenBarrierError):
            opening.wait(1)
        return read_schema(file)

    monkeypatch.setattr(milvus_lite.db, "load_schema", read_slowly)
    threads = [
        threading.Thread(target=lambda: opened.append(database.get_collection("papers"))) for _ in "ab"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    database.close()
    assert len(opened) == 2
    assert opened[0] is opened[1]


def test_requests_are_answered_as_before(tmp_path: Path) -> None:
    with open_milvus(str(tmp_path / "papers.db")) as client:
        assert isinstance(client, MilvusClient)
        client.create_collection("papers", dimension=4)
        client.insert("papers", [{"id": 1, "vector": [1, 2, 3, 4]}])
        assert client.query("papers", filter="id == 1", output_fields=["id"])[0]["id"] == 1
