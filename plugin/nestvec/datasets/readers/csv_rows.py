"""Rows of CSV and TSV files (RFC 4180). A row that is not CSV is rejected without those after it."""

from __future__ import annotations

import csv
import io
import re
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from nestvec.datasets.readers.delimiter import detect_delimiter
from nestvec.datasets.readers.options import ReadOptions
from nestvec.datasets.readers.rows import (
    MAX_RAW_LENGTH,
    MAX_ROW_BYTES,
    CellTypes,
    QuotedText,
    RowPosition,
    SourceRow,
    not_utf8,
    too_long,
)
from nestvec.datasets.readers.streams import Input
from nestvec_schemas.errors import FileUnreadable, RowRejected

_SAMPLE_BYTES: Final = 1 << 16
_START: Final = RowPosition()
_END_OF_DATA: Final = "unexpected end of data"
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class CsvRecord:
    """One row of a file."""

    place: str
    cells: list[str] | RowRejected
    raw: str

    def quoted(self, dialect: _Dialect) -> list[bool]:
        """Which of the cells are in quotes."""
        flags, position, cell = list[bool](), 0, _cell_pattern(dialect)
        while (match := cell.match(self.raw, position)) is not None:
            flags.append(match["quoted"] is not None)
            if not match["delimiter"]:
                break
            position = match.end()
        return flags


@dataclass(frozen=True)
class _Dialect:
    delimiter: str
    quote: str
    escape: str | None


@lru_cache(maxsize=64)
def _cell_pattern(dialect: _Dialect) -> re.Pattern[str]:
    """A cell and the delimiter after it, which is empty at the end of the row."""
    quote, delimiter = re.escape(dialect.quote), re.escape(dialect.delimiter)
    escape = re.escape(dialect.escape or "")
    body = f"[^{quote}{escape}]|{escape}." if escape else f"[^{quote}]|{quote}{quote}"
    rest = f"[^{delimiter}{escape}\r\n]|{escape}." if escape else f"[^{delimiter}\r\n]"
    return re.compile(f"(?P<quoted>{quote}(?:{body})*+{quote})?(?:{rest})*+(?P<delimiter>{delimiter}?)", re.S)


def csv_cells(options: ReadOptions) -> CellTypes:
    """How a CSV file writes values."""
    return CellTypes(text=True, json_text=True, null_text=bool(options.nulls))


def csv_header(source: Input, options: ReadOptions) -> tuple[tuple[str, ...], None]:
    """The names of the columns: those of the options, else the first row. Raises FileUnreadable."""
    if options.columns is not None:
        with source.open():
            return options.columns, None
    with _open_records(source, options) as records:
        return _read_names(records, source), None


def _read_names(records: _Records, source: Input) -> tuple[str, ...]:
    """The names of the columns from the first row. Raises FileUnreadable."""
    first = next(records, None)
    if first is None:
        raise FileUnreadable(
            f"{source.name} is empty", next_step="Write the columns' names in the first row."
        )
    if isinstance(first.cells, RowRejected):
        raise FileUnreadable(
            f"the first row of {source.name} does not name its columns",
            value=first.cells.value,
            next_step="Write the header as CSV, in UTF-8.",
        )
    # pandas writes its index under an empty name.
    return tuple(name.strip() or f"Unnamed: {position}" for position, name in enumerate(first.cells))


def csv_items(source: Input, options: ReadOptions, start: RowPosition) -> Iterator[SourceRow]:
    """The rows after the header and the first ``start.rows``. Raises FileUnreadable."""
    nulls = frozenset(options.nulls)
    with _open_rows(source, options, start) as (names, records):
        for count, record in enumerate(records, start.rows if start.offset else 0):
            if count >= start.rows:
                yield _source_row(record, names, nulls, records.dialect)


def csv_positions(source: Input, options: ReadOptions, every: int) -> Iterator[RowPosition]:
    """The position after each ``every`` rows. Raises FileUnreadable."""
    with _open_rows(source, options, RowPosition()) as (_, records):
        for count, _ in enumerate(records, 1):
            if count % every == 0:
                yield RowPosition(count, records.lines.offset, records.lines.number)


