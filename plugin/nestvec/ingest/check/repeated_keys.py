"""How many rows of a file were replaced by a later one of the same key."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np

_MAX_KEYS: Final = 1 << 24
"""Keys that are compared: 128 MiB."""

_MASK: Final = (1 << 64) - 1


class RepeatedKeys:
    """Counts the rows whose key an earlier row has, in 8 bytes a row.

    Whole numbers are compared as they are, texts by a hash of 64 bits: of 10 million texts, two different
    ones have the same with a probability of 3 in a million.
    """

    def __init__(self, key: str | None) -> None:
        """``key`` is the column of the primary key; None if rows have none of their own."""
        self._key = key
        self._values = array("Q")

    def add(self, rows: Iterable[Mapping[str, object]]) -> None:
        """Note the keys of rows."""
        if self._key is None or len(self._values) >= _MAX_KEYS:
            return
        values = (row.get(self._key) for row in rows)
        self._values.extend((value if isinstance(value, int) else hash(value)) & _MASK for value in values)

    @property
    def count(self) -> int:
        """The number of these rows, among the first 16 million or so."""
        if not self._values:
            return 0
        return len(self._values) - len(np.unique(np.frombuffer(self._values, np.uint64)))
