"""Word vectors in the files that GloVe, word2vec and fastText write, read row by row.

Text (``.txt``, ``.vec``): a word and its numbers a line; word2vec and fastText begin with a line that counts
words and numbers, GloVe does not. Binary (``.bin``): such a line, then each word, a space, and its numbers as
float32. An array of numpy with a Parquet index of words is read too.
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
    """Words in the order of the file, and their vectors: (words + 1, dim) float32, the last row zero."""

    dim: int
    source: str
    vectors: Floats
    words: dict[str, int] = field(default_factory=dict)

    def add(self, raw: bytes, row: Floats, line: int) -> None:
        """Add a word. Raises CheckpointUnsupported where it is there already, or no text."""
        try:
            word = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise file_error(
                self.source, f"has a word on line {line} that is not UTF-8", repr(raw[:40])
            ) from error
        number = len(self.words)
        if self.words.setdefault(word, number) != number:
            first = self.words[word] + 1
            raise file_error(self.source, f"has a word twice, as number {first} and {number + 1}", word)
        if number + 1 >= len(self.vectors):
            # In place: a copy would take the table's memory once more.
            self.vectors.resize((len(self.vectors) * 3 // 2, self.dim), refcheck=False)
        self.vectors[number] = row

    def done(self) -> WordVectors:
        """The same, with one row of zeros behind the last word."""
        if not self.words:
            raise file_error(self.source, "has no words", "an empty file")
        self.vectors.resize((len(self.words) + 1, self.dim), refcheck=False)
        self.vectors[-1] = 0
        return self


def file_error(source: str, cause: str, value: object, step: str = _DOWNLOAD_AGAIN) -> CheckpointUnsupported:
    """An error about a file of word vectors."""
    return CheckpointUnsupported(f"{source} {cause}", value=value, next_step=step)


def read_text(path: Path) -> WordVectors:
    """A text file of word vectors. Raises CheckpointUnsupported, naming the line that is wrong."""
    with path.open("rb") as file:
        line = _read_line(file, path.name, 1)
        counts = _header_counts(line)
        number = 1 if counts is None else 2
        line = line if counts is None else _read_line(file, path.name, 2)
        dim = len(line.split()) - 1 if counts is None else counts[1]
        if dim < 1:
            raise file_error(
                path.name,
                "does not begin with a word and its numbers",
                repr(line[:60]),
            )
        rows = _INITIAL_ROWS if counts is None else _checked_count(path, *counts, least=2)
        words = WordVectors(dim, path.name, np.zeros((rows + 1, dim), np.float32))
        while line:
            if line.strip():
                words.add(*_parse_line(line, dim, path.name, number), number)
            number += 1
            line = _read_line(file, path.name, number)
    if counts is not None and len(words.words) != counts[0]:
        raise file_error(
            path.name, f"promises {counts[0]} words and ends after another number", len(words.words)
        )
    return words.done()


def read_binary(path: Path) -> WordVectors:
    """word2vec's binary file. Raises CheckpointUnsupported."""
    with path.open("rb") as file:
        if file.read(4) == _FASTTEXT_MAGIC:
            raise file_error(
                path.name,
                "is fastText's own model, whose subwords no table holds",
                path.name,
                "Give its .vec file, which lies beside it where fastText wrote both.",
            )
        file.seek(0)
        counts = _header_counts(file.readline(64))
        if counts is None:
            raise file_error(
                path.name, "does not begin with word2vec's counts of words and numbers", "line 1"
            )
        count, dim = counts
        words = WordVectors(
            dim, path.name, np.zeros((_checked_count(path, count, dim, least=4) + 1, dim), np.float32)
        )
        start = file.tell()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            for number in range(1, count + 1):
                space = data.find(b" ", start, start + _MAX_LINE_BYTES)
                end = space + 1 + 4 * dim
                if space < 0 or end > len(data):
                    raise file_error(
                        path.name, f"promises {count} words and ends after another number", number - 1
                    )
                row = np.frombuffer(data[space + 1 : end], "<f4")
                words.add(data[start:space].lstrip(b"\n"), row, number)
                start = end
            if data[start : start + 2].strip():
                raise file_error(
                    path.name, f"goes on after the {count} words that it promises", f"byte {start}"
                )
    return words.done()


def read_packed(folder: Path) -> WordVectors:
    """A folder with one array of numpy and one Parquet file of its words. Raises CheckpointUnsupported."""
    import pyarrow.parquet as parquet  # noqa: PLC0415 - slow

    array, index = (next(iter(sorted(folder.glob(pattern)))) for pattern in ("*.npy", "*.parquet"))
    try:
        numbers: NDArray[Any] = np.load(array, mmap_mode="r", allow_pickle=False)
        column = parquet.read_table(index).column(0).to_pylist()
    except (OSError, ValueError) as error:
        raise file_error(
            folder.name, "holds a table that cannot be read", str(error).partition("\n")[0]
        ) from error
    if numbers.ndim != 2 or len(numbers) != len(column):
        raise file_error(folder.name, f"has {len(column)} words for an array of another shape", numbers.shape)
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
        raise file_error(source, f"has a line {number} longer than 1 MiB", "no word and its numbers")
    return line


def _header_counts(line: bytes) -> tuple[int, int] | None:
    """The two counts of a header; None where it is none."""
    parts = line.split()
    if len(parts) != 2 or not all(part.isdigit() for part in parts) or not line.endswith(b"\n"):
        return None
    return int(parts[0]), int(parts[1])


def _checked_count(path: Path, count: int, dim: int, least: int) -> int:
    """``count``, unless a file of this size cannot hold so many rows of ``least`` bytes a number."""
    if not count or not dim or count * dim * least > path.stat().st_size:
        raise file_error(
            path.name, "has a header that does not go with its size", f"{count} words of {dim} numbers"
        )
    return count


def _parse_line(line: bytes, dim: int, source: str, number: int) -> tuple[bytes, Floats]:
    """The word and the numbers of a line; a word may hold spaces (GloVe's of 840 billion words has some)."""
    parts = line.strip().rsplit(None, dim)
    if len(parts) != dim + 1:
        raise file_error(
            source, f"has a line {number} without a word and {dim} numbers", f"{len(parts) - 1} numbers"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            row = np.array(parts[1:], dtype=np.float32)
    except (ValueError, RuntimeWarning) as error:
        raise file_error(source, f"has a line {number} whose numbers are none", str(error)[:80]) from error
    if not np.isfinite(row).all():
        raise file_error(source, f"has a line {number} with numbers that are not finite", repr(parts[0]))
    return parts[0], row
