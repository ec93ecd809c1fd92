"""How many rows a text file has: lines with something on them, and not those inside quoted cells."""

from __future__ import annotations

import codecs
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nestvec.datasets.readers import RowSource
from nestvec.datasets.readers.delimiter import DELIMITERS

_LF, _CR = ord("\n"), ord("\r")
_BLANK: Final = " \t\n\r\x0b\x0c"
"""Characters that are nothing on a line of JSON."""


class RowCounter:
    """Counts the rows of a file from its bytes, chunk by chunk.

    With ``delimiters``, the file is CSV. With a ``quote``, a line end between two of them belongs to a cell;
    quotes inside a cell are doubled, so that they do not change that. A quote elsewhere, a line end of old
    Macs, and a zero byte, as UTF-16 has them, mean that only reading the file says how many rows it has.
    """

    def __init__(self, quote: str = "", delimiters: str = "") -> None:
        self._quote = ord(quote) if quote else None
        self._csv = bool(delimiters)
        self._around_cells = _table(f"{delimiters}{quote}\r\n")
        self._content = ~_table("\r\n" if self._csv else _BLANK)
        self._rows = 0
        self._in_cell = False
        self._has_content = False
        self._last = _LF
        self._started = False
        self._uncertain = False

    def feed(self, chunk: bytes) -> None:
        """Count the next bytes."""
        if not self._started:
            chunk = chunk.removeprefix(codecs.BOM_UTF8)
            self._started = True
        if not chunk or self._uncertain:
            return
        data = np.frombuffer(chunk, np.uint8)
        quotes = data == self._quote if self._quote is not None else np.zeros(data.size, bool)
        # Whether the byte after each is in a quoted cell.
        in_cell = np.logical_xor.accumulate(quotes) ^ self._in_cell
        self._uncertain = self._cannot_tell(data, quotes, in_cell)
        self._in_cell = bool(in_cell[-1])
        self._last = int(data[-1])
        ends = (data == _LF) & ~in_cell
        content = np.cumsum(self._content[data] | (in_cell & (data == _LF)), dtype=np.int32)
        at_ends = content[ends]
        if at_ends.size == 0:
            self._has_content = self._has_content or bool(content[-1])
            return
        lines = np.diff(at_ends, prepend=0)
        self._rows += int(np.count_nonzero(lines)) + int(self._has_content and not lines[0])
        self._has_content = bool(content[-1] > at_ends[-1])

    def _cannot_tell(
        self, data: NDArray[np.uint8], quotes: NDArray[np.bool_], in_cell: NDArray[np.bool_]
    ) -> bool:
        if not data.all():
            return True
        if not self._csv:
            return False
        # Whether each byte comes before, between or after quoted cells, their opening quotes included.
        outside = ~_shifted(in_cell, self._in_cell)
        lone_cr = _shifted(data == _CR, self._last == _CR) & (data != _LF) & outside
        cell_edges = self._around_cells[data]
        opening = quotes & outside & ~_shifted(cell_edges, bool(self._around_cells[self._last]))
        closed = _shifted(quotes, self._last == self._quote) & outside & ~cell_edges
        return bool((lone_cr | opening | closed).any())

    @property
    def rows(self) -> int | None:
        """The rows so far, a last line without an end included; None if only reading them says how many."""
        return None if self._uncertain or self._in_cell else self._rows + self._has_content


def _table(characters: str) -> NDArray[np.bool_]:
    """Whether each byte is one of these ASCII characters: 256 values."""
    table = np.zeros(256, bool)
    table[np.frombuffer(characters.encode(), np.uint8)] = True
    return table


def _shifted(values: NDArray[np.bool_], before: bool) -> NDArray[np.bool_]:
    """The value of the byte before each, that of the first being ``before``."""
    return np.concatenate([np.array([before]), values[:-1]])


def row_counter(source: RowSource) -> RowCounter | None:
    """A counter for the bytes of a source's file; None if they do not say how many rows it has."""
    options = source.options
    as_ascii = options.encoding is None or (
        "\n".encode(options.encoding).removeprefix(codecs.BOM_UTF8) == b"\n"
    )
    if not source.resumable or source.input.compression or not as_ascii:
        return None
    if source.format == "jsonl":
        return RowCounter()
    characters = f"{options.quote}{options.delimiter or ''}"
    if source.format not in ("csv", "tsv") or options.escape is not None or not characters.isascii():
        return None
    return RowCounter(options.quote, options.delimiter or "".join(DELIMITERS))
