"""Folders that are tables, whose files alone do not say which rows they have."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from nestvec.bulk.inputs.listing import FileStat, list_entries, list_files, without_hidden
from nestvec.bulk.locations import (
    is_remote,
    storage_options,
    store_url,
)
from nestvec_schemas.errors import FileUnreadable, IngestError

_DELTA: Final = "_delta_log"
_PARTITION: Final = re.compile(r"[^=/]+=[^/]*")

_LANCE: Final = re.compile(r"(?P<table>(.*/)?)_versions/[^/]+\.manifest")
_ICEBERG: Final = re.compile(r"(.*/)?metadata/[^/]+\.metadata\.json")


def source_files(source: str, *, ignore_extra: bool = False) -> list[FileStat]:
    """The files of rows of a source; those of a Delta table are its present Parquet files, that of a Lance
    table is its folder.

    With ``ignore_extra``, the values in the names of partitions are left out. Raises FileUnreadable,
    IngestError if a package is missing.
    """
    entries = list_entries(source)
    paths = [path for path, _ in entries]
    if any(path.startswith(f"{_DELTA}/") for path in paths):
        return _delta_files(source)
    if any(_LANCE.fullmatch(path) and path.startswith("_versions/") for path in paths):
        address = source if is_remote(source) else str(Path(source).absolute())
        return [FileStat(address, size=0, mtime_ns=0, is_lance=True)]
    for path in paths:
        _check_no_table(source, path)
        partitions = [part for part in path.split("/")[:-1] if _PARTITION.fullmatch(part)]
        if partitions and not ignore_extra:
            raise FileUnreadable(
                "the folder is partitioned, and the values in the names of its folders are not in its files",
                value=f"{source}: {'/'.join(partitions)}"[:300],
                next_step="Write it without partitions, or leave these values out with --ignore-extra.",
            )
    stats = without_hidden(entries)
    if not stats:
        raise FileUnreadable(
            "there is no file to read", value=source, next_step="Check the path, the pattern or the prefix."
        )
    return stats


def _check_no_table(source: str, path: str) -> None:
    lance = _LANCE.fullmatch(path)
    kind = "Delta" if f"/{_DELTA}/" in path else "Lance" if lance else ""
    if kind:
        below = lance["table"].rstrip("/") if lance else path.partition(f"/{_DELTA}/")[0]
        raise FileUnreadable(
            f"a folder below this one is a {kind} table, whose files may have rows that were deleted",
            value=f"{source.rstrip('/')}/{below}"[:300],
            next_step="Name the table's folder.",
        )
    if _ICEBERG.fullmatch(path):
        raise FileUnreadable(
            "Iceberg tables are not read",
            value=source,
            next_step="Write it as Parquet files: table.scan().to_arrow() reads it, pyarrow.parquet writes "
            "them.",
        )


def _delta_files(source: str) -> list[FileStat]:
    with _delta_errors(source):
        table = _delta_table(source)
        _check_delta(source, table)
        actions = pa.table(table.get_add_actions(flatten=True))
    partitioned = [f"partition.{name}" for name in table.metadata().partition_columns]
    values = actions.select(partitioned).rename_columns(table.metadata().partition_columns)
    return [
        replace(stat, partition=_as_partition(values.slice(row, 1)) if partitioned else "")
        for row, path in enumerate(actions.column("path").to_pylist())
        for stat in list_files(_address(source, path))
    ]


def _check_delta(source: str, table: Any) -> None:
    """Raise FileUnreadable for a table whose Parquet files do not say which rows and columns it has."""
    mapping = table.metadata().configuration.get("delta.columnMapping.mode", "none")
    if mapping != "none":
        raise FileUnreadable(
            "the columns of the Delta table are mapped to other names in its Parquet files",
            value=f"{source}: delta.columnMapping.mode is {mapping}"[:300],
            next_step="Write it as a table without mapped columns.",
        )
    # A table that may have them need not have any.
    if "deletionVectors" in (table.protocol().reader_features or []):
        deleted = sum(batch.num_rows for batch in table.deletion_vectors())
        if deleted:
            raise FileUnreadable(
                "the Delta table has rows that its deletion vectors delete",
                value=f"{source}: {deleted} files with such rows"[:300],
                next_step="Write it without them: REORG TABLE … APPLY (PURGE) in Spark.",
            )


def _as_partition(row: Any) -> str:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, row.schema) as stream:
        stream.write_table(row)
    return b64encode(sink.getvalue()).decode()


def partition_values(partition: str) -> dict[str, object]:
    """The values of a file's partition, which are not in the file, by column: those of an Arrow stream of a
    row, as base64."""
    if not partition:
        return {}
    with pa.ipc.open_stream(b64decode(partition)) as stream:
        values: dict[str, object] = stream.read_all().to_pylist()[0]
    return values


def _delta_table(source: str) -> Any:
    from deltalake import DeltaTable  # noqa: PLC0415 - an optional package

    return DeltaTable(store_url(source), storage_options=storage_options(source))


@contextmanager
def _delta_errors(source: str) -> Iterator[None]:
    """Turn what deltalake raises into FileUnreadable, and its absence into IngestError."""
    try:
        from deltalake.exceptions import DeltaError  # noqa: PLC0415
    except ImportError as error:
        raise IngestError(
            "a Delta table needs a package that is not installed",
            value="deltalake",
            next_step="Install it: pip install 'nestvec[delta]'.",
        ) from error
    try:
        yield
    except (DeltaError, OSError, ValueError) as error:
        raise FileUnreadable(
            "the Delta table cannot be read",
            value=f"{source}: {str(error).splitlines()[0]}"[:300],
            next_step="Check its _delta_log, and the credentials of its store.",
        ) from error


def _address(source: str, path: str) -> str:
    """The address of a file by its path in the table's log, which is encoded as in addresses."""
    base, _, query = source.partition("?") if is_remote(source) else (source, "", "")
    if urlsplit(path).scheme in ("", "file") and not is_remote(source):
        return str(Path(base, unquote(path.removeprefix("file://"))))
    return (path if urlsplit(path).scheme else f"{base.rstrip('/')}/{path}") + (f"?{query}" if query else "")
