"""Cost of a search as bytes of vectors read: a rough estimate, enough to compare plans.

A scan reads every row's vector, an IVF index those of the lists that it probes, a graph those of the nodes
that it visits. Milvus reports none of this, so the numbers are estimates by type of index.
"""

from __future__ import annotations

from typing import Final

from nestvec_schemas.vectors import FLOAT_BYTES

ROUND_TRIP: Final = 24_000_000
"""Bytes that a scan reads in the time of one more search: Milvus 2.3.5 was measured to read 6.6 MB per
millisecond, and to take 4 ms to search 100 rows by their ids."""

_ROWS_PER_PROBED = 128 // 8
"""IVF reads one row in this many, with Milvus's defaults (nlist 128, nprobe 8)."""

_VISITED_PER_CANDIDATE = 16
"""Rows that a graph visits for each candidate in its queue."""
_MIN_CANDIDATES = 64
"""Candidates that the queue of a graph has at least."""

_SCAN_INDEXES = ("FLAT", "BRUTE_FORCE", "")


def read_bytes(index: str, rows: int, dim: int, count: int) -> int:
    """Bytes of vectors that a search for ``count`` rows reads from an index of this type."""
    return visited_rows(index, rows, count) * dim * FLOAT_BYTES


def visited_rows(index: str, rows: int, count: int) -> int:
    """Rows whose vectors a search visits."""
    kind = index.upper()
    if kind in _SCAN_INDEXES:
        return rows
    if kind.startswith("IVF") or kind == "SCANN":
        return min(rows, max(rows // _ROWS_PER_PROBED, count))
    return min(rows, _VISITED_PER_CANDIDATE * max(count, _MIN_CANDIDATES))