def _source_row(
    record: CsvRecord, names: tuple[str, ...], nulls: frozenset[str], dialect: _Dialect
) -> SourceRow:
    cells = record.cells
    if isinstance(cells, RowRejected):
        return SourceRow(record.place, cells, _shown(record.raw))
    if len(cells) != len(names):
        rejected = RowRejected(
            f"the row has {len(cells)} cells, the header {len(names)}",
            next_step="Write one cell per column; quote a cell that contains the delimiter.",
        )
        return SourceRow(record.place, rejected, _shown(record.raw))
    values: list[str | None] = [None if cell in nulls else cell for cell in cells] if nulls else [*cells]
    if dialect.quote and dialect.quote in record.raw and not all(values):
        # As in PostgreSQL, what stands for null does so only without quotes.
        for at, quoted in enumerate(record.quoted(dialect)):
            if quoted and at < len(values) and not values[at]:
                values[at] = QuotedText(cells[at])
    return SourceRow(record.place, dict(zip(names, values, strict=True)))


def _shown(raw: str) -> str:
    """A raw row as text: bytes that are not UTF-8 as ``\\xff``."""
    text = raw[:MAX_RAW_LENGTH].rstrip("\r\n")
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


@contextmanager
def _open_rows(
    source: Input, options: ReadOptions, start: RowPosition
) -> Iterator[tuple[tuple[str, ...], _Records]]:
    """The names of the columns, and the records after the header, or at the offset of a position."""
    with ExitStack() as stack:
        records = stack.enter_context(_open_records(source, options))
        names = options.columns or _read_names(records, source)
        if start.offset:
            delimiter = records.dialect.delimiter
            records = stack.enter_context(_open_records(source, options, start, delimiter))
        records.width = len(names)
        yield names, records


@contextmanager
def _open_records(
    source: Input, options: ReadOptions, start: RowPosition = _START, delimiter: str | None = None
) -> Iterator[_Records]:
    """The records of a file, the header among them, or those at the offset of a position."""
    with source.open(start.offset) as stream:
        delimiter = delimiter or options.delimiter
        if delimiter is None:
            head = stream.peek(_SAMPLE_BYTES)[:_SAMPLE_BYTES]
            text = head.decode("utf-8", "replace")
            delimiter = detect_delimiter(text, options.quote, complete=len(head) < _SAMPLE_BYTES)
        position = RowPosition(start.rows, start.offset or source.text_start, start.lines)
        # Bytes that are not UTF-8 become surrogates, so that their row alone is rejected. Lines end where the
        # csv module has them end: with CR, LF or both.
        text_stream = io.TextIOWrapper(stream, "utf-8", errors="surrogateescape", newline="")
        try:
            yield _Records(text_stream, _Dialect(delimiter, options.quote, options.escape), position)
        finally:
            text_stream.detach()


class _Lines:
    """Lines for the csv module, which remember those of the present record and can be read again."""

    def __init__(self, stream: io.TextIOWrapper, start: RowPosition) -> None:
        self.stream = stream
        self.number = start.lines
        self.offset = start.offset
        """Bytes of the file before the next line."""

        self.record: list[str] = []
        self._bytes: list[int] = []
        """Those of each line of the record, with what was skipped of it."""

        self._size = 0
        self._again: deque[tuple[str, int]] = deque()

    def start_record(self) -> None:
        self.record.clear()
        self._bytes.clear()
        self._size = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line, size = self._again.popleft() if self._again else self._read()
        if not line:
            raise StopIteration
        self.number += 1
        self.offset += size
        self.record.append(line)
        self._bytes.append(size)
        self._size += len(line)
        if self._size > MAX_ROW_BYTES:
            raise _RecordTooLong
        return line

    def _read(self) -> tuple[str, int]:
        """The next line, and how many bytes it has; the rest of one that is too long is skipped."""
        line = rest = self.stream.readline(MAX_ROW_BYTES + 1)
        size = _utf8_bytes(line)
        if len(line) > MAX_ROW_BYTES:
            while rest and not rest.endswith(("\n", "\r")):
                rest = self.stream.readline(MAX_ROW_BYTES)
                size += _utf8_bytes(rest)
        return line, size

    def reject_first(self) -> None:
        """Keep the record's first line, and read the others again."""
        self._again.extendleft(reversed([*zip(self.record[1:], self._bytes[1:], strict=True)]))
        self.number -= len(self.record) - 1
        self.offset -= sum(self._bytes[1:])
        del self.record[1:], self._bytes[1:]


def _utf8_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogateescape"))


