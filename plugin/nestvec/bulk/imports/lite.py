"""Rows of bulk files into Milvus Lite, which has no import: upserted in order, under keys of their own."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq
from pymilvus import MilvusClient

from nestvec.bulk.imports.replay import ComputedVectors, giving_directly, replaying
from nestvec.bulk.locations import LocalCopies, OutputFolder, is_remote
from nestvec.bulk.manifest import (
    ImportRecord,
    OutputFile,
    TaskRecord,
    check_files,
    other_collection,
    write_imports,
)
from nestvec.bulk.parquet import FileColumns, read_batches
from nestvec.ingest.batches import RowBatch
from nestvec.ingest.write.batch_size import BatchSize
from nestvec.ingest.write.delivery import Delivery
from nestvec.ingest.write.patience import Patience
from nestvec.ingest.write.stored_keys import has_any
from nestvec.ingest.write.writable import write_checked
from nestvec.ingest.write.writers import KeyedWriter, LiteKeyWriter, Writer
from nestvec.milvus.catalog import Table
from nestvec.milvus.connection import milvus_errors
from nestvec.milvus.lite import count_rows
from nestvec_schemas.errors import IngestError

_BATCH_ROWS: Final = 1024
_SAMPLED_FILES: Final = 16

_NOTE_SECONDS: Final = 1.0
"""How long the record of what is inserted may wait: all of it is written each time, and of many files that
takes longer than their rows."""


class _NotedImports:
    """The record of what is inserted, written now and then: what it lacks is inserted again after a kill, and
    replaces itself."""

    def __init__(self, folder: OutputFolder) -> None:
        self._folder, self._written = folder, -math.inf
        self._waiting: dict[str, ImportRecord] | None = None

    def wait(self, imports: dict[str, ImportRecord]) -> None:
        """Note ``imports``, soon. Raises IngestError."""
        self._waiting = imports
        if time.monotonic() - self._written >= _NOTE_SECONDS:
            self.close()

    def close(self) -> None:
        """Write what waits. Raises IngestError."""
        if self._waiting is not None:
            write_imports(self._folder, self._waiting)
            self._waiting, self._written = None, time.monotonic()


@dataclass(frozen=True)
class LiteTarget:
    """A collection of Milvus Lite, and the files that go into it."""

    client: MilvusClient
    table: Table
    folder: OutputFolder

    first_key: int | None
    """The key of the source's first row, where Milvus generates the keys."""

    patience: Patience
    replaced_rows: int = 0
    """How many keys from the first one earlier plans used, whose rows may be in the collection."""

    copies: LocalCopies = field(default_factory=LocalCopies, repr=False, compare=False)
    """Where files of a folder in a store are while their rows are inserted."""

    @property
    def writer(self) -> Writer:
        """How rows are stored once, whatever is repeated."""
        dynamic = self.table.dynamic
        if self.first_key is None:
            return KeyedWriter(self.client, self.table, keeps_dynamic=dynamic)
        replaces = dynamic and self.replaced_rows > 0
        return LiteKeyWriter(self.client, self.table, self.first_key, keeps_dynamic=replaces)

    @contextmanager
    def inserting(
        self, imports: dict[str, ImportRecord], advance: Callable[[int], None]
    ) -> Iterator[Callable[[TaskRecord], int]]:
        """A function that writes the rows of a task's files that earlier runs did not, and returns how many.

        The last row of a key remains, so that the tasks have to come in the order of the source. Each file is
        compared with what was written before. The function raises NestvecError, StopRequested.
        """
        columns, vectors = FileColumns.of(self.table), ComputedVectors(self.table)
        noted = _NotedImports(self.folder)
        delivery = Delivery(
            partial(write_checked, self.writer, self.table, self.patience),
            BatchSize(_BATCH_ROWS),
            self.patience,
        )

        def insert(record: TaskRecord) -> int:
            check_files(self.folder, [record], imports, lambda rows: self.patience.check())
            offset, stored_rows = record.task.first, 0
            for file in record.files:
                if file.name in imports and imports[file.name].state == "done":
                    advance(file.rows)
                else:
                    for count in self._insert_file(file, columns, vectors, delivery, offset):
                        advance(count)
                        stored_rows += count
                    imports[file.name] = ImportRecord(file=file.name, state="done", rows=file.rows)
                    noted.wait(imports)
                offset += file.rows
            advance(record.rejected)
            return stored_rows

        with self._services(vectors), closing(noted):
            yield insert

    def remove_replaced(self, records: list[TaskRecord], replaced_rows: int) -> None:
        """Remove rows of earlier plans at places where the source has no row any more, or a rejected one.

        The first ``replaced_rows`` keys were theirs. Raises NestvecError.
        """
        if self.first_key is None:
            return
        for start, stop in _unused(records, replaced_rows):
            for first in range(start, stop, _BATCH_ROWS):
                keys = [self._key(offset) for offset in range(first, min(stop, first + _BATCH_ROWS))]
                with milvus_errors(f"removing replaced rows of {self.table.name}"):
                    self.client.delete(self.table.name, ids=keys)

    def check_collection(self, records: list[TaskRecord], imports: dict[str, ImportRecord]) -> None:
        """Raise JournalMismatch if the collection has nothing of what earlier runs inserted.

        Milvus Lite gives collections no ids by which one that was created again would show.
        """
        done = {name for name, progress in imports.items() if progress.state == "done"}
        files = [
            (record.task.first + sum(before.rows for before in record.files[:at]), file)
            for record in records
            for at, file in enumerate(record.files)
            if file.name in done and file.rows
        ]
        if not files:
            return
        keys = [key for offset, file in files[-_SAMPLED_FILES:] for key in self._last_key(file, offset)]
        stored = has_any(self.client, self.table, keys) if keys else False
        if not stored and (keys or not count_rows(self.client, self.table.name)):
            raise other_collection(self.table.name, f"none of its rows is of {files[0][1].name}")

    def _last_key(self, file: OutputFile, offset: int) -> list[int | str]:
        """The key of a file's last row; none if the file was removed since."""
        if self.first_key is not None:
            return [self._key(offset + file.rows - 1)]
        path = Path(self.folder.address, file.name)
        if is_remote(self.folder.address) or not path.is_file():
            return []
        with pq.ParquetFile(path) as stored:
            values = stored.read_row_group(stored.num_row_groups - 1, columns=[self.table.primary.name])
        return [values.column(0)[-1].as_py()]

    def _key(self, offset: int) -> int | str:
        """The generated key of a row, by its place in the source."""
        key = (self.first_key or 0) + offset
        return str(key) if self.table.primary.type == "VARCHAR" else key

    def _insert_file(
        self,
        file: OutputFile,
        columns: FileColumns,
        vectors: ComputedVectors,
        delivery: Delivery,
        offset: int,
    ) -> Iterator[int]:
        filled = frozenset(column.column for column in self.table.embeddings if not column.caller_is_nestvec)
        path = self._path(file.name)
        start = offset
        for batch in read_batches(path, columns, filled, _BATCH_ROWS):
            vectors.provide(batch.rows, batch.vectors)
            count = len(batch.rows)
            rows: tuple[dict[str, Any], ...] = tuple(batch.rows)
            part = RowBatch(start, count, rows=rows, source_rows=(), positions=tuple(range(count)))
            for done in delivery.deliver(part):
                if done.rejected:
                    raise IngestError(
                        f"Milvus Lite refuses a row of {file.name}",
                        value=str(done.rejected[0].reason),
                        next_step="Correct the row in the source, and begin again with --restart.",
                    )
            start += count
            yield count

    def _path(self, name: str) -> Path:
        if not is_remote(self.folder.address):
            return Path(self.folder.address, name)
        base, _, query = self.folder.address.partition("?")
        return self.copies.path(f"{base}/{name}" + (f"?{query}" if query else ""))

    @contextmanager
    def _services(self, vectors: ComputedVectors) -> Iterator[None]:
        with ExitStack() as stack:
            for service in self.table.services:
                stack.enter_context(giving_directly(service, vectors))
                stack.enter_context(replaying(service, vectors))
            yield


@dataclass
class OrderedInserts:
    """Inserts finished tasks in the order of the source, while later ones run."""

    done: Mapping[int, TaskRecord]
    """The finished tasks, by number; others are added meanwhile."""

    insert: Callable[[TaskRecord], int]
    rows: int = 0
    seconds: float = 0.0
    _next: int = 0

    def is_ready(self) -> bool:
        """Whether the next task is finished."""
        return self._next in self.done

    def step(self) -> None:
        """Insert the rows of the next task. Raises NestvecError, StopRequested."""
        started = time.monotonic()
        try:
            self.rows += self.insert(self.done[self._next])
        finally:
            self.seconds += time.monotonic() - started
        self._next += 1


def _unused(records: list[TaskRecord], rows: int) -> Iterator[tuple[int, int]]:
    """Ranges of the first ``rows`` places of a source that have no row in the files."""
    end = 0
    for record in sorted(records, key=lambda task_record: task_record.task.number):
        start, end = record.task.first + record.rows, record.task.first + record.task.rows
        yield start, min(end, rows)
    yield end, rows
