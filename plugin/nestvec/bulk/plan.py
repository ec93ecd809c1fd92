"""The tasks of a bulk job: ranges of rows of its input files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from nestvec.bulk.locations import FileStat, LocalCopies, is_remote, list_files
from nestvec.datasets.readers import RowSource, format_name, open_source
from nestvec.ingest.content import hash_prefix
from nestvec.ingest.options import IngestOptions
from nestvec.ingest.row_count import row_counter
from nestvec_schemas.errors import FileUnreadable, IngestError

_HEAD_BYTES: Final = 1 << 20
_CHUNK_BYTES: Final = 1 << 20


class JobRecord(BaseModel):
    """Something that is written to a bulk job's folder."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class InputFile(JobRecord):
    """A file of rows, and what says that it is still the same."""

    address: str
    size: int
    mtime_ns: int

    head_sha256: str
    """Of its first MiB."""

    rows: int

    sha256: str = ""
    """Of all of it; empty in plans of before it was recorded."""


class Task(JobRecord):
    """Consecutive rows of one file."""

    number: int
    address: str

    start: int
    """Rows of the file before it."""

    rows: int

    first: int
    """Rows of all files before it."""

    @property
    def name(self) -> str:
        """What its files are called: ``task-000012``."""
        return f"task-{self.number:06d}"


def input_files(source: str, options: IngestOptions, *, hashed: bool = True) -> list[InputFile]:
    """The files of a source with their numbers of rows and their hashes. Raises FileUnreadable.

    The rows of a Parquet file are in its index; those of a text file are counted, which reads it once more.
    Without ``hashed``, files are not read for their hashes.
    """
    copies = LocalCopies()
    files = []
    left = options.reading.limit
    for stat in expand(source):
        if left is not None and left <= 0:
            break
        path = copies.path(stat.address)
        rows = count_rows(open_source(path, options.kind, options.reading))
        rows = rows if left is None else min(rows, left)
        left = None if left is None else left - rows
        files.append(
            InputFile(
                address=stat.address,
                size=stat.size,
                mtime_ns=stat.mtime_ns,
                head_sha256=_head_digest(path),
                rows=rows,
                sha256=hash_prefix(path, path.stat().st_size).sha256 if hashed else "",
            )
        )
    return files


def expand(source: str) -> list[FileStat]:
    """The files of rows of a source; those of a Delta table are its present Parquet files.

    Raises FileUnreadable, IngestError if a package is missing.
    """
    if not is_remote(source) and Path(source, "_delta_log").is_dir():
        return [stat for address in _delta_files(source) for stat in list_files(address)]
    if not is_remote(source) and Path(source, "_versions").is_dir():
        raise FileUnreadable(
            "Lance tables are not read",
            value=source,
            next_step="Write it as Parquet: lance.dataset(PATH).to_batches() and pyarrow.parquet.",
        )
    return list_files(source)


def _delta_files(source: str) -> list[str]:
    try:
        from deltalake import DeltaTable  # noqa: PLC0415 - an optional package
    except ImportError as error:
        raise IngestError(
            "a Delta table needs a package that is not installed",
            value="deltalake",
            next_step="Install it: pip install deltalake.",
        ) from error
    table = DeltaTable(source)
    features = table.protocol().reader_features or []
    unread = {"deletionVectors", "columnMapping"} & set(features)
    if unread or table.metadata().partition_columns:
        raise FileUnreadable(
            "the Delta table has values that are not in its Parquet files",
            value=", ".join(sorted(unread) or table.metadata().partition_columns),
            next_step="Write it as a table without partitions, deletion vectors and mapped columns.",
        )
    return [str(uri) for uri in table.file_uris()]


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
        for start in range(0, file.rows, max_rows):
            rows = min(max_rows, file.rows - start)
            yield Task(number=number, address=file.address, start=start, rows=rows, first=first)
            number, first = number + 1, first + rows


def check_format(source: str, kind: str | None) -> None:
    """Raise FileUnreadable for a source whose files have no known format."""
    for stat in expand(source):
        format_name(Path(stat.address.partition("?")[0]), kind)