def _csv_reader(lines: Iterable[str], dialect: _Dialect) -> Iterator[list[str]]:
    return csv.reader(
        lines,
        strict=True,
        delimiter=dialect.delimiter,
        quotechar=dialect.quote or None,
        quoting=csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
        doublequote=dialect.escape is None,
        escapechar=dialect.escape,
    )


class _RecordTooLong(Exception):
    """A record has more than MAX_ROW_BYTES."""


class _Records:
    """The records of a file. One that is not CSV is a rejection."""

    def __init__(self, stream: io.TextIOWrapper, dialect: _Dialect, start: RowPosition) -> None:
        csv.field_size_limit(MAX_ROW_BYTES)
        self.lines = _Lines(stream, start)
        self.dialect = dialect
        self.reader = _csv_reader(self.lines, dialect)
        self.width: int | None = None
        """Cells of a row, where that is known."""

        quote, delimiter = re.escape(dialect.quote), re.escape(dialect.delimiter)
        cell = f"(?:{quote}(?:[^{quote}]|{quote}{quote})*{quote}|[^{quote}{delimiter}]*)"
        self.clean_line = re.compile(f"{cell}(?:{delimiter}{cell})*" if quote else "")
        """A line whose quotes are all around cells, or doubled inside them."""

    def __iter__(self) -> _Records:
        return self

    def __next__(self) -> CsvRecord:
        cells: list[str] | RowRejected = []
        while not cells:
            self.lines.start_record()
            first = self.lines.number + 1
            try:
                cells = next(self.reader)
            except _RecordTooLong:
                cells = self._reject_long()
            except csv.Error as error:
                cells = self._reject(str(error))
            else:
                if len(self.lines.record) > 1 and self._hides_a_row(len(cells)):
                    self.lines.reject_first()
                    cells = self._unclosed()
        raw = "".join(self.lines.record)
        if not raw.isascii() and _SURROGATE.search(raw):
            cells = _reject_bytes(raw)
        return CsvRecord(_place(first, self.lines.number), cells, raw)

    def _reject_long(self) -> RowRejected:
        lines = self.lines
        if len(lines.record) == 1:
            return too_long(_shown(lines.record[0]))
        lines.reject_first()
        return self._unclosed()

    def _reject(self, reason: str) -> RowRejected:
        lines = self.lines
        if len(lines.record) > 1 and (self._starts_another() or self._last_line_is_a_row()):
            lines.reject_first()
            return self._unclosed()
        if reason == _END_OF_DATA:
            return self._unclosed()
        return RowRejected(
            "the row is not CSV",
            value=reason,
            next_step='Double the quotes inside a quoted cell (""), and check the delimiter.',
        )

    def _starts_another(self) -> bool:
        """Whether a quote of an earlier line was never closed: the first quote of the last line opens a
        cell, or the file has ended."""
        last, quote = self.lines.record[-1], self.dialect.quote
        before, opening, _ = last.partition(quote)
        return not opening or before == "" or before.endswith(self.dialect.delimiter)

    def _hides_a_row(self, width: int) -> bool:
        """Whether several lines that can be read as a row of ``width`` cells are an unclosed quote and a row.

        With the header's number of cells they are if only that reading has no quotes in unquoted cells.
        """
        if not self._last_line_is_a_row():
            return False
        last = self.lines.record[-1].rstrip("\r\n")
        return width != self.width or self.clean_line.fullmatch(last) is not None

    def _last_line_is_a_row(self) -> bool:
        """Whether the last of several lines has as many cells as the header by itself.

        With a single column, every line has; and a line with an odd quote is the end of a cell.
        """
        lines = self.lines.record
        if len(lines) == 1 or self.width in (None, 1) or lines[-1].count(self.dialect.quote) % 2:
            return False
        try:
            rows = list(_csv_reader(self.lines.record[-1:], self.dialect))
        except csv.Error:
            return False
        return len(rows) == 1 and len(rows[0]) == self.width

    def _unclosed(self) -> RowRejected:
        return RowRejected(
            "the row is not CSV",
            value="a quoted cell is not closed",
            next_step='Close the quote, and double quotes inside a quoted cell ("").',
        )


def _reject_bytes(raw: str) -> RowRejected:
    text = raw.encode("utf-8", "surrogateescape")
    try:
        text.decode()
    except UnicodeDecodeError as error:
        return not_utf8(text, error)
    raise AssertionError("a surrogate is not UTF-8")


def _place(first: int, last: int) -> str:
    return f"line {first}" if first >= last else f"lines {first}-{last}"
