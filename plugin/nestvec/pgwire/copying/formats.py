"""Rows of COPY as text, CSV and binary: read in parts of any length, and written."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from nestvec.pgwire.copying.columns import check_header, forced_positions
from nestvec.pgwire.copying.options import CopyStreamOptions
from nestvec.pgwire.errors import PgError

MAX_ROW_BYTES: Final = 64 << 20
"""The longest row of COPY's data."""
SIGNATURE: Final = b"PGCOPY\n\xff\r\n\0"
_TRAILER: Final = b"\xff\xff"

_TEXT_ESCAPE: Final = re.compile(rb"\\([0-7]{1,3}|x[0-9A-Fa-f]{1,2}|.)", re.S)
_OCTAL: Final = tuple(b"%d" % digit for digit in range(8))
_CONTROL: Final = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_WRITTEN: Final = {
    "\\": "\\\\",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
}

Values = list[bytes | None]


class CopyReader(Protocol):
    """Reads the rows of COPY's data."""

    def feed(self, data: bytes) -> Iterator[Values]:
        """The rows that are complete with this part. Raises PgError."""
        ...

    def finish(self) -> Iterator[Values]:
        """The last row, which needs no line break. Raises PgError."""
        ...


def copy_reader(options: CopyStreamOptions, names: Sequence[str] = ()) -> CopyReader:
    """What reads this format into columns of these names. Raises PgError for options of other columns."""
    if options.format == "binary":
        return _BinaryReader()
    return _LineReader(options, names)


class _LineReader:
    def __init__(self, options: CopyStreamOptions, names: Sequence[str]) -> None:
        self._options, self._names = options, names
        forced = options.forced
        self._null = options.null.encode()
        self._as_text = forced_positions(forced.not_null, names)
        self._as_null = forced_positions(forced.null, names)
        self._csv = options.format == "csv"
        self._buffer = bytearray()
        self._searched = 0
        """Bytes whose quotes are counted."""
        self._scanned = 0
        """Bytes without a line break after those."""
        self._open = False
        self._header = options.header
        self._ended = False

    def feed(self, data: bytes) -> Iterator[Values]:
        self._buffer += data
        while not self._ended:
            end = self._buffer.find(b"\n", max(self._searched, self._scanned))
            if end < 0:
                self._scanned = len(self._buffer)
                if len(self._buffer) > MAX_ROW_BYTES:
                    raise PgError("54000", f"a row of COPY is longer than {MAX_ROW_BYTES} bytes")
                return
            if self._csv:
                self._open ^= _changes_quotes(self._buffer[self._searched : end], self._options)
            self._searched = end + 1
            if self._open:
                continue
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 1]
            self._searched = self._scanned = 0
            yield from self._line(line)

    def finish(self) -> Iterator[Values]:
        if self._buffer and not self._ended:
            if self._csv and self._open ^ _changes_quotes(self._buffer[self._searched :], self._options):
                raise PgError("22P04", "unterminated CSV quoted field")
            line = bytes(self._buffer)
            self._buffer.clear()
            yield from self._line(line)
        if self._header and self._options.match_header:
            check_header((), self._names, self._options.null)

    def _line(self, line: bytes) -> Iterator[Values]:
        line = line.removesuffix(b"\r")
        if line == b"\\.":
            self._ended = True
        elif self._header:
            self._header = False
            if self._options.match_header:
                check_header(self._split(line), self._names, self._options.null)
        else:
            yield self._forced(self._split(line))

    def _split(self, line: bytes) -> Values:
        return _split_csv(line, self._options) if self._csv else _split_text(line, self._options)

    def _forced(self, values: Values) -> Values:
        """The values of a row after FORCE_NOT_NULL and FORCE_NULL."""
        for at in self._as_text | self._as_null if self._as_text or self._as_null else ():
            if at >= len(values):
                continue
            if values[at] is None and at in self._as_text:
                values[at] = self._null
            elif values[at] == self._null and at in self._as_null:
                values[at] = None
        return values


def _changes_quotes(part: bytearray, options: CopyStreamOptions) -> bool:
    """Whether a part of a line leaves quotes open that were not, or the reverse."""
    quote, escape = options.quote.encode(), options.escape.encode()
    if quote != escape:
        part = part.replace(escape + escape, b"").replace(escape + quote, b"")
    return part.count(quote) % 2 == 1


def _split_text(line: bytes, options: CopyStreamOptions) -> Values:
    """The fields of a line in which a backslash escapes."""
    null, delimiter = options.null.encode(), options.delimiter.encode()
    if b"\\" not in line:
        return [None if field == null else field for field in line.split(delimiter)]
    fields = re.split(rb"(?<!\\)((?:\\\\)*)" + re.escape(delimiter), line)
    # The backslashes before a delimiter are a part of the field.
    joined = [b"".join(fields[at : at + 2]) for at in range(0, len(fields), 2)]
    return [None if field == null else _TEXT_ESCAPE.sub(_unescaped, field) for field in joined]


def _unescaped(match: re.Match[bytes]) -> bytes:
    escaped = match[1]
    if escaped[:1] in _OCTAL:
        return bytes((int(escaped, 8) & 0xFF,))
    if len(escaped) > 1:
        return bytes((int(escaped[1:], 16),))
    return _CONTROL.get(escaped, escaped)


