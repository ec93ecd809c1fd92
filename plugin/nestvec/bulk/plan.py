"""The tasks of a bulk job: ranges of rows of its input files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from nestvec.bulk.inputs.parts import FilePart, file_parts
from nestvec.bulk.lance_table import open_lance
from nestvec.bulk.locations import LocalCopies
from nestvec.bulk.tables import partition_values, source_files
from nestvec.datasets.readers import RowSource, open_source
from nestvec.ingest.columns import ColumnMap
from nestvec.ingest.content import hash_prefix
from nestvec.ingest.options import IngestOptions
from nestvec.ingest.row_count import row_counter
from nestvec.ingest.row_schema import checked_schema
from nestvec.milvus.catalog import Table

_TASKS: Final = 16
"""Of an input, if they get enough rows: the last of several workers is not long alone."""

WINDOW: Final = 2048
"""Rows that a worker has in memory at once, sorted by length into batches."""

_HEAD_BYTES: Final = 1 << 20
_CHUNK_BYTES: Final = 1 << 20


class JobRecord(BaseModel):
    """Something that is written to a bulk job's folder."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TableVersion(JobRecord):
    """A version of a table whose rows are not simply those of its files."""

    version: int

    sha256: str
    """Of what says which rows it has."""


class InputFile(JobRecord):
    """A file of rows, or a table, and what says that it is still the same."""

    address: str
    size: int
    mtime_ns: int

    head_sha256: str
    """Of its first MiB."""

    rows: int

    sha256: str = ""
    """Of all of it; empty in plans of before it was recorded."""

    table: TableVersion | None = None
    """The version of a table."""

    partition: str = ""
    """The values of columns that are not in the file, see ``partition_values``."""

    task_rows: int | None = None
    """Of each of its tasks but the last; None in plans of before it was recorded."""

    parts: tuple[FilePart, ...] = ()
    """Where the rows of each task are, see ``file_parts``."""


class Task(JobRecord):
    """Consecutive rows of one file, or of a table."""

    number: int
    address: str

    start: int
    """Rows of the file before it."""

    rows: int

    first: int
    """Rows of all files before it."""

    table: TableVersion | None = None
    """The version of the table whose rows they are."""

    partition: str = ""
    """That of the file."""

    part: FilePart | None = None
    """Where its rows are, if that is known."""

    @property
    def name(self) -> str:
        """What its files are called: ``task-000012``."""
        return f"task-{self.number:06d}"


def input_files(
    source: str,
    options: IngestOptions,
    table: Table | None = None,
    *,
    hashed: bool = True,
    task_rows: int | None = None,
) -> list[InputFile]:
    """The files of a source with their numbers of rows and their hashes. Raises FileUnreadable; and
    IngestError for a file whose header gives no row of ``table``.

    The rows of a Parquet file are in its index; those of a text file are counted, which reads it once more.
    ``task_rows`` is the limit of a task; without it, files are not divided. Without ``hashed``, files are
    not read for their hashes, and not for the places of their tasks.
    """
    copies = LocalCopies()
    columns = table_columns(table, options)
    files = []
    left = options.reading.limit
    stats = source_files(source, ignore_extra=options.columns.ignore_extra)
    for stat in stats:
        if left is not None and left <= 0:
            break
        if stat.is_lance:
            return [_lance_input(stat.address, options, table, task_rows)]
        path = copies.path(stat.address)
        opened = open_source(path, options.kind, options.reading)
        if table is not None:
            header = source_header(opened, stat.partition)
            checked_schema(table, header, opened.cells, columns, opened.input.name)
        rows = count_rows(opened)
        rows = rows if left is None else min(rows, left)
        left = None if left is None else left - rows
        each = None if task_rows is None else even_rows(rows, task_rows, len(stats))
        files.append(
            InputFile(
                address=stat.address,
                size=stat.size,
                mtime_ns=stat.mtime_ns,
                head_sha256=_head_digest(path),
                rows=rows,
                sha256=hash_prefix(path, path.stat().st_size).sha256 if hashed else "",
                partition=stat.partition,
                task_rows=each,
                parts=file_parts(opened, rows, each) if hashed and each is not None else (),
            )
        )
    return files


def even_rows(rows: int, max_rows: int, files: int) -> int:
    """Rows of each task of a file, at most ``max_rows``; ``files`` is the number of files of the input.

    Few tasks are a power of two of them, as most numbers of workers are.
    """
    least = min(rows // WINDOW, _TASKS // max(files, 1))
    tasks = max(-(-rows // max_rows), 1 << (least.bit_length() - 1) if least else 1)
    return max(1, -(-rows // tasks))


def source_header(source: RowSource, partition: str) -> tuple[str, ...] | None:
    """The columns of a file's header and those of its ``partition_values``; None without a header."""
    return source.columns and tuple(dict.fromkeys((*source.columns, *partition_values(partition))))


def table_columns(table: Table | None, options: IngestOptions) -> ColumnMap:
    """Which columns of a table the rows fill, and its defaults for the others."""
    if table is None or not table.default_expressions:
        return options.columns
    from nestvec.sql.statements.dml.defaults import file_defaults  # noqa: PLC0415 - few tables need it

    return replace(options.columns, defaults=file_defaults(table))


def _lance_input(
    address: str, options: IngestOptions, target: Table | None, max_rows: int | None
) -> InputFile:
    table = open_lance(address, options.reading, kind=options.kind)
    if target is not None:
        columns = table_columns(target, options)
        checked_schema(target, table.columns, table.cells, columns, table.name)
    limit = options.reading.limit
    rows = table.rows if limit is None else min(table.rows, limit)
    return InputFile(
        address=address,
        size=table.size,
        mtime_ns=0,
        head_sha256="",
        rows=rows,
        task_rows=None if max_rows is None else even_rows(rows, max_rows, 1),
        sha256=table.sha256,
        table=TableVersion(version=table.version, sha256=table.sha256),
    )


def count_rows(source: RowSource) -> int:
    """The rows of a file, up to its limit. Raises FileUnreadable."""
    if source.total is not None:
        return source.total
    counter = row_counter(source)
    if counter is not None:
        with source.path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                counter.feed(chunk)
        headers = int(source.columns is not None and source.options.columns is None)
        if counter.rows is not None:
            rows = counter.rows - headers
            return rows if source.options.limit is None else min(rows, source.options.limit)
    return sum(1 for _ in source.items())


def _head_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.sha256(file.read(_HEAD_BYTES)).hexdigest()


def plan_tasks(files: list[InputFile], max_rows: int) -> Iterator[Task]:
    """Tasks of at most ``max_rows`` rows that contain every row once, in order."""
    number = first = 0
    for file in files:
        each = file.task_rows or max_rows
        for at, start in enumerate(range(0, file.rows, each)):
            rows = min(each, file.rows - start)
            yield Task(
                number=number,
                address=file.address,
                start=start,
                rows=rows,
                first=first,
                table=file.table,
                partition=file.partition,
                part=file.parts[at] if file.parts else None,
            )
            number, first = number + 1, first + rows
