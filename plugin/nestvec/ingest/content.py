"""The hash of a file's content, computed while its rows are ingested: the same file may be copied, touched or
appended to before an interrupted ingest continues."""

from __future__ import annotations

import hashlib
import mmap
import re
import threading
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from pydantic import BaseModel, ConfigDict

from nestvec.ingest.row_count import RowCounter

_CHUNK_BYTES: Final = 1 << 20
_AT_ONCE_BYTES: Final = 64 << 20
"""Files up to this size are hashed, and their rows counted, before the first row: about a second."""


class ContentHash(BaseModel):
    """The SHA-256 of the first ``size`` bytes of a file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: int = 0
    sha256: str = hashlib.sha256().hexdigest()
    ends_line: bool = True
    """Whether these bytes end with the end of a line."""


class ContentHasher:
    """Hashes a file of ``size`` bytes, a large one in a thread while the ``with`` block runs.

    A file that cannot be read to its end keeps the hash of what was read. ``counter`` is fed what is hashed.
    """

    def __init__(self, path: Path, size: int, counter: RowCounter | None = None) -> None:
        self._path, self._size, self._counter = path, size, counter
        self._lock, self._closed = threading.Lock(), threading.Event()
        self._hash, self._done, self._last = hashlib.sha256(), 0, b"\n"
        self._thread = threading.Thread(target=self._run, name="nestvec-hash", daemon=True)

    def __enter__(self) -> Self:
        if self._size <= _AT_ONCE_BYTES:
            self._run()
        else:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()

    def present(self) -> ContentHash:
        """The hash of what was read so far."""
        with self._lock:
            return ContentHash(size=self._done, sha256=self._hash.hexdigest(), ends_line=self._last == b"\n")

    def rows(self) -> int | None:
        """The rows that ``counter`` counted in the whole file; None until then, or if it cannot tell."""
        complete = self._counter is not None and self._done >= self._size
        return self._counter.rows if complete and self._counter else None

    def _run(self) -> None:
        try:
            with self._path.open("rb") as file:
                while self._done < self._size and not self._closed.is_set():
                    chunk = file.read(min(_CHUNK_BYTES, self._size - self._done))
                    if not chunk:
                        return
                    with self._lock:
                        self._hash.update(chunk)
                        self._done += len(chunk)
                        self._last = chunk[-1:]
                        if self._counter is not None:
                            self._counter.feed(chunk)
        except OSError:
            return


def ends_in_cell(path: Path, size: int, quote: str, escape: str | None = None) -> bool:
    """Whether the first ``size`` bytes of a CSV file end, or may end, inside a quoted cell.

    So they do if they have an odd number of quotes: of those in a cell, two stand for one, or one follows an
    ``escape``.
    """
    mark, before = quote.encode(), (escape or "").encode()
    count, rest = 0, b""
    with path.open("rb") as file:
        while size > 0 and (chunk := file.read(min(_CHUNK_BYTES, size))):
            size -= len(chunk)
            chunk = rest + chunk
            # An escape at the end is counted with what it stands before.
            escapes = len(chunk) - len(chunk.rstrip(before)) if before else 0
            keep = len(chunk) - escapes % 2
            chunk, rest = chunk[:keep], chunk[keep:]
            if before:
                chunk = chunk.replace(before * 2, b"").replace(before + mark, b"")
            count += chunk.count(mark)
    return count % 2 == 1


def leaves_cell_open(path: Path, size: int, quote: str, escape: str | None, delimiters: str) -> bool:
    """Whether the first ``size`` bytes of a CSV file end inside a quoted cell, if quotes elsewhere than at
    the start of a cell are text: ``5" disk``."""
    mark, before = re.escape(quote.encode()), re.escape((escape or "").encode())
    content = rb"[^%b%b]++|%b." % (mark, before, before) if before else rb"[^%b]++|%b%b" % (mark, mark, mark)
    starts = rb"\A(?:\xef\xbb\xbf)?|[%b\r\n]" % re.escape(delimiters.encode())
    cell = re.compile(
        rb"(?:%b)%b(?:%b)*+(%b|%b?\Z)" % (starts, mark, content, mark, before or mark), re.DOTALL
    )
    if size == 0:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return any(match[1] != quote.encode() for match in cell.finditer(data, 0, size))


def hash_prefix(path: Path, size: int) -> ContentHash:
    """The hash of a file's first ``size`` bytes, or of the whole file if it has fewer."""
    hasher = ContentHasher(path, size)
    hasher._run()
    return hasher.present()
