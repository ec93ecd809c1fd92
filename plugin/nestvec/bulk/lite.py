"""Rows of bulk files into Milvus Lite, which has no import: upserted in order, under keys of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pymilvus import MilvusClient

from nestvec.bulk.locations import LocalCopies, OutputFolder, is_remote
from nestvec.bulk.manifest import ImportRecord, OutputFile, TaskRecord, write_imports
from nestvec.bulk.parquet import FileColumns, read_batches
from nestvec.bulk.replay import ComputedVectors, replaying
from nestvec.ingest.batches import RowBatch
from nestvec.ingest.write.batch_size import BatchSize
from nestvec.ingest.write.delivery import Delivery
from nestvec.ingest.write.patience import Patience
from nestvec.ingest.write.writers import KeyedWriter, LiteKeyWriter, Writer
from nestvec.milvus.catalog import Table
from nestvec_schemas.errors import IngestError

_BATCH_ROWS: Final = 1024


@dataclass(frozen=True)
class LiteTarget:
    """A collection of Milvus Lite, and the files that go into it."""

    client: MilvusClient
    table: Table
    folder: OutputFolder

    first_key: int | None
    """The key of the source's first row, where Milvus generates the keys."""

    patience: Patience

    @property
    def writer(self) -> Writer:
        """How rows are stored once, whatever is repeated."""
        if self.first_key is None:
            return KeyedWriter(self.client, self.table)
        return LiteKeyWriter(self.client, self.table, self.first_key)

    def insert(
        self, records: list[TaskRecord], imports: dict[str, ImportRecord], advance: Callable[[int], None]
    ) -> int:
        """Write the rows of all files after those of earlier runs. Returns how many. Raises NestvecError."""
        columns = FileColumns.of(self.table)
        vectors, stored_rows = ComputedVectors(self.table), 0
        delivery = Delivery(self.writer, BatchSize(_BATCH_ROWS), self.patience)
        with self._services(vectors):
            for record in sorted(records, key=lambda task_record: task_record.task.number):
                offset = record.task.first
                for file in record.files:
                    progress = imports.get(file.name, ImportRecord(file=file.name, state="started"))
                    if progress.state != "done":
                        for count in self._insert_file(file, columns, vectors, delivery, offset):
                            advance(count)
                            stored_rows += count
                        imports[file.name] = ImportRecord(file=file.name, state="done", rows=file.rows)
                        write_imports(self.folder, imports)
                    else:
                        advance(file.rows)
                    offset += file.rows
        return stored_rows

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
        copies = LocalCopies()
        base, _, query = self.folder.address.partition("?")
        return copies.path(f"{base}/{name}" + (f"?{query}" if query else ""))

    @contextmanager
    def _services(self, vectors: ComputedVectors) -> Iterator[None]:
        with ExitStack() as stack:
            for service in self.table.services:
                stack.enter_context(replaying(service, vectors))
            yield
