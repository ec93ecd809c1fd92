"""The bytes of a file or of standard input: decompressed, and in UTF-8."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Protocol

import pyarrow as pa

from nestvec_schemas.errors import FileUnreadable

STDIN: Final = Path("-")
"""The path that stands for standard input."""

SUFFIXES: Final = (".gz", ".zst", ".zstd", ".bz2", ".xz")
"""Extensions of compressed files. What decompresses a file is its content."""

_CHUNK_BYTES: Final = 1 << 16
_MAX_DICTIONARY_BYTES: Final = 256 << 20
_MAX_EXPANSION: Final = 1_000
_FREE_EXPANSION_BYTES: Final = 256 << 20
"""Bytes that a file may expand to at any ratio."""

_MAGIC: Final = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz"}
_LONGEST_MAGIC: Final = 6

_REFUSED: Final = {
    b"PK\x03\x04": ("a ZIP archive or an Excel workbook", "Extract it, or save the sheet as CSV."),
    b"\xd0\xcf\x11\xe0": ("an old Excel workbook", "Save the sheet as CSV."),
    b"\x04\x22\x4d\x18": ("compressed with LZ4", "Decompress it: lz4 -d FILE."),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", "Extract it."),
    b"SQLite": ("an SQLite database", "Export its table as CSV."),
    b"%PDF-": ("a PDF", "Extract its text into JSONL or CSV."),
}

_UTF_8: Final = ("utf-8", "utf-8-sig")

_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class Input:
    """A file, or standard input, which is opened twice: for its header, and for its rows."""

    def __init__(self, path: Path, encoding: str | None = None) -> None:
        self.path, self.encoding = path, _checked_encoding(encoding)
        self.compression = ""
        self.text_start = 0
        """Bytes before the text of an opened file: those of its byte order mark."""

        self._content_encoding = ""
        self._read_before = bytearray()
        self._opened = 0

    @property
    def seekable(self) -> bool:
        """Whether it is a regular file, which can be read again: neither standard input nor a pipe."""
        return self.path != STDIN and (self.path.is_file() or not self.path.exists())

    @cached_property
    def anchor(self) -> Path:
        """The file itself, or for a pipe an empty temporary file, which ends with this object."""
        if self.seekable:
            return self.path
        self._folder = TemporaryDirectory(prefix="nestvec-")
        anchor = Path(self._folder.name, "stdin")
        anchor.touch()
        return anchor

    @property
    def name(self) -> str:
        """What errors call it."""
        return "standard input" if self.path == STDIN else str(self.path)

    @property
    def has_offsets(self) -> bool:
        """Whether it can be opened at an offset: a file that is UTF-8 and not compressed, once it was
        opened."""
        return self.seekable and not self.compression and self._content_encoding in _UTF_8

    @contextmanager
    def open(self, offset: int = 0) -> Iterator[io.BufferedReader[Any]]:
        """Its content in UTF-8, without a byte order mark; from an offset of the file, if it has those.

        Raises FileUnreadable, also while it is read.
        """
        with readable(self.name), self._open_raw() as raw:
            stream = io.BufferedReader(self._decompressed(raw), _CHUNK_BYTES)
            head = stream.peek(_CHUNK_BYTES)[:_CHUNK_BYTES]
            encoding = self.encoding or _detect_encoding(head, self.name)
            self._content_encoding = encoding
            is_marked = encoding == "utf-8-sig" and head.startswith(codecs.BOM_UTF8)
            self.text_start = len(codecs.BOM_UTF8) if is_marked else 0
            if offset:
                raw.seek(offset)
                yield raw
            elif encoding == "utf-8":
                yield stream
            else:
                yield io.BufferedReader(_Transcoded(stream, encoding), _CHUNK_BYTES)

    @contextmanager
    def _open_raw(self) -> Iterator[io.BufferedReader[Any]]:
        if self.seekable:
            with self.path.open("rb") as file:
                yield file
            return
        self._opened += 1
        if self._opened > 2:
            raise FileUnreadable(
                f"{self.name} can be read only once", next_step="Save it to a file, and name the file."
            )
        if self.path == STDIN:
            live: Any = sys.stdin.buffer
        else:
            # Opened once: another process writes to a pipe until its first reader has gone.
            live = self._pipe = getattr(self, "_pipe", None) or self.path.open("rb")
        yield io.BufferedReader(_Repeated(live, self._read_before, save=self._opened == 1), _CHUNK_BYTES)

    def _decompressed(self, raw: io.BufferedReader[Any]) -> io.RawIOBase:
        counted = _Counted(raw)
        buffered = io.BufferedReader(counted, _CHUNK_BYTES)
        head = buffered.peek(_LONGEST_MAGIC)[:_CHUNK_BYTES]
        for magic, (what, next_step) in _REFUSED.items():
            if head.startswith(magic):
                raise FileUnreadable(f"{self.name} is {what}", next_step=next_step)
        self.compression = next((name for magic, name in _MAGIC.items() if head.startswith(magic)), "")
        if not self.compression:
            return _Plain(buffered)
        return _Expanded(_DECOMPRESSORS[self.compression](buffered), counted, self.name)


@contextmanager
def readable(name: str) -> Iterator[None]:
    """Turn what reading a file raises into FileUnreadable."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise FileUnreadable(
            f"{name} is not {error.encoding}",
            value=error.reason,
            next_step="Name its encoding with --encoding, for example cp1252 (in COPY, ENCODING 'cp1252').",
        ) from error
    except (OSError, EOFError, pa.ArrowException, zlib.error, lzma.LZMAError) as error:
        raise FileUnreadable(
            f"{name} cannot be read",
            value=getattr(error, "strerror", None) or str(error),
            next_step="Check the file, and give --format if its extension is wrong.",
        ) from error


