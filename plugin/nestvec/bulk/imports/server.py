"""Bulk files into a Milvus server, by its own import."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from nestvec.bulk.locations import OutputFolder
from nestvec.bulk.manifest import ImportRecord, OutputFile, other_collection, write_imports
from nestvec.ingest.write.patience import Patience, wait_for_milvus
from nestvec.milvus.catalog import Table
from nestvec.milvus.connection import milvus_errors
from nestvec_schemas.errors import StoreRefused

ALLOW_VECTORS: Final = "collection.function.allowInsertNonBM25FunctionOutputs"
"""The property of a collection that takes vectors of columns that Functions fill, instead of embedding them
again (Milvus 2.6)."""

_POLL_SECONDS: Final = 1.0
_MAX_LISTED: Final = 16_384
_STARTED, _DONE = "started", "done"
_COMPLETED: Final = (6,)
_FAILED: Final = (1, 7)
"""Of pymilvus's BulkInsertState."""


class ImportClient(Protocol):
    """What of pymilvus's handler is used."""

    def do_bulk_insert(
        self, collection_name: str, partition_name: str, files: list[str], *, retry_times: int
    ) -> int:
        """Start an import."""

    def get_bulk_insert_state(self, task_id: int) -> Any:
        """The state of an import."""

    def list_bulk_insert_tasks(self, limit: int, collection_name: str) -> list[Any]:
        """The imports of a collection."""


@dataclass
class ServerImport:
    """The import of a job's files into a collection of a server.

    A file is imported once: what was begun is recorded before, and after an interruption Milvus's own list of
    imports says whether it took the request.
    """

    handler: ImportClient
    table: Table
    folder: OutputFolder
    patience: Patience
    requests: int = 4
    """Imports at once."""

    collection_id: int = 0
    """Milvus's id of the collection; 0 if it says none."""

    sleep: Callable[[float], None] = time.sleep

    def run(
        self, files: list[OutputFile], imports: dict[str, ImportRecord], advance: Callable[[int], None]
    ) -> int:
        """Import the files that are not imported yet. Returns the rows of this run.

        Raises JournalMismatch if some were imported into another collection of this name, NestvecError.
        """
        self.check_collection(imports)
        self._adopt(imports)
        waiting = [file for file in files if self._state(imports, file) != _DONE]
        advance(sum(file.rows for file in files if self._state(imports, file) == _DONE))
        running: dict[int, OutputFile] = {}
        rows = 0
        while waiting or running:
            self.patience.check()
            while waiting and len(running) < self.requests:
                file = waiting.pop(0)
                running[self._start(imports, file)] = file
            done = [job for job in running if self._is_complete(job, running[job], imports)]
            for job in done:
                file = running.pop(job)
                imports[file.name] = self._record(file, _DONE, job, file.rows)
                write_imports(self.folder, imports)
                advance(file.rows)
                rows += file.rows
            if not done:
                self.sleep(_POLL_SECONDS)
        return rows

    def check_collection(self, imports: dict[str, ImportRecord]) -> None:
        """Raise JournalMismatch if a file was imported into another collection of this name."""
        ids = {record.collection for record in imports.values() if record.collection}
        if self.collection_id and ids - {self.collection_id}:
            value = f"id {self.collection_id}, at the import {', '.join(map(str, sorted(ids)))}"
            raise other_collection(self.table.name, value)

    def _record(self, file: OutputFile, state: str, job: int | None = None, rows: int = 0) -> ImportRecord:
        return ImportRecord(file=file.name, state=state, job=job, rows=rows, collection=self.collection_id)

    def _state(self, imports: dict[str, ImportRecord], file: OutputFile) -> str:
        return imports[file.name].state if file.name in imports else ""

    def _adopt(self, imports: dict[str, ImportRecord]) -> None:
        """Find the imports whose answer was lost: recorded as begun, without Milvus's id."""
        unanswered = {
            name for name, record in imports.items() if record.state == _STARTED and record.job is None
        }
        if not unanswered:
            return

        def listed() -> list[Any]:
            with milvus_errors(f"listing the imports into {self.table.name}"):
                return self.handler.list_bulk_insert_tasks(_MAX_LISTED, self.table.name)

        for state in wait_for_milvus(self.patience, listed, resumes=True):
            names = str(getattr(state, "infos", {}).get("files", ""))
            for name in unanswered:
                if self.folder.milvus_path(name) in names and state.state not in _FAILED:
                    imports[name] = imports[name].model_copy(update={"job": state.task_id})

    def _start(self, imports: dict[str, ImportRecord], file: OutputFile) -> int:
        record = imports.get(file.name)
        if record is not None and record.job is not None:
            return record.job
        imports[file.name] = self._record(file, _STARTED)
        write_imports(self.folder, imports)
        path = [self.folder.milvus_path(file.name)]
        # pymilvus sends a request again by itself, which would import the file twice.
        with milvus_errors(f"importing {file.name} into {self.table.name}"):
            job = int(self.handler.do_bulk_insert(self.table.name, "", path, retry_times=0))
        imports[file.name] = self._record(file, _STARTED, job)
        write_imports(self.folder, imports)
        return job

    def _is_complete(self, job: int, file: OutputFile, imports: dict[str, ImportRecord]) -> bool:
        def state() -> Any:
            with milvus_errors(f"reading the state of import {job}"):
                return self.handler.get_bulk_insert_state(job)

        present = wait_for_milvus(self.patience, state, resumes=True)
        if present.state in _FAILED:
            # Nothing of a failed import is stored, so that the next run imports the file again.
            del imports[file.name]
            write_imports(self.folder, imports)
            raise StoreRefused(
                f"Milvus could not import {file.name}",
                value=str(getattr(present, "failed_reason", "") or present.state)[:500],
                next_step="Check that --to is a folder of the store that Milvus reads its files from.",
            )
        return present.state in _COMPLETED


def allow_vectors(client: Any, table: Table) -> None:
    """Have a collection take the vectors of columns that Functions fill. Raises StoreError."""
    filled = [column for column in table.embeddings if not column.caller_is_nestvec]
    if filled and str(table.properties.get(ALLOW_VECTORS, "")).lower() != "true":
        with milvus_errors(f"changing the properties of {table.name}"):
            client.alter_collection_properties(table.name, properties={ALLOW_VECTORS: "true"})
