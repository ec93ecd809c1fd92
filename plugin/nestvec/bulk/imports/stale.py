"""Rows of before a restart that the source no longer has, in Milvus Lite under keys of the source."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any, Final

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pymilvus import MilvusClient

from nestvec.bulk.locations import OutputFolder, is_remote, open_store, store_errors
from nestvec.bulk.manifest import FILES, TaskRecord
from nestvec.ingest.write.stored_keys import stored_keys
from nestvec.milvus.catalog import Column, Table
from nestvec_schemas.errors import FileUnreadable

logger = logging.getLogger(__name__)

EARLIER_KEYS: Final = "earlier_keys.parquet"
"""The keys in the files of before."""

STALE_KEYS: Final = "stale_keys.jsonl"
"""Those that are in the collection and not in the source."""

_QUERY_KEYS: Final = 1024


def keep_keys(folder: OutputFolder, primary: Column) -> None:
    """Note the keys of a job's rows, whose files are about to be removed; none if a file is damaged, or has
    the keys of another collection of this name. Raises NestvecError."""
    files = [f"{FILES}/{name}" for name in folder.names(FILES) if not name.startswith(".")]
    earlier = [EARLIER_KEYS] if folder.read(EARLIER_KEYS) is not None else []
    if not files:
        return
    try:
        chunks = list(_chunks(folder, [*earlier, *files], primary.name))
    except FileUnreadable as error:
        logger.warning("rows that the source no longer has are not listed after this restart: %s", error)
        folder.remove(EARLIER_KEYS)
        return
    kind = pa.int64() if primary.type == "INT64" else pa.string()
    keys = pc.unique(pa.chunked_array([chunk for chunk in chunks if chunk.type == kind], kind))
    with folder.temporary(EARLIER_KEYS) as path:
        pq.write_table(pa.table({primary.name: keys}), path)
        folder.publish(path, EARLIER_KEYS)


def list_stale(client: MilvusClient, table: Table, folder: OutputFolder, records: list[TaskRecord]) -> int:
    """Write the keys of before that the collection has and no file of the job, and return how many there are;
    0 if files were removed. Raises NestvecError."""
    present = set(folder.names(FILES))
    files = [file.name for record in records for file in record.files]
    folder.remove(STALE_KEYS)
    if folder.read(EARLIER_KEYS) is None or not present.issuperset(
        name.removeprefix(f"{FILES}/") for name in files
    ):
        return 0
    key = table.primary.name
    keys = pa.chunked_array(list(_chunks(folder, [EARLIER_KEYS], key)))
    for chunk in _chunks(folder, files, key):
        keys = keys.filter(pc.invert(pc.is_in(keys, value_set=chunk)))
    stale: list[int | str] = []
    for start in range(0, len(keys), _QUERY_KEYS):
        stale += stored_keys(client, table, keys.slice(start, _QUERY_KEYS).to_pylist())
    if stale:
        lines = (orjson.dumps({key: value}, option=orjson.OPT_APPEND_NEWLINE) for value in stale)
        folder.write(STALE_KEYS, b"".join(lines))
    return len(stale)


def _chunks(folder: OutputFolder, names: Iterable[str], key: str) -> Iterator[Any]:
    """The keys in files, one after the other. Raises FileUnreadable."""
    with store_errors(folder.address):
        store, base = open_store(folder.address) if is_remote(folder.address) else (None, folder.address)
    for name in names:
        with store_errors(folder.address):
            column = pq.read_table(f"{base}/{name}", columns=[key], filesystem=store).column(0)
        yield from column.chunks