def _checked_encoding(name: str | None) -> str | None:
    if name is None:
        return None
    try:
        codec = codecs.lookup(name)
        "".encode(codec.name)
        b"".decode(codec.name)
    # UnicodeError and others: codecs that exist but are no encodings of text.
    except (LookupError, UnicodeError, ValueError, TypeError) as error:
        raise FileUnreadable(
            "there is no encoding of this name",
            value=name,
            next_step="Write it as Python or IANA do: utf-8, utf-16, latin-1, cp1252, shift_jis, gb18030.",
        ) from error
    # A mark at the start is no part of the text, whoever says that it is UTF-8.
    return "utf-8-sig" if codec.name == "utf-8" else codec.name


def _detect_encoding(head: bytes, name: str) -> str:
    """UTF-8, or what the byte order mark says. Raises FileUnreadable for text that is clearly another."""
    for mark, encoding in _BOMS:
        if head.startswith(mark):
            return encoding
    if not head.startswith(b"PAR1"):
        _refuse_other_encodings(head, name)
    return "utf-8"


def _refuse_other_encodings(head: bytes, name: str) -> None:
    zeros = (head[0::2].count(0), head[1::2].count(0))
    if max(zeros) > len(head) // 8 and not head.decode("utf-8", "replace").isprintable():
        likely = "utf-16-le" if zeros[1] > zeros[0] else "utf-16-be"
        raise FileUnreadable(
            f"{name} contains zero bytes, as UTF-16 does",
            value=f"byte 0x00 at byte {head.index(0) + 1}",
            next_step=f"Name its encoding: --encoding {likely} (in COPY, ENCODING '{likely}').",
        )
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError as error:
        # In a file that is UTF-8 but for a damaged row, other letters are UTF-8: only that row is rejected.
        if len(head.decode("utf-8", "ignore")) == sum(byte < 0x80 for byte in head):
            line = head.count(b"\n", 0, error.start) + 1
            raise FileUnreadable(
                f"{name} is not UTF-8",
                value=f"byte 0x{head[error.start]:02X} at byte {error.start + 1}, in line {line}",
                next_step="Name its encoding with --encoding, for example cp1252 or latin-1 (in COPY, "
                "ENCODING 'cp1252'); utf-8 rejects the rows that are not.",
            ) from error


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Raw(io.RawIOBase):
    """A stream whose subclasses say what comes next; an empty one ends it."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        data = self._next(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _next(self, size: int) -> bytes:
        raise NotImplementedError


class _Plain(_Raw):
    def __init__(self, source: io.BufferedReader[Any]) -> None:
        self.source = source

    def _next(self, size: int) -> bytes:
        return self.source.read1(size)


class _Counted(_Raw):
    """Counts the bytes that are read."""

    def __init__(self, source: io.BufferedReader[Any]) -> None:
        self.source, self.count = source, 0

    def _next(self, size: int) -> bytes:
        data = self.source.read1(size)
        self.count += len(data)
        return data


class _Repeated(_Raw):
    """A stream that cannot be rewound: what was read for the header comes again before the rest."""

    def __init__(self, live: Any, read_before: bytearray, *, save: bool) -> None:
        self.live, self.read_before, self.save = live, read_before, save
        self.position = 0

    def _next(self, size: int) -> bytes:
        if not self.save and self.position < len(self.read_before):
            again = bytes(self.read_before[self.position : self.position + size])
            self.position += len(again)
            return again
        data: bytes = self.live.read1(size)
        # The first bytes decide about decompression: they must not arrive by halves.
        while self.save and not self.read_before and 0 < len(data) < _LONGEST_MAGIC:
            more = self.live.read1(size - len(data))
            if not more:
                break
            data += more
        if self.save:
            self.read_before += data
        return data


class _Expanded(_Raw):
    """A decompressed stream, stopped where it expands beyond what texts do."""

    def __init__(self, source: _Readable, compressed: _Counted, name: str) -> None:
        self.source, self.compressed, self.name = source, compressed, name
        self.count = 0

    def _next(self, size: int) -> bytes:
        data = self.source.read(size)
        self.count += len(data)
        if self.count > max(_FREE_EXPANSION_BYTES, _MAX_EXPANSION * self.compressed.count):
            raise FileUnreadable(
                f"{self.name} expands to more than {_MAX_EXPANSION:,} times its size",
                value=f"{self.count:,} bytes from {self.compressed.count:,}",
                next_step="Decompress it yourself, if you trust it, and name the result.",
            )
        return data


class _Decompressed:
    """Several compressed streams one after the other, as ``cat`` makes them, by a decompressor of each."""

    def __init__(self, source: io.BufferedReader[Any], decompressor: Any) -> None:
        self.source, self.new = source, decompressor
        self.current = decompressor()

    def read(self, size: int, /) -> bytes:
        while True:
            if self.current.eof:
                rest = self._next_stream()
                if not rest:
                    return b""
                self.current = self.new()
            elif self.current.needs_input:
                rest = self.source.read1(_CHUNK_BYTES)
                if not rest:
                    raise EOFError("the compressed data ends early")
            else:
                rest = b""
            data: bytes = self.current.decompress(rest, size)
            if data:
                return data

    def _next_stream(self) -> bytes:
        """The first bytes of the next stream; none at the end. xz pads streams with any number of zeros."""
        rest: bytes = self.current.unused_data or self.source.read1(_CHUNK_BYTES)
        while rest and not rest.strip(b"\0"):
            rest = self.source.read1(_CHUNK_BYTES)
        return rest.lstrip(b"\0")


class _Transcoded(_Raw):
    """A stream in another encoding, as UTF-8."""

    def __init__(self, source: io.BufferedReader[Any], encoding: str) -> None:
        self.source, self.encoding = source, encoding
        self.decoder = codecs.getincrementaldecoder(encoding)()
        self.ready: bytes = b""
        self.fed = 0
        self.ended = False

    def _next(self, size: int) -> bytes:
        while not self.ready and not self.ended:
            chunk = self.source.read1(_CHUNK_BYTES)
            self.ended = not chunk
            self.fed += len(chunk)
            if self.encoding == "utf-8-sig":
                self.ready = chunk.removeprefix(codecs.BOM_UTF8) if self.fed == len(chunk) else chunk
                continue
            try:
                text = self.decoder.decode(chunk, self.ended)
            except UnicodeDecodeError as error:
                at = self.fed - len(error.object) + error.start
                byte = error.object[error.start] if error.start < len(error.object) else 0
                error.reason = f"byte 0x{byte:02X} at byte {at + 1}: {error.reason}"
                raise
            if self.fed == len(chunk):
                text = text.removeprefix("\ufeff")
            # A half of a surrogate pair is left to whoever reads the row.
            self.ready = text.encode("utf-8", "surrogatepass")
        data: bytes = self.ready[:size]
        self.ready = self.ready[size:]
        return data


def _zstd(source: io.BufferedReader[Any]) -> _Readable:
    reader: _Readable = pa.CompressedInputStream(pa.PythonFile(source, mode="r"), "zstd")
    return reader


def _xz(source: io.BufferedReader[Any]) -> _Readable:
    return _Decompressed(source, lambda: lzma.LZMADecompressor(memlimit=_MAX_DICTIONARY_BYTES))


_DECOMPRESSORS: Final[dict[str, Any]] = {
    "gzip": lambda source: gzip.GzipFile(fileobj=source),
    "bzip2": lambda source: _Decompressed(source, bz2.BZ2Decompressor),
    "xz": _xz,
    "zstd": _zstd,
}
