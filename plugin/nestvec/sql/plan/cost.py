"""What a search reads, in bytes of vectors: enough to tell a cheap plan from a dear one, and no more.

An index that scans reads every row's vector; one of lists, those of the lists that it opens; a graph, those
of the nodes that it passes. Milvus says none of this, so the numbers are estimates by kinds of index.
"""

from __future__ import annotations

from typing import Final

from nestvec_schemas.vectors import FLOAT_BYTES

ROUND_TRIP: Final = 24_000_000
"""Bytes that a scan reads in the time of one more search: Milvus 2.3.5 reads 6.6 MB a millisecond here, and
a search for 100 rows by their ids takes 4."""

_ROWS_PER_PROBED = 128 // 8
"""One row in so many is read by IVF, with Milvus's own defaults (nlist 128, nprobe 8)."""

_VISITED_PER_CANDIDATE = 16
"""Rows that a graph looks at for each that it keeps in its queue, of at least ``_QUEUE``."""
_MIN_CANDIDATES = 64

_SCAN_INDEXES = ("FLAT", "BRUTE_FORCE", "")


def read_bytes(index: str, rows: int, dim: int, count: int) -> int:
    """Bytes of vectors that a search for ``wanted`` rows reads by an index of this type."""
    return visited_rows(index, rows, count) * dim * FLOAT_BYTES


def visited_rows(index: str, rows: int, count: int) -> int:
    """Rows whose vectors a search looks at."""
    kind = index.upper()
    if kind in _SCAN_INDEXES:
        return rows
    if kind.startswith("IVF") or kind == "SCANN":
        return min(rows, max(rows // _ROWS_PER_PROBED, count))
    return min(rows, _VISITED_PER_CANDIDATE * max(count, _MIN_CANDIDATES))
