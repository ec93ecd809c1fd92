"""Who reads and writes a collection while it is changed: one thread each, over real connections."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np
from pymilvus import MilvusClient

COLLECTION: Final = "docs"

_JOIN_SECONDS: Final = 600.0


def connect(uri: str) -> MilvusClient:
    """A client with a connection of its own: one that clients share does not outlive its Milvus."""
    return MilvusClient(uri, dedicated=True)


class Outage:
    """When Milvus was killed: what fails then says nothing about the change."""

    def __init__(self) -> None:
        self._lock, self._ends, self._down = threading.Lock(), 0, False

    def begin(self) -> None:
        """Milvus is killed."""
        with self._lock:
            self._down = True

    def end(self) -> None:
        """Milvus runs again, with its collections loaded."""
        with self._lock:
            self._down, self._ends = False, self._ends + 1

    def state(self) -> tuple[int, bool]:
        """Outages that have ended, and whether one lasts: the same before and after what none touched."""
        with self._lock:
            return self._ends, self._down


class _Thread:
    """Something done again and again over a connection that is opened again after an error."""

    def __init__(self, uri: str) -> None:
        self._uri, self._stopped = uri, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, after what is being done."""
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join(_JOIN_SECONDS)

    def _connected(self, use: Callable[[MilvusClient], Any]) -> Any:
        client = connect(self._uri)
        try:
            return use(client)
        finally:
            client.close()

    def _run(self) -> None:
        raise NotImplementedError


class Writer(_Thread):
    """Upserts and deletes rows, each until Milvus has acknowledged it, at a pace that follows the change."""

    def __init__(self, uri: str, texts: dict[int, str], upserts: int, deletes: int, seed: int) -> None:
        super().__init__(uri)
        rng = random.Random(seed)
        self.rows = dict(texts)
        """What was written last, by key."""

        self.untouched = sorted(rng.sample(sorted(texts), len(texts) // 2))
        """Keys that are never written."""

        others = sorted(set(texts) - set(self.untouched))
        rng.shuffle(others)
        doomed, changed = others[:deletes], others[deletes:]
        work: list[tuple[int, str | None]] = [(key, None) for key in doomed]
        for number in range(upserts):
            # A fifth are new rows, and some rows are written several times.
            key = len(texts) + number if number % 5 == 0 else rng.choice(changed)
            work.append((key, f"written {number} of {key}"))
        rng.shuffle(work)
        self._work = work
        self.upserted = self.deleted = 0
        self.deleting = 0
        """Deletes that were begun."""

        self._allowed, self._condition = 0, threading.Condition()

    def allow(self, share: float) -> None:
        """Let this share of all writes happen, those after the end aside."""
        with self._condition:
            self._allowed = max(self._allowed, min(len(self._work), int(share * len(self._work)) + 1))
            self._condition.notify()

    def finish(self) -> None:
        """Do what is left."""
        self.allow(1.0)
        self._thread.join(_JOIN_SECONDS)
        assert self.upserted + self.deleted == len(self._work)

    def _run(self) -> None:
        for place, (key, text) in enumerate(self._work):
            with self._condition:
                while self._allowed <= place and not self._stopped.is_set():
                    self._condition.wait(0.5)
            if text is None:
                self.deleting += 1
            while not self._stopped.is_set():
                try:
                    self._connected(partial(self._write, key=key, text=text))
                    break
                except Exception:
                    time.sleep(0.1)  # not acknowledged: the same again
            if self._stopped.is_set():
                return
            if text is None:
                self.rows.pop(key)
                self.deleted += 1
            else:
                self.rows[key] = text
                self.upserted += 1

    def _write(self, client: MilvusClient, key: int, text: str | None) -> None:
        if text is None:
            client.delete(COLLECTION, filter=f"id in [{key}]")
        else:
            client.upsert(COLLECTION, [{"id": key, "text": text}])


class Reader(_Thread):
    """Counts the rows, and reads and searches rows that nobody writes."""

    def __init__(self, uri: str, writer: Writer, outage: Outage, field: str, dim: int) -> None:
        super().__init__(uri)
        self._writer, self._outage, self._field = writer, outage, field
        self._initial = len(writer.rows)
        self._rng = np.random.default_rng(0)
        self._dim = dim
        self.reads, self.fewer = 0, 0
        self.errors: list[str] = []
        """What Milvus answered while it ran."""

    def finish(self) -> None:
        """End."""
        self.stop()
        assert self.reads

    def _run(self) -> None:
        while not self._stopped.is_set():
            before = self._outage.state()
            try:
                client = connect(self._uri)
                try:
                    while not self._stopped.is_set():
                        before = self._outage.state()
                        self._read(client)
                        self.reads += 1
                finally:
                    client.close()
            except Exception as error:
                # An outage that began meanwhile is noted before Milvus is killed.
                if not before[1] and self._outage.state() == before:
                    self.errors.append(f"{type(error).__name__}: {error}"[:300])
                time.sleep(0.1)

    def _read(self, client: MilvusClient) -> None:
        counted = client.query(COLLECTION, filter="", output_fields=["count(*)"])[0]["count(*)"]
        missing = counted < self._initial - self._writer.deleting
        keys = [int(key) for key in self._rng.choice(self._writer.untouched, 5, replace=False)]
        rows = client.query(COLLECTION, filter=f"id in {keys}", output_fields=["id"])
        missing |= {int(row["id"]) for row in rows} != set(keys)
        vector = self._rng.normal(size=self._dim).astype(np.float32).tolist()
        hits = client.search(COLLECTION, data=[vector], anns_field=self._field, limit=10)
        missing |= len(hits[0]) != 10
        self.fewer += bool(missing)
