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

_LISTS = 128 // 8
"""One row in so many is read by IVF, with Milvus's own defaults (nlist 128, nprobe 8)."""

_PASSED = 16
"""Rows that a graph looks at for each that it keeps in its queue, of at least ``_QUEUE``."""
_QUEUE = 64

_SCANS = ("FLAT", "BRUTE_FORCE", "")


def read_bytes(index: str, rows: int, dim: int, wanted: int) -> int:
    """Bytes of vectors that a search for ``wanted`` rows reads by an index of this type."""
    return visited(index, rows, wanted) * dim * FLOAT_BYTES


def visited(index: str, rows: int, wanted: int) -> int:
    """Rows whose vectors a search looks at."""
    kind = index.upper()
    if kind in _SCANS:
        return rows
    if kind.startswith("IVF") or kind == "SCANN":
        return min(rows, max(rows // _LISTS, wanted))
    return min(rows, _PASSED * max(wanted, _QUEUE))
