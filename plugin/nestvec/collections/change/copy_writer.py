"""The requests by which a copy gets its rows: how long they take, and which rows they leave as they are."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final

from pymilvus import MilvusClient

from nestvec.ingest.batches import RowBatch
from nestvec.ingest.write.writers import KeyedWriter

_REQUEST_SECONDS: Final = 2.0
"""How long a request that writes a few rows takes at most, as a rule, where those of a change are faster."""


@dataclass
class RequestTimes:
    """How long the requests of a change take."""

    slowest: float = 0.0
    """Seconds."""

    def quiet_seconds(self) -> float:
        """How long no row may have changed until a request that began before must have ended."""
        return max(_REQUEST_SECONDS, self.slowest)


@dataclass(frozen=True)
class CopyWriter:
    """Writes batches to the second collection, by ``write``, and notes how long each takes."""

    repeatable: ClassVar[bool] = True

    writer: KeyedWriter
    write: Callable[[KeyedWriter, RowBatch], None]
    times: RequestTimes

    @property
    def client(self) -> MilvusClient:
        """The connection that it writes by."""
        return self.writer.client

    def __call__(self, batch: RowBatch) -> RowBatch:
        """Write a batch and return it. Raises NestvecError."""
        began = time.monotonic()
        self.write(self.writer, batch)
        self.times.slowest = max(self.times.slowest, time.monotonic() - began)
        return batch
