"""Readers of JSONL, CSV and Parquet, one row at a time."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any, Final

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from nestvec_schemas.errors import FileUnreadable, RowRejected, nearest

MAX_ROW_BYTES: Final = 16 << 20
"""The longest line that is read as a row."""

_MAX_RAW_LENGTH = 2_000
_PARQUET_BATCH_ROWS = 1_024


@dataclass(frozen=True)
class SourceRow:
    """One row as it was read."""

    place: str
    """Its line or number in the file."""

    value: Mapping[str, object] | RowRejected
    """Its cells by column, or why there are none."""

    raw: str = ""
    """The start of a line that could not be read."""


@dataclass(frozen=True)
class CellTypes:
    """How a format represents values."""

    text: bool = False
    """Every value is a string."""

    json_text: bool = False
    """JSON is in strings."""


@dataclass(frozen=True)
class RowSource:
    """A file of rows."""

    path: Path
    format: str

    columns: tuple[str, ...] | None
    """None for a format without a header."""

    total: int | None
    """Number of rows; None if the format does not say."""

    @property
    def cells(self) -> CellTypes:
        """How the file represents values."""
        return FORMATS[self.format].cells

    def items(self, skip: int = 0) -> Iterator[SourceRow]:
        """Every row after the first ``skip``. Raises FileUnreadable if reading fails."""
        with _readable(self.path):
            yield from FORMATS[self.format].items(self.path, skip)


@dataclass(frozen=True)
class FileFormat:
    """How one format is read."""

    cells: CellTypes
    header: Callable[[Path], tuple[tuple[str, ...] | None, int | None]]
    items: Callable[[Path, int], Iterator[SourceRow]]


def open_source(path: Path, kind: str | None = None) -> RowSource:
    """Open a file; its format is ``kind``, or that of its extension. Raises FileUnreadable."""
    name = kind or path.suffix.lower().lstrip(".")
    name = {"ndjson": "jsonl", "pq": "parquet"}.get(name, name)
    if name not in FORMATS:
        raise FileUnreadable(
            f"{path} has an unknown format",
            value=path.suffix or "no extension",
            next_step=f"Name the format with --format: {', '.join(FORMATS)}.{nearest(name, FORMATS)}",
        )
    with _readable(path):
        columns, total = FORMATS[name].header(path)
    for column in columns or ():
        if not column or (columns or ()).count(column) > 1:
            raise FileUnreadable(
                f"{path} has a column without a name, or two columns of the same name",
                value=column,
                next_step="Give every column a unique name.",
            )
    return RowSource(path, name, columns, total)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        raise FileUnreadable(
            f"{path} cannot be read",
            value=getattr(error, "strerror", None) or str(error),
            next_step="Check the file, and give --format if its extension is wrong.",
        ) from error


class _Lines:
    """The lines of a file. One longer than MAX_ROW_BYTES raises RowRejected; iteration can continue after
    it."""

    def __init__(self, file: BufferedReader) -> None:
        self.file = file
        self.number = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> bytes:
        line = self.file.readline(MAX_ROW_BYTES + 1)
        if not line:
            raise StopIteration
        self.number += 1
        if self.number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if len(line) > MAX_ROW_BYTES:
            start = line
            while line and not line.endswith(b"\n"):
                line = self.file.readline(MAX_ROW_BYTES)
            raise RowRejected(
                "the line is longer than 16 MiB",
                value=_decode_start(start),
                next_step="Split the row or its text into several rows.",
            )
        return line


def _decode_start(line: bytes) -> str:
    return line[:_MAX_RAW_LENGTH].decode("utf-8", "backslashreplace")


def _jsonl_header(path: Path) -> tuple[None, None]:
    with path.open("rb"):
        return None, None


def _jsonl_items(path: Path, skip: int) -> Iterator[SourceRow]:
    with path.open("rb") as file:
        lines = _Lines(file)
        count = 0
        while (line := _next(lines)) is not None:
            if isinstance(line, bytes) and not line.strip():
                continue
            count += 1
            if count > skip:
                yield _jsonl_item(line, f"line {lines.number}")


def _next(lines: _Lines) -> bytes | RowRejected | None:
    try:
        return next(lines, None)
    except RowRejected as rejected:
        return rejected


def _jsonl_item(line: bytes | RowRejected, place: str) -> SourceRow:
    if isinstance(line, RowRejected):
        return SourceRow(place, line)
    try:
        return SourceRow(place, _object(line))
    except RowRejected as rejected:
        return SourceRow(place, rejected, _decode_start(line))


def _object(line: bytes) -> Mapping[str, object]:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise RowRejected(
            "the line is not JSON", value=str(error), next_step="Write one JSON object per line."
        ) from error
    if not isinstance(value, dict):
        raise RowRejected(
            "the line is not a JSON object",
            value=type(value).__name__,
            next_step="Write one object per line.",
        )
    return value


def _csv_rows(file: BufferedReader) -> Iterator[tuple[str, list[str] | RowRejected]]:
    """(place, cells) of every row and the header (RFC 4180). Bytes that are not UTF-8 become surrogates."""
    lines = _Lines(file)
    csv.field_size_limit(MAX_ROW_BYTES)
    reader = csv.reader(_Decoded(lines), strict=True)
    while True:
        first = lines.number + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except RowRejected as rejected:
            yield _place(first, lines.number), rejected
        except csv.Error as error:
            bad = RowRejected(
                "the row is not CSV",
                value=str(error),
                next_step='Double the quotes inside a quoted cell ("").',
            )
            yield _place(first, lines.number), bad
        else:
            if cells:
                yield _place(first, lines.number), cells


class _Decoded:
    """Lines as text. An iterator rather than a generator, because it continues after a line that raised."""

    def __init__(self, lines: _Lines) -> None:
        self.lines = lines

    def __iter__(self) -> _Decoded:
        return self

    def __next__(self) -> str:
        return next(self.lines).decode("utf-8", "surrogateescape")


def _place(first: int, last: int) -> str:
    return f"line {first}" if first >= last else f"lines {first}-{last}"


def _csv_header(path: Path) -> tuple[tuple[str, ...], None]:
    with path.open("rb") as file:
        _, header = next(_csv_rows(file), ("", None))
    if header is None:
        raise FileUnreadable(f"{path} is empty", next_step="Write the columns' names in the first row.")
    if isinstance(header, RowRejected):
        raise FileUnreadable(
            f"the first row of {path} does not name its columns",
            value=header.cause,
            next_step="Write the header as CSV, in UTF-8.",
        )
    return tuple(header), None


def _csv_items(path: Path, skip: int) -> Iterator[SourceRow]:
    with path.open("rb") as file:
        rows = _csv_rows(file)
        _, header = next(rows, ("", []))
        names = header if isinstance(header, list) else []
        for number, (place, cells) in enumerate(rows, 1):
            if number <= skip:
                continue
            if isinstance(cells, RowRejected):
                yield SourceRow(place, cells)
            elif len(cells) != len(names):
                rejected = RowRejected(
                    f"the row has {len(cells)} cells, the header {len(names)}",
                    next_step="Write one cell per column; quote a cell that contains a comma.",
                )
                yield SourceRow(place, rejected, ",".join(cells)[:_MAX_RAW_LENGTH])
            else:
                yield SourceRow(place, dict(zip(names, cells, strict=True)))


def _parquet_header(path: Path) -> tuple[tuple[str, ...], int]:
    with pq.ParquetFile(path) as file:
        return tuple(file.schema_arrow.names), int(file.metadata.num_rows)


def _parquet_items(path: Path, skip: int) -> Iterator[SourceRow]:
    with pq.ParquetFile(path) as file:
        groups, number = list(range(file.num_row_groups)), 0
        while groups and number + file.metadata.row_group(groups[0]).num_rows <= skip:
            number += file.metadata.row_group(groups.pop(0)).num_rows
        for batch in file.iter_batches(_PARQUET_BATCH_ROWS, row_groups=groups):
            for value in _parquet_values(batch):
                number += 1
                if number > skip:
                    yield SourceRow(f"row {number}", value)


def _parquet_values(batch: Any) -> Iterator[dict[str, object] | RowRejected]:
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


FORMATS: Final[dict[str, FileFormat]] = {
    "jsonl": FileFormat(CellTypes(), _jsonl_header, _jsonl_items),
    "csv": FileFormat(CellTypes(text=True, json_text=True), _csv_header, _csv_items),
    "parquet": FileFormat(CellTypes(json_text=True), _parquet_header, _parquet_items),
}
