"""Rows of one version of a Lance table."""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from nestvec.bulk.locations import storage_options, store_url
from nestvec.datasets.readers import CellTypes, ReadOptions, SourceRow
from nestvec.datasets.readers.parquet import arrow_rows
from nestvec.datasets.readers.source import check_options
from nestvec_schemas.errors import FileUnreadable, IngestError, JournalMismatch

_BATCH_ROWS: Final = 1_024
_READ_AHEAD: Final = 2
"""Batches; 16 by default."""

_BUFFER_BYTES: Final = 64 << 20
"""Of data that was read and is not decoded yet; 2 GiB by default."""

_CONTENT: Final = ("files", "deletion_file", "overlays")
"""What a fragment's metadata says of its rows. The files have unique names and never change."""

_SOURCE_LINE: Final = re.compile(r",? *\(?/?[\w./-]+\.rs:\d+(:\d+)?\)?")


@dataclass(frozen=True)
class LanceTable:
    """A version of a Lance table, whose rows are read in the order of its fragments."""

    name: str
    version: int

    sha256: str
    """Of its schema and of the names of its files. Versions of the same rows, as before and after an index is
    built, have the same."""

    size: int
    rows: int
    columns: tuple[str, ...]

    fragments: tuple[tuple[Any, int], ...]
    """With their numbers of rows, without those that were deleted."""

    @property
    def cells(self) -> CellTypes:
        """How it represents values: as Parquet."""
        return CellTypes(json_text=True)

    def items(self, skip: int, count: int) -> Iterator[SourceRow]:
        """The ``count`` rows after the first ``skip``; hardly anything of the others is read.

        Raises FileUnreadable.
        """
        before, end = 0, min(skip + count, self.rows)
        for fragment, rows in self.fragments:
            start, stop = max(skip, before), min(end, before + rows)
            if start < stop:
                yield from self._fragment_rows(fragment, start - before, stop - start, start)
            before += rows

    def _fragment_rows(self, fragment: Any, offset: int, count: int, number: int) -> Iterator[SourceRow]:
        with _lance_errors(self.name):
            batches = fragment.to_batches(
                offset=offset,
                limit=count,
                batch_size=_BATCH_ROWS,
                batch_readahead=_READ_AHEAD,
                io_buffer_size=_BUFFER_BYTES,
            )
            for batch in batches:
                for value in arrow_rows(batch):
                    number += 1
                    yield SourceRow(f"row {number}", value)


def open_lance(address: str, options: ReadOptions, *, kind: str | None = None) -> LanceTable:
    """The newest version of a Lance table. Raises FileUnreadable, IngestError if a package is missing."""
    if kind is not None:
        raise FileUnreadable(
            "the folder is a Lance table, whose rows have no other format",
            value=f"{address}, --format {kind}",
            next_step="Omit --format.",
        )
    check_options("lance", options, is_text=False)
    return _table(address, _open(address))


def reopen_lance(address: str, version: int, sha256: str) -> LanceTable:
    """The version that a job was planned with, or the newest one if it has the same rows.

    Raises JournalMismatch if neither is there, FileUnreadable.
    """
    for number in (version, None):
        try:
            table = _table(address, _open(address, number))
        except FileUnreadable:
            if number is None:
                raise
            continue
        if table.sha256 == sha256:
            return table
    raise JournalMismatch(
        f"version {version} of the Lance table, which the bulk job was begun with, is gone",
        value=address,
        next_step="Restore it to continue, or begin again with --restart.",
    )


def _open(address: str, version: int | None = None) -> Any:
    try:
        import lance  # noqa: PLC0415 - an optional package
    except ImportError as error:
        raise IngestError(
            "a Lance table needs a package that is not installed",
            value="pylance",
            next_step="Install it, on every machine of the cluster: pip install 'nestvec[lance]'.",
        ) from error
    # It warns of every fork. Those of Ray's start only start other programs.
    warnings.filterwarnings("ignore", "lance is not fork-safe")
    with _lance_errors(address):
        return lance.dataset(store_url(address), version=version, storage_options=storage_options(address))


def _table(address: str, dataset: Any) -> LanceTable:
    with _lance_errors(address):
        fragments = tuple((fragment, int(fragment.count_rows())) for fragment in dataset.get_fragments())
        metadata = [fragment.metadata.to_json() for fragment, _ in fragments]
        schema = dataset.schema
    content = [str(schema), [{name: each.get(name) or None for name in _CONTENT} for each in metadata]]
    sizes = (file.get("file_size_bytes") or 0 for each in metadata for file in each["files"])
    return LanceTable(
        name=address.partition("?")[0].rstrip("/").rpartition("/")[2],
        version=int(dataset.version),
        sha256=hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest(),
        size=sum(sizes),
        rows=sum(rows for _, rows in fragments),
        columns=tuple(schema.names),
        fragments=fragments,
    )


@contextmanager
def _lance_errors(address: str) -> Iterator[None]:
    """Turn what Lance raises into FileUnreadable; a panic in it is no Exception."""
    try:
        yield
    except BaseException as error:
        expected = isinstance(error, ValueError | OSError | RuntimeError | pa.ArrowException)
        if not expected and type(error).__name__ != "PanicException":
            raise
        reason = _SOURCE_LINE.sub("", str(error)).strip()
        raise FileUnreadable(
            "the Lance table cannot be read",
            value=f"{address.partition('?')[0]}: {reason}"[:300],
            next_step="Check that its folder is complete, and the credentials of its store.",
        ) from error
