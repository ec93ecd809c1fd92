"""Hashes of a file's content and of its rows, computed while the rows are ingested: the file may be copied,
touched or appended to before an interrupted ingest continues."""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import orjson
from pydantic import BaseModel, ConfigDict

from nestvec.datasets.readers import SourceRow
from nestvec.ingest.row_count import RowCounter
from nestvec_schemas.errors import RowRejected

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


class RowDigests:
    """Digests of a source's rows, each of the rows up to it: whether later reading gives the same rows.

    Lines that are added to a CSV file may change rows of before: a quote that nothing closed is closed then.
    """

    def __init__(self, count: int = 0, sha256: str = "") -> None:
        self._count, self._digests = count, deque([bytes.fromhex(sha256)])

    def follow(self, items: Iterable[SourceRow]) -> Iterator[SourceRow]:
        """The items, which come after the first ``count`` rows."""
        for item in items:
            self._digests.append(_row_digest(self._digests[-1], item))
            yield item

    def after(self, count: int) -> str:
        """The digest of the first ``count`` rows, which were read."""
        return self._digests[count - self._count].hex()

    def forget(self, count: int) -> None:
        """Drop the digests of fewer than ``count`` rows."""
        while self._count < count:
            self._digests.popleft()
            self._count += 1


def has_rows(items: Iterable[SourceRow], count: int, sha256: str) -> bool:
    """Whether the first ``count`` of the items have the digest ``sha256``."""
    digests = RowDigests()
    read = sum(1 for _ in digests.follow(islice(items, count)))
    return read == count and digests.after(count) == sha256


def _row_digest(before: bytes, item: SourceRow) -> bytes:
    if isinstance(item.value, RowRejected):
        value = item.raw.encode("utf-8", "surrogatepass")
    else:
        try:
            value = orjson.dumps(item.value, default=repr)
        except TypeError:
            value = repr(item.value).encode("utf-8", "surrogatepass")
    return hashlib.sha256(b"%b%b\0%b" % (before, item.place.encode(), value)).digest()


def hash_prefix(path: Path, size: int) -> ContentHash:
    """The hash of a file's first ``size`` bytes, or of the whole file if it has fewer."""
    hasher = ContentHasher(path, size)
    hasher._run()
    return hasher.present()


def hash_prefixes(path: Path, sizes: Iterable[int]) -> dict[int, str]:
    """The SHA-256 of a file's first bytes, by their number, of those that the file has. Raises OSError."""
    digests, running, done = dict[int, str](), hashlib.sha256(), 0
    with path.open("rb") as file:
        for size in sorted(sizes):
            while done < size and (chunk := file.read(min(_CHUNK_BYTES, size - done))):
                running.update(chunk)
                done += len(chunk)
            if done == size:
                digests[size] = running.hexdigest()
    return digests
