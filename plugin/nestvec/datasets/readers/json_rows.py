"""Rows of JSON: one object a line, or the objects of an array or of a sequence."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from typing import Final

import orjson

from nestvec.datasets.readers.options import ReadOptions
from nestvec.datasets.readers.rows import (
    MAX_RAW_LENGTH,
    MAX_ROW_BYTES,
    JsonRow,
    RowPosition,
    SourceRow,
    not_utf8,
    too_long,
)
from nestvec.datasets.readers.streams import Input
from nestvec.sqltypes.documents import parse_exact
from nestvec_schemas.errors import FileUnreadable, RowRejected

_CHUNK_BYTES: Final = 1 << 16
_STRUCTURE: Final = re.compile(rb'["{}\[\]]')
_IN_STRING: Final = re.compile(rb'["\\]')
_AFTER_SCALAR: Final = re.compile(rb"[\s,\]}]")
_LONG_NUMBER: Final = re.compile(rb"[0-9.]{16}")
"""More digits than the 15 that a double has for certain, perhaps with a point among them."""
_BETWEEN: Final = re.compile(rb"[\s,]*")


def json_header(source: Input, options: ReadOptions) -> tuple[None, None]:
    """JSON has no header; whether the file can be opened."""
    with source.open():
        return None, None


def jsonl_items(source: Input, options: ReadOptions, start: RowPosition) -> Iterator[SourceRow]:
    """A row for each line that is not blank, after the first ``start.rows``."""
    first = start.rows if start.offset else 0
    for count, (number, _, value) in enumerate(_lines(source, start), first):
        if count >= start.rows:
            yield _item(value, f"line {number}", "line")


def jsonl_positions(source: Input, options: ReadOptions, every: int) -> Iterator[RowPosition]:
    """The position after each ``every`` rows."""
    for count, (number, offset, _) in enumerate(_lines(source, RowPosition()), 1):
        if count % every == 0:
            yield RowPosition(count, offset, number)


def _lines(source: Input, start: RowPosition) -> Iterator[tuple[int, int, bytes | RowRejected]]:
    """(number of the line, offset after it, its bytes) of each line that is not blank."""
    with source.open(start.offset) as stream:
        number, offset = start.lines, start.offset or source.text_start
        while line := stream.readline(MAX_ROW_BYTES + 1):
            number += 1
            offset += len(line)
            value: bytes | RowRejected = line
            if len(line) > MAX_ROW_BYTES:
                value = too_long(_shown(line))
                while line and not line.endswith(b"\n"):
                    line = stream.readline(MAX_ROW_BYTES)
                    offset += len(line)
            elif line.isspace():
                continue
            yield number, offset, value


def json_items(source: Input, options: ReadOptions, start: RowPosition) -> Iterator[SourceRow]:
    """A row for each object of an array, or of a sequence of objects, after the first ``start.rows``."""
    with source.open() as stream:
        for number, (line, value) in enumerate(_Values(stream, source.name), 1):
            if number > start.rows:
                yield _item(value, f"item {number}, line {line}", "item")


def _item(text: bytes | RowRejected, place: str, unit: str) -> SourceRow:
    if isinstance(text, RowRejected):
        return SourceRow(place, text)
    try:
        return SourceRow(place, _object(text, unit))
    except RowRejected as rejected:
        return SourceRow(place, rejected, _shown(text))


def _shown(text: bytes) -> str:
    return text[:MAX_RAW_LENGTH].rstrip(b"\r\n").decode("utf-8", "backslashreplace")


def _object(text: bytes, unit: str) -> Mapping[str, object]:
    try:
        value = parse_exact(text)
    except orjson.JSONDecodeError as error:
        try:
            text.decode()
        except UnicodeDecodeError as encoding_error:
            raise not_utf8(text, encoding_error) from error
        raise RowRejected(
            f"the {unit} is not JSON", value=str(error), next_step=f"Write one JSON object per {unit}."
        ) from error
    if not isinstance(value, dict):
        hint = " A file that is one JSON array is read with --format json." if unit == "line" else ""
        raise RowRejected(
            f"the {unit} is not a JSON object",
            value=type(value).__name__,
            next_step=f"Write one object per {unit}.{hint}",
        )
    if float in map(type, value.values()) and _LONG_NUMBER.search(text):
        row = JsonRow(value)
        row.text = text
        return row
    return value


class _Values:
    """The values of an array, or of a sequence of values, as text; at most MAX_ROW_BYTES are kept of each."""

    def __init__(self, stream: io.BufferedReader, name: str) -> None:
        self.stream, self.name = stream, name
        self.buffer = bytearray()
        self.position = 0
        self.line = 1
        self.in_array: bool | None = None

    def __iter__(self) -> _Values:
        return self

    def __next__(self) -> tuple[int, bytes | RowRejected]:
        start = self._skip_separators()
        if self.in_array is None:
            self.in_array = start == b"["
            if self.in_array:
                self.position += 1
                start = self._skip_separators()
        if not start or (self.in_array and start == b"]"):
            self._end(closed=bool(start))
            raise StopIteration
        line = self.line
        too_many, end = self._scan_value(start)
        value = bytes(self.buffer[:end])
        self._drop(end)
        return line, too_long(_shown(value)) if too_many else value

    def _end(self, *, closed: bool) -> None:
        if self.in_array and not closed:
            raise self._unreadable("the array is not closed", "Check that the file is complete.")
        if closed:
            self.position += 1
            if self._skip_separators():
                raise self._unreadable(
                    "there is more after the array", "Write one array, or use --format jsonl."
                )

    def _unreadable(self, cause: str, next_step: str) -> FileUnreadable:
        return FileUnreadable(f"{self.name}: {cause}", value=f"line {self.line}", next_step=next_step)

    def _fill(self) -> bool:
        data = self.stream.read1(_CHUNK_BYTES)
        self.buffer += data
        return bool(data)

    def _drop(self, end: int) -> None:
        self.line += self.buffer.count(b"\n", 0, end)
        del self.buffer[:end]
        self.position = 0

    def _skip_separators(self) -> bytes:
        """The first byte of the next value, or of the array's end; nothing at the end of the file."""
        while True:
            match = _BETWEEN.match(self.buffer, self.position)
            self._drop(match.end() if match else self.position)
            if self.buffer:
                return bytes(self.buffer[:1])
            if not self._fill():
                return b""

    def _scan_value(self, start: bytes) -> tuple[bool, int]:
        """(whether it is longer than MAX_ROW_BYTES, where the value at the buffer's start ends)."""
        if start not in b'"{[':
            return False, self._scan_scalar()
        depth, in_string, position, dropped = 0, False, 0, False
        while True:
            match = (_IN_STRING if in_string else _STRUCTURE).search(self.buffer, position)
            if match is None:
                position = len(self.buffer)
                if position > MAX_ROW_BYTES:
                    # Of a value that is too long, the start is kept.
                    self.line += self.buffer.count(b"\n", MAX_RAW_LENGTH)
                    del self.buffer[MAX_RAW_LENGTH:]
                    position, dropped = MAX_RAW_LENGTH, True
                if not self._fill():
                    raise self._unreadable(
                        "the file ends inside a value", "Check that it is complete, and its quotes."
                    )
                continue
            position, token = match.end(), match[0]
            if token == b"\\":
                position += 1
                while len(self.buffer) < position and self._fill():
                    pass
            elif token == b'"':
                in_string = not in_string
            else:
                depth += 1 if token in b"{[" else -1
            if depth <= 0 and not in_string:
                return dropped or position > MAX_ROW_BYTES, position

    def _scan_scalar(self) -> int:
        position = 1
        while True:
            match = _AFTER_SCALAR.search(self.buffer, position)
            if match is not None:
                return max(match.start(), 1)
            if len(self.buffer) > MAX_ROW_BYTES or not self._fill():
                return len(self.buffer)
