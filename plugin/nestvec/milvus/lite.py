"""What differs where the server is Milvus Lite, which opens with no collection loaded."""

from __future__ import annotations

import threading
from typing import Any

from pymilvus import MilvusClient
from pymilvus.client.types import LoadState

from nestvec.milvus.connection import HasServerVersion, milvus_errors
from nestvec.milvus.server_version import read_version


def is_lite(client: HasServerVersion) -> bool:
    """Whether a connection's server is Milvus Lite. Raises StoreError."""
    return read_version(client).lite


def load_lite(client: MilvusClient, collection: str) -> None:
    """Load a collection of Milvus Lite, which opens with none loaded. On a server, that is up to its
    operator."""
    with milvus_errors(f"loading collection {collection}"):
        released = client.get_load_state(collection)["state"] == LoadState.NotLoad
    if released and is_lite(client):
        with milvus_errors(f"loading collection {collection}"):
            client.load_collection(collection)


def count_rows(client: MilvusClient, name: str) -> int:
    """The number of rows of a collection, all writes included; loads it if necessary. Raises StoreError."""
    with milvus_errors(f"counting the rows of {name}"):
        # Milvus Lite forgets what is loaded when the database is closed.
        if not is_loaded(client, name):
            client.load_collection(name)
        answer = client.query(name, filter="", output_fields=["count(*)"], consistency_level="Strong")
    return int(answer[0]["count(*)"])


def is_loaded(client: MilvusClient, name: str) -> bool:
    """Whether a collection is loaded."""
    return bool(client.get_load_state(name)["state"].name == "Loaded")


def open_once() -> None:
    """Let one request at a time open a collection of a Milvus Lite in this process.

    ``MilvusLite.get_collection`` of Milvus Lite 3.2 does not lock: two requests that come at once for a
    collection that is not open yet open it twice, and what is written to one of the two is lost.
    """
    # Imported late: a server needs no Milvus Lite.
    from milvus_lite.db import MilvusLite  # noqa: PLC0415

    unlocked, lock = MilvusLite.get_collection, threading.RLock()
    if getattr(unlocked, "opens_once", False):
        return

    def get_collection(self: Any, *args: Any, **options: Any) -> Any:
        with lock:
            return unlocked(self, *args, **options)

    get_collection.opens_once = True  # type: ignore[attr-defined]
    MilvusLite.get_collection = get_collection