def _split_csv(line: bytes, options: CopyStreamOptions) -> Values:
    """The fields of a record. One in quotes is never NULL."""
    null, delimiter, quote = options.null.encode(), options.delimiter.encode(), options.quote.encode()
    if quote not in line:
        return [None if field == null else field for field in line.split(delimiter)]
    escape, fields = options.escape.encode(), list[bytes | None]()
    field, quoted, in_quotes, at = bytearray(), False, False, 0
    special = re.compile(b"[%s]" % re.escape(delimiter + quote + escape))
    while match := special.search(line, at):
        field += line[at : match.start()]
        at = match.end()
        mark, following = match[0], line[at : at + 1]
        if in_quotes and mark == escape and following in (quote, escape):
            field += following
            at += 1
        elif mark == quote:
            in_quotes, quoted = not in_quotes, True
        elif mark == delimiter and not in_quotes:
            fields.append(None if not quoted and bytes(field) == null else bytes(field))
            field, quoted = bytearray(), False
        else:
            field += mark
    field += line[at:]
    fields.append(None if not quoted and bytes(field) == null else bytes(field))
    return fields


class _BinaryReader:
    def __init__(self) -> None:
        self._buffer = bytearray()
        self._started = self._ended = False

    def feed(self, data: bytes) -> Iterator[Values]:
        self._buffer += data
        if not self._started and not self._start():
            return
        rows, at = list[Values](), 0
        try:
            while not self._ended:
                row, at = self._row(at)
                if row is not None:
                    rows.append(row)
        except _Incomplete:
            pass
        del self._buffer[:at]
        yield from rows
        if len(self._buffer) > MAX_ROW_BYTES:
            raise PgError("54000", f"a row of COPY is longer than {MAX_ROW_BYTES} bytes")

    def finish(self) -> Iterator[Values]:
        if not self._started or self._buffer:
            raise PgError("22P04", "unexpected EOF in COPY data")
        yield from ()

    def _start(self) -> bool:
        if not SIGNATURE.startswith(self._buffer[: len(SIGNATURE)]):
            raise PgError("22P04", "COPY file signature not recognized")
        if len(self._buffer) < 19:
            return False
        flags, extension = struct.unpack_from("!Ii", self._buffer, 11)
        if flags & 0xFFFF0000 or not 0 <= extension <= MAX_ROW_BYTES:
            raise PgError("22P04", "invalid COPY file header")
        if len(self._buffer) < 19 + extension:
            return False
        del self._buffer[: 19 + extension]
        self._started = True
        return True

    def _row(self, at: int) -> tuple[Values | None, int]:
        (count,) = self._numbers("!h", at)
        at += 2
        if count == -1:
            self._ended = True
            return None, len(self._buffer)
        parts = list[slice | None]()
        for _ in range(count):
            (length,) = self._numbers("!i", at)
            at += 4
            if length < -1 or length > MAX_ROW_BYTES:
                raise PgError("22P04", "invalid length of a field in COPY data")
            parts.append(None if length == -1 else slice(at, at + length))
            at += max(length, 0)
        if at > len(self._buffer):
            raise _Incomplete
        # Only a whole row is copied: one that comes in many parts is looked at with each of them.
        return [None if part is None else bytes(self._buffer[part]) for part in parts], at

    def _numbers(self, format_: str, at: int) -> tuple[int, ...]:
        if at + struct.calcsize(format_) > len(self._buffer):
            raise _Incomplete
        return struct.unpack_from(format_, self._buffer, at)


class _Incomplete(Exception):
    """More data are needed."""


def write_row(
    values: Sequence[bytes | None], options: CopyStreamOptions, quoted: frozenset[int] = frozenset()
) -> bytes:
    """A row in text, CSV or binary. The values at the positions of ``quoted`` are in quotes in any case."""
    if options.format == "binary":
        parts = [struct.pack("!h", len(values))]
        for value in values:
            parts.append(b"\xff\xff\xff\xff" if value is None else struct.pack("!i", len(value)) + value)
        return b"".join(parts)
    if options.format == "csv":
        fields = (
            options.null if value is None else _csv_field(value.decode(), options, at in quoted)
            for at, value in enumerate(values)
        )
    else:
        fields = (options.null if value is None else _text_field(value.decode(), options) for value in values)
    return (options.delimiter.join(fields) + "\n").encode()


def write_header(names: Sequence[str], options: CopyStreamOptions) -> bytes:
    """What precedes the rows."""
    if options.format == "binary":
        return SIGNATURE + struct.pack("!Ii", 0, 0)
    return write_row([name.encode() for name in names], options) if options.header else b""


def write_trailer(options: CopyStreamOptions) -> bytes:
    """What follows the rows."""
    return _TRAILER if options.format == "binary" else b""


def _text_field(value: str, options: CopyStreamOptions) -> str:
    escaped = "".join(_WRITTEN.get(character, character) for character in value)
    return (
        escaped.replace(options.delimiter, "\\" + options.delimiter) if options.delimiter != "\t" else escaped
    )


def _csv_field(value: str, options: CopyStreamOptions, forced: bool) -> str:
    quote, escape = options.quote, options.escape
    special = (options.delimiter, quote, "\n", "\r")
    plain = value != options.null and value != "\\." and not any(mark in value for mark in special)
    if plain and not forced:
        return value
    escaped = value.replace(escape, escape + escape) if escape != quote else value
    return quote + escaped.replace(quote, escape + quote) + quote
