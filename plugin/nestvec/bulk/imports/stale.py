"""Rows of before a restart that the source no longer has, in Milvus Lite under keys of the source."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import duckdb
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from pymilvus import MilvusClient

from nestvec.bulk.locations import OutputFolder, is_remote, open_store, store_errors
from nestvec.bulk.manifest import FILES, TaskRecord
from nestvec.ingest.write.stored_keys import stored_keys
from nestvec.milvus.catalog import Column, Table
from nestvec_schemas.errors import FileUnreadable, IngestError

logger = logging.getLogger(__name__)

EARLIER_KEYS: Final = "earlier_keys.parquet"
"""The keys in the files of before."""

STALE_KEYS: Final = "stale_keys.jsonl"
"""Those that are in the collection and not in the source."""

_QUERY_KEYS: Final = 1024
_BATCH_ROWS: Final = 1 << 16
_MEMORY: Final = "256MB"
_SQL_TYPES: Final = {"INT64": "BIGINT"}


def keep_keys(folder: OutputFolder, primary: Column) -> None:
    """Note the keys of a job's rows, whose files are about to be removed; none if a file is damaged, or has
    the keys of another collection of this name. Raises NestvecError."""
    files = [f"{FILES}/{name}" for name in folder.names(FILES) if not name.startswith(".")]
    earlier = [EARLIER_KEYS] if folder.exists(EARLIER_KEYS) else []
    if not files:
        return
    with _key_tables(primary) as tables, folder.temporary(EARLIER_KEYS) as path:
        try:
            _fill(tables, "earlier", _batches(folder, [*earlier, *files], primary))
        except FileUnreadable as error:
            logger.warning("rows that the source no longer has are not listed after this restart: %s", error)
            folder.remove(EARLIER_KEYS)
            return
        keys = tables.execute("SELECT DISTINCT key FROM earlier").to_arrow_reader(_BATCH_ROWS)
        with pq.ParquetWriter(path, pa.schema([(primary.name, _kind(primary))])) as writer:
            for batch in keys:
                writer.write_batch(batch.rename_columns([primary.name]))
        folder.publish(path, EARLIER_KEYS)


def list_stale(client: MilvusClient, table: Table, folder: OutputFolder, records: list[TaskRecord]) -> int:
    """Write the keys of before that the collection has and no file of the job, and return how many there are;
    0 if files were removed. Raises NestvecError."""
    present = set(folder.names(FILES))
    files = [file.name for record in records for file in record.files]
    folder.remove(STALE_KEYS)
    if not folder.exists(EARLIER_KEYS) or not present.issuperset(
        name.removeprefix(f"{FILES}/") for name in files
    ):
        return 0
    key, count = table.primary, 0
    with _key_tables(key) as tables, folder.temporary(STALE_KEYS) as path:
        _fill(tables, "earlier", _batches(folder, [EARLIER_KEYS], key))
        _fill(tables, "present", _batches(folder, files, key))
        absent = tables.execute("SELECT key FROM earlier ANTI JOIN present USING (key) ORDER BY key")
        with path.open("wb") as file:
            while rows := absent.fetchmany(_QUERY_KEYS):
                for value in stored_keys(client, table, [value for (value,) in rows]):
                    file.write(orjson.dumps({key.name: value}, option=orjson.OPT_APPEND_NEWLINE))
                    count += 1
        if count:
            folder.publish(path, STALE_KEYS)
    return count


@contextmanager
def _key_tables(key: Column) -> Iterator[Any]:
    """Tables of keys, ``earlier`` and ``present``, which are on disk beyond some memory."""
    with tempfile.TemporaryDirectory(prefix="nestvec-keys-") as folder:
        config: dict[str, Any] = {
            "memory_limit": _MEMORY,
            "temp_directory": folder,
            "threads": "1",
            "preserve_insertion_order": "false",
        }
        try:
            with duckdb.connect(config=config) as tables:
                for name in ("earlier", "present"):
                    tables.execute(f"CREATE TABLE {name} (key {_SQL_TYPES.get(key.type, 'VARCHAR')})")
                yield tables
        except duckdb.Error as error:
            raise IngestError(
                "the keys of the job before cannot be compared",
                value=str(error)[:300],
                next_step="Free space in the folder of temporary files (TMPDIR), and run the command again.",
            ) from error


def _fill(tables: Any, name: str, batches: Iterable[Any]) -> None:
    for batch in batches:
        tables.from_arrow(batch).insert_into(name)


def _kind(key: Column) -> Any:
    return pa.int64() if key.type == "INT64" else pa.string()


def _batches(folder: OutputFolder, names: Iterable[str], key: Column) -> Iterator[Any]:
    """The keys in files of this collection, one after the other. Raises FileUnreadable."""
    with store_errors(folder.address):
        store, base = open_store(folder.address) if is_remote(folder.address) else (None, folder.address)
    for name in names:
        with store_errors(folder.address), pq.ParquetFile(f"{base}/{name}", filesystem=store) as file:
            if key.name not in file.schema_arrow.names:
                raise FileUnreadable(
                    f"a file of the job has no column {key.name}",
                    value=name,
                    next_step="Choose another folder with --to.",
                )
            for batch in file.iter_batches(_BATCH_ROWS, columns=[key.name]):
                if batch.schema.types == [_kind(key)]:
                    yield pa.Table.from_batches([batch])
