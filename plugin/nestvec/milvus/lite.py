"""What differs where the server is Milvus Lite, which opens with no collection loaded."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

from pymilvus import MilvusClient
from pymilvus.client.types import LoadState

from nestvec.milvus.connection import HasServerVersion, milvus_errors
from nestvec.milvus.server_version import read_version

_MAX_WAITING: Final = 6
"""Of the server's ten threads, which also answer whoever the writes wait for."""

_MAX_SECONDS: Final = 60.0
"""How long a write waits, and is waited for: longer than a service may embed its texts."""


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


class _Writes:
    """Writes to Milvus Lite in this process, and steps that none of them may come between.

    Milvus has no conditional write: between reading a row and replacing it, anybody may write it. Where the
    server runs in this process, its writes can wait meanwhile.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running = 0
        self._waiting = 0
        self._alone: str | None = None

    @contextmanager
    def write(self, collection: str) -> Iterator[None]:
        """One write, which waits as long as the writer of another collection is alone."""
        with self._changed:
            if self._alone not in (None, collection) and self._waiting < _MAX_WAITING:
                self._waiting += 1
                self._changed.wait_for(lambda: self._alone in (None, collection), _MAX_SECONDS)
                self._waiting -= 1
            counts = self._alone != collection
            self._running += counts
        try:
            yield
        finally:
            with self._changed:
                self._running -= counts
                self._changed.notify_all()

    @contextmanager
    def alone(self, collection: str) -> Iterator[None]:
        """Let the writes that are under way end, and have all but those to ``collection`` wait."""
        with self._changed:
            self._changed.wait_for(lambda: self._alone is None)
            self._alone = collection
        try:
            with self._changed:
                self._changed.wait_for(lambda: not self._running, _MAX_SECONDS)
            yield
        finally:
            with self._changed:
                self._alone = None
                self._changed.notify_all()


_WRITES: Final = _Writes()


def write_alone(collection: str) -> AbstractContextManager[None]:
    """A block that no write to a Milvus Lite in this process comes between, but those to ``collection``.

    Writes that name it by an alias wait, too. Milvus Lite databases that pymilvus alone has opened, and
    servers of their own, do not notice.
    """
    return _WRITES.alone(collection)


def count_writes() -> None:
    """Have the Milvus Lite servers that start in this process from now on count their writes."""
    # Imported late: a server needs no Milvus Lite.
    from milvus_lite.adapter.grpc.servicer import MilvusServicer  # noqa: PLC0415

    for name in ("Insert", "Upsert", "Delete"):
        method = getattr(MilvusServicer, name)
        if not getattr(method, "counts_writes", False):
            setattr(MilvusServicer, name, _counting(method))


def _counting(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: Any, request: Any, context: Any) -> Any:
        with _WRITES.write(request.collection_name):
            return method(self, request, context)

    call.counts_writes = True  # type: ignore[attr-defined]
    return call
