"""Word vectors in the files that GloVe, word2vec and fastText write, read row by row.

Text (``.txt``, ``.vec``): a word and its numbers per line; word2vec and fastText start with a line of the
numbers of words and dims, GloVe does not. Binary (``.bin``): such a line, then each word, a space, and its
numbers as float32. A NumPy array with a Parquet index of words is supported too.
"""

from __future__ import annotations

import mmap
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from nestvec_schemas.errors import CheckpointUnsupported

Floats = NDArray[np.float32]

_MAX_LINE_BYTES: Final = 1 << 20
_FASTTEXT_MAGIC: Final = (793712314).to_bytes(4, "little")
_INITIAL_ROWS: Final = 1 << 16
_DOWNLOAD_AGAIN: Final = "Download it again, or write it again."


@dataclass
class WordVectors:
    """Words in the order of the file, and their vectors."""

    dim: int

    source: str
    """The file's name, for errors."""

    vectors: Floats
    """(words + 1, dim); the last row is zero."""

    words: dict[str, int] = field(default_factory=dict)
    """The row of each word."""

    def add(self, raw: bytes, row: Floats, line: int) -> None:
        """Add a word. Raises CheckpointUnsupported if it is a duplicate or not UTF-8."""
        try:
            word = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise file_error(
                self.source, f"has a word on line {line} that is not UTF-8", repr(raw[:40])
            ) from error
        number = len(self.words)
        if self.words.setdefault(word, number) != number:
            first = self.words[word] + 1
            raise file_error(self.source, f"has a word twice, at {first} and {number + 1}", word)
        if number + 1 >= len(self.vectors):
            # In place: a copy would need the table's memory twice.
            self.vectors.resize((len(self.vectors) * 3 // 2, self.dim), refcheck=False)
        self.vectors[number] = row

    def done(self) -> WordVectors:
        """The same with a row of zeros after the last word."""
        if not self.words:
            raise file_error(self.source, "has no words", "an empty file")
        self.vectors.resize((len(self.words) + 1, self.dim), refcheck=False)
        self.vectors[-1] = 0
        return self


def file_error(source: str, cause: str, value: object, step: str = _DOWNLOAD_AGAIN) -> CheckpointUnsupported:
    """An error about a file of word vectors."""
    return CheckpointUnsupported(f"{source} {cause}", value=value, next_step=step)


def read_text(path: Path) -> WordVectors:
    """A text file of word vectors. Raises CheckpointUnsupported with the number of the invalid line."""
    with path.open("rb") as file:
        line = _read_line(file, path.name, 1)
        counts = _header_counts(line)
        number = 1 if counts is None else 2
        line = line if counts is None else _read_line(file, path.name, 2)
        dim = len(line.split()) - 1 if counts is None else counts[1]
        if dim < 1:
            raise file_error(
                path.name,
                "does not start with a word and its numbers",
                repr(line[:60]),
            )
        rows = _INITIAL_ROWS if counts is None else _checked_count(path, *counts, min_bytes=2)
        words = WordVectors(dim, path.name, np.zeros((rows + 1, dim), np.float32))
        while line:
            if line.strip():
                words.add(*_parse_line(line, dim, path.name, number), number)
            number += 1
            line = _read_line(file, path.name, number)
    if counts is not None and len(words.words) != counts[0]:
        raise file_error(
            path.name, f"declares {counts[0]} words but has a different number", len(words.words)
        )
    return words.done()


def read_binary(path: Path) -> WordVectors:
    """word2vec's binary file. Raises CheckpointUnsupported."""
    with path.open("rb") as file:
        if file.read(4) == _FASTTEXT_MAGIC:
            raise file_error(
                path.name,
                "is a fastText model, whose subwords do not fit in a table",
                path.name,
                "Give its .vec file, which fastText writes beside it.",
            )
        file.seek(0)
        counts = _header_counts(file.readline(64))
        if counts is None:
            raise file_error(path.name, "does not start with word2vec's numbers of words and dims", "line 1")
        count, dim = counts
        words = WordVectors(
            dim, path.name, np.zeros((_checked_count(path, count, dim, min_bytes=4) + 1, dim), np.float32)
        )
        start = file.tell()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            for number in range(1, count + 1):
                space = data.find(b" ", start, start + _MAX_LINE_BYTES)
                end = space + 1 + 4 * dim
                if space < 0 or end > len(data):
                    raise file_error(
                        path.name, f"declares {count} words but has a different number", number - 1
                    )
                row = np.frombuffer(data[space + 1 : end], "<f4")
                words.add(data[start:space].lstrip(b"\n"), row, number)
                start = end
            if data[start : start + 2].strip():
                raise file_error(
                    path.name, f"continues after the {count} words that it declares", f"byte {start}"
                )
    return words.done()


def read_packed(folder: Path) -> WordVectors:
    """A folder with a NumPy array and a Parquet file of its words. Raises CheckpointUnsupported."""
    import pyarrow.parquet as parquet  # noqa: PLC0415 - slow

    array, index = (next(iter(sorted(folder.glob(pattern)))) for pattern in ("*.npy", "*.parquet"))
    try:
        numbers: NDArray[Any] = np.load(array, mmap_mode="r", allow_pickle=False)
        column = parquet.read_table(index).column(0).to_pylist()
    except (OSError, ValueError) as error:
        raise file_error(
            folder.name, "contains a table that cannot be read", str(error).partition("\n")[0]
        ) from error
    if numbers.ndim != 2 or len(numbers) != len(column):
        raise file_error(
            folder.name, f"has {len(column)} words and an array of another length", numbers.shape
        )
    words = WordVectors(
        numbers.shape[1], folder.name, np.zeros((len(column) + 1, numbers.shape[1]), np.float32)
    )
    for number, word in enumerate(column, start=1):
        words.add(str(word).encode(), numbers[number - 1], number)
    return words.done()


WORD_VECTOR_READERS: Final[dict[str, Callable[[Path], WordVectors]]] = {
    ".txt": read_text,
    ".vec": read_text,
    ".bin": read_binary,
}


def _read_line(file: BinaryIO, source: str, number: int) -> bytes:
    line = file.readline(_MAX_LINE_BYTES)
    if len(line) == _MAX_LINE_BYTES:
        raise file_error(source, f"has a line {number} longer than 1 MiB", "not a word and its numbers")
    return line


def _header_counts(line: bytes) -> tuple[int, int] | None:
    """The two counts of a header; None if the line is none."""
    parts = line.split()
    if len(parts) != 2 or not all(part.isdigit() for part in parts) or not line.endswith(b"\n"):
        return None
    return int(parts[0]), int(parts[1])


def _checked_count(path: Path, count: int, dim: int, min_bytes: int) -> int:
    """``count``, if a file of this size can hold it with at least ``min_bytes`` per number."""
    if not count or not dim or count * dim * min_bytes > path.stat().st_size:
        raise file_error(
            path.name, "has a header that does not match its size", f"{count} words of {dim} numbers"
        )
    return count


def _parse_line(line: bytes, dim: int, source: str, number: int) -> tuple[bytes, Floats]:
    """The word and the numbers of a line; a word can contain spaces (as in GloVe of 840 billion words)."""
    parts = line.strip().rsplit(None, dim)
    if len(parts) != dim + 1:
        raise file_error(
            source, f"lacks a word and {dim} numbers on line {number}", f"{len(parts) - 1} numbers"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            row = np.array(parts[1:], dtype=np.float32)
    except (ValueError, RuntimeWarning) as error:
        raise file_error(source, f"has invalid numbers on line {number}", str(error)[:80]) from error
    if not np.isfinite(row).all():
        raise file_error(source, f"has numbers that are not finite on line {number}", repr(parts[0]))
    return parts[0], row
