"""How much memory rows take: an estimate, by some of them where they are many."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Final

from nestvec.sql.result import Row

_SAMPLED: Final = 1_000
"""Rows that are looked at."""


def memory_of(rows: Sequence[Row]) -> int:
    """The bytes of rows and their values."""
    step = max(1, len(rows) // _SAMPLED)
    sample = rows[::step]
    total = sum(_size(row) for row in sample)
    return total * len(rows) // len(sample) if sample else 0


def _size(value: Any) -> int:
    if isinstance(value, (list, tuple)):
        # The numbers of a vector are as large as its first.
        if value and isinstance(value[0], float):
            return sys.getsizeof(value) + len(value) * sys.getsizeof(value[0])
        return sys.getsizeof(value) + sum(map(_size, value))
    if isinstance(value, dict):
        return sys.getsizeof(value) + sum(_size(part) for item in value.items() for part in item)
    return sys.getsizeof(value)
