"""Rows of Parquet files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from nestvec.datasets.readers.options import ReadOptions
from nestvec.datasets.readers.rows import RowPosition, SourceRow
from nestvec.datasets.readers.streams import Input, readable
from nestvec_schemas.errors import FileUnreadable, RowRejected

_BATCH_ROWS: Final = 1_024


def parquet_header(source: Input, options: ReadOptions) -> tuple[tuple[str, ...], int]:
    """(names of the columns, number of rows). Raises FileUnreadable."""
    with _open(source) as file:
        return tuple(file.schema_arrow.names), int(file.metadata.num_rows)


def parquet_items(source: Input, options: ReadOptions, start: RowPosition) -> Iterator[SourceRow]:
    """The rows after the first ``start.rows``."""
    with _open(source) as file:
        groups, number = list(range(file.num_row_groups)), 0
        while groups and number + file.metadata.row_group(groups[0]).num_rows <= start.rows:
            number += file.metadata.row_group(groups.pop(0)).num_rows
        for batch in file.iter_batches(_BATCH_ROWS, row_groups=groups):
            skipped = min(batch.num_rows, max(0, start.rows - number))
            number += skipped
            for value in arrow_rows(batch.slice(skipped)):
                number += 1
                yield SourceRow(f"row {number}", value)


@contextmanager
def _open(source: Input) -> Iterator[Any]:
    if not source.seekable:
        raise FileUnreadable(
            f"Parquet cannot be read from {source.name}: its index is at its end",
            next_step="Save it to a file, and name the file.",
        )
    with readable(source.name):
        # Says what a compressed file, or one that is no Parquet, is.
        with source.open():
            pass
        if source.compression:
            raise FileUnreadable(
                f"{source.name} is a compressed Parquet file, whose index cannot be read",
                value=source.compression,
                next_step="Decompress it: Parquet compresses its columns itself.",
            )
        with pq.ParquetFile(source.path) as file:
            yield file


def arrow_rows(batch: Any) -> Iterator[dict[str, object] | RowRejected]:
    """The rows of a RecordBatch, and why those are none that Python cannot represent."""
    try:
        values = batch.to_pylist()
    # A text that is not UTF-8, or a date out of Python's range: find the row.
    except (ValueError, OverflowError, pa.ArrowException):
        for index in range(batch.num_rows):
            try:
                value: dict[str, object] | RowRejected = batch.slice(index, 1).to_pylist()[0]
            except (ValueError, OverflowError, pa.ArrowException) as error:
                value = RowRejected(
                    "the row has a value that cannot be read",
                    value=str(error),
                    next_step="Correct the value.",
                )
            yield value
    else:
        yield from values
