"""How many rows a text file has: lines with something on them, and not those inside quoted cells."""

from __future__ import annotations

import numpy as np

_LF, _CR = ord("\n"), ord("\r")


class RowCounter:
    """Counts the rows of a file in UTF-8 from its bytes, chunk by chunk.

    With a ``quote``, a line end between two of them belongs to a cell, as in CSV; quotes inside a cell are
    doubled, so that they do not change that.
    """

    def __init__(self, quote: str = "") -> None:
        self._quote = ord(quote) if len(quote) == 1 and quote.isascii() else None
        self._rows = 0
        self._inside = False
        self._has_content = False

    def feed(self, chunk: bytes) -> None:
        """Count the next bytes."""
        if not chunk:
            return
        data = np.frombuffer(chunk, np.uint8)
        ends = data == _LF
        if self._quote is not None:
            quotes = np.cumsum(data == self._quote) + self._inside
            ends &= quotes % 2 == 0
            self._inside = bool(quotes[-1] % 2)
        # A line counts if a byte other than its end was on it; a line end inside quotes is content.
        content = np.cumsum((data != _LF) & (data != _CR) | (data == _LF) & ~ends)
        at_ends = content[ends]
        if at_ends.size == 0:
            self._has_content = self._has_content or bool(content[-1])
            return
        lines = np.diff(at_ends, prepend=0)
        self._rows += int(np.count_nonzero(lines)) + int(self._has_content and not lines[0])
        self._has_content = bool(content[-1] > at_ends[-1])

    @property
    def rows(self) -> int:
        """The rows so far, a last line without an end included."""
        return self._rows + self._has_content
