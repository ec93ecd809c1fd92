"""Two requests at once for a collection of Milvus Lite that is not open yet."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from milvus_lite.db import MilvusLite
from pymilvus import MilvusClient

from nestvec.milvus.connection import open_milvus


def test_a_collection_is_opened_once(tmp_path: Path) -> None:
    path = str(tmp_path / "papers.db")
    with open_milvus(path) as client:
        client.create_collection("papers", dimension=4)
    for _ in range(20):
        database = MilvusLite(path)
        barrier, opened = threading.Barrier(2), list[Any]()

        def request(
            database: MilvusLite = database, barrier: threading.Barrier = barrier, opened: list[Any] = opened
        ) -> None:
            barrier.wait(60)
            opened.append(database.get_collection("papers"))

        threads = [threading.Thread(target=request) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        database.close()
        assert opened[0] is opened[1]


def test_requests_are_answered_as_before(tmp_path: Path) -> None:
    with open_milvus(str(tmp_path / "papers.db")) as client:
        assert isinstance(client, MilvusClient)
        client.create_collection("papers", dimension=4)
        client.insert("papers", [{"id": 1, "vector": [1, 2, 3, 4]}])
        assert client.query("papers", filter="id == 1", output_fields=["id"])[0]["id"] == 1
