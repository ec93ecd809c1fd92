"""How a batch is written so that it is stored once, although an answer may be lost.

Rows with keys are upserted: what is written twice is stored once. Milvus Lite takes keys for a collection
whose keys it generates, so that these rows have keys too. On a Milvus server that generates the keys, only
the collection's count says whether a batch was stored.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Protocol

from pymilvus import MilvusClient

from nestvec.ingest.batches import RowBatch
from nestvec.ingest.journal import unknown_batch
from nestvec.ingest.write.faults import classify
from nestvec.ingest.write.patience import Patience
from nestvec.ingest.write.stored_keys import key_filter
from nestvec.milvus.catalog import DYNAMIC_COLUMN, Table
from nestvec.milvus.connection import milvus_errors
from nestvec.milvus.lite import count_rows, load_lite
from nestvec_schemas.errors import NestvecError

SETTLE_SECONDS: Final = 35.0
"""How long a server may still work on a request whose connection was lost: Milvus embeds for 30 s."""

_KEY_BITS: Final = 18
"""Keys of a millisecond, as in Milvus's own generated keys: a time, then a counter."""

_NO_RETRIES: Final[dict[str, Any]] = {"retry_times": 0}
"""pymilvus sends a request again by itself, which doubles rows that the server generates keys for."""


class Writer(Protocol):
    """Writes batches to a collection."""

    repeatable: ClassVar[bool]
    """Whether a batch that is written twice is stored once."""

    @property
    def client(self) -> MilvusClient:
        """The connection that it writes by."""
        ...

    def __call__(self, batch: RowBatch) -> RowBatch:
        """Write a batch and return it. Raises NestvecError."""
        ...


@dataclass(frozen=True)
class KeyedWriter:
    """Upserts rows that have keys."""

    repeatable: ClassVar[bool] = True

    client: MilvusClient
    table: Table

    partition: str = ""
    """The partition of the rows; empty where Milvus chooses it."""

    keeps_dynamic: bool = False
    """Whether a row would keep the dynamic fields of the one that it replaces, as in Milvus Lite."""

    def __call__(self, batch: RowBatch) -> RowBatch:
        """Write a batch and return it. Raises NestvecError."""
        if batch.rows:
            rows = list(batch.rows)
            rows = _with_nulls(self.client, self.table, rows) if self.keeps_dynamic else rows
            _upsert(self.client, self.table, rows, self.partition)
        return batch


@dataclass(frozen=True)
class LiteKeyWriter:
    """Upserts rows under keys that are made here from their positions in the source.

    Milvus Lite 3.2 reuses generated keys: after requests that failed, and then a restart, it stores new rows
    over old ones. Keys of this size are never among those that it generates.
    """

    repeatable: ClassVar[bool] = True

    client: MilvusClient
    table: Table

    first_key: int
    """The key of the source's first row."""

    keeps_dynamic: bool = False
    """Whether rows replace others, whose dynamic fields they would keep."""

    def __call__(self, batch: RowBatch) -> RowBatch:
        """Write a batch and return it. Raises NestvecError."""
        if not batch.rows:
            return batch
        key = self.table.primary
        first = self.first_key + batch.start
        text = key.type == "VARCHAR"
        rows = [
            {**row, key.name: str(first + position) if text else first + position}
            for row, position in zip(batch.rows, batch.positions, strict=True)
        ]
        rows = _with_nulls(self.client, self.table, rows) if self.keeps_dynamic else rows
        _upsert(self.client, self.table, rows)
        return batch


def new_first_key() -> int:
    """A key from the present time, after which those of the next 2**18 rows a millisecond are free."""
    return (time.time_ns() // 1_000_000) << _KEY_BITS


@dataclass
class CountedWriter:
    """Inserts rows that a Milvus server generates keys for, one request at a time.

    If the answer is lost, the collection's count says whether the batch was stored: nothing else may write
    to it meanwhile.
    """

    repeatable: ClassVar[bool] = False

    client: MilvusClient
    table: Table
    patience: Patience

    before: Callable[[RowBatch, int], None] = lambda batch, count: None
    """Called with a batch and the collection's count before the batch is written."""

    _count: int | None = field(default=None, init=False)

    def __call__(self, batch: RowBatch) -> RowBatch:
        """Write a batch and return it. Raises NestvecError, JournalMismatch if the count is unexpected."""
        if not batch.rows:
            return batch
        count = count_rows(self.client, self.table.name) if self._count is None else self._count
        self.before(batch, count)
        try:
            doing = f"writing {len(batch.rows)} rows to {self.table.name}"
            with milvus_errors(doing):
                self.client.insert(self.table.name, list(batch.rows), **_NO_RETRIES)
        except NestvecError as error:
            if classify(error).before_write:
                raise
            self._count = None
            if not self._was_stored(batch, count, error):
                raise
        self._count = count + len(batch.rows)
        return batch

    def _was_stored(self, batch: RowBatch, before: int, error: NestvecError) -> bool:
        lost = classify(error).kind == "transient"
        stored, rows = before + len(batch.rows), len(batch.rows)
        now = settle_count(
            lambda: count_rows(self.client, self.table.name),
            stored,
            self.patience,
            settle_seconds=SETTLE_SECONDS if lost else 0,
        )
        if now not in (before, stored):
            raise unknown_batch(now, before, rows)
        return now == stored


def settle_count(
    count: Callable[[], int], expected: int, patience: Patience, *, settle_seconds: float
) -> int:
    """The collection's count, once it is ``expected``, or after the time in which it may still become that.

    Waits until Milvus answers. Raises what ``Patience.wait`` raises.
    """
    clock = patience.clock
    until = clock.now() + settle_seconds
    while True:
        try:
            now = count()
        except NestvecError as error:
            fault = classify(error)
            if fault.kind == "lasting":
                raise
            patience.wait(fault, error)
            continue
        if now == expected or clock.now() >= until:
            return now
        patience.check()
        clock.sleep(1.0)


def _upsert(client: MilvusClient, table: Table, rows: list[dict[str, object]], partition: str = "") -> None:
    options = {"partition_name": partition} if partition else {}
    with milvus_errors(f"writing {len(rows)} rows to {table.name}"):
        client.upsert(table.name, rows, **options, **_NO_RETRIES)


def _with_nulls(client: MilvusClient, table: Table, rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """The rows with NULL for each dynamic field that only the row has which one of them replaces."""
    key, columns = table.primary.name, table.field_names | {DYNAMIC_COLUMN.name}
    load_lite(client, table.name)
    with milvus_errors(f"reading the rows of {table.name} that are to be replaced"):
        present = client.query(
            table.name,
            filter=key_filter(table.primary, [row[key] for row in rows]),
            output_fields=[key, DYNAMIC_COLUMN.name],
        )
    names = {
        before[key]: [name for name, value in before.items() if name not in columns and value is not None]
        for before in present
    }
    return [dict.fromkeys(names.get(row[key], ()), None) | row for row in rows]
