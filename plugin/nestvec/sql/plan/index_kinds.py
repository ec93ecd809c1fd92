"""What Milvus's types of index need to be searched well: the parameter that widens a search, and its limits.

Names and limits are those of Milvus's documentation of its in-memory, on-disk and GPU indexes, and of
Milvus Lite's source.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class IndexKind:
    """How one type of index is searched."""

    parameter: str = ""
    """The search parameter that sets how much of the index a search visits; empty if it has none."""
    exact: bool = False
    """Whether every search compares every vector, as they were stored."""
    complete_width: bool = False
    """Whether the parameter's largest value (``nlist``) makes a search visit every vector."""
    compressed: bool = False
    """Whether distances are computed from compressed vectors."""
    max_width: int = 0
    """The largest value of the parameter that servers take; 0 for no parameter."""


_EXACT = IndexKind(exact=True)
_GRAPH = IndexKind("ef", max_width=32_768)
_COMPRESSED_GRAPH = IndexKind("ef", compressed=True, max_width=32_768)
_LISTS = IndexKind("nprobe", complete_width=True, max_width=65_536)
_COMPRESSED_LISTS = IndexKind("nprobe", compressed=True, max_width=65_536)
_UNKNOWN = IndexKind()

_KINDS: Final[Mapping[str, IndexKind]] = {
    "": _EXACT,
    "FLAT": _EXACT,
    "BIN_FLAT": _EXACT,
    "BRUTE_FORCE": _EXACT,
    "GPU_BRUTE_FORCE": _EXACT,
    "SPARSE_INVERTED_INDEX": _EXACT,
    "SPARSE_WAND": _EXACT,
    "HNSW": _GRAPH,
    "AUTOINDEX": _GRAPH,
    "HNSW_SQ": _COMPRESSED_GRAPH,
    "HNSW_PQ": _COMPRESSED_GRAPH,
    "HNSW_PRQ": _COMPRESSED_GRAPH,
    "IVF_FLAT": _LISTS,
    "BIN_IVF_FLAT": _LISTS,
    "GPU_IVF_FLAT": _LISTS,
    "IVF_SQ8": _COMPRESSED_LISTS,
    "IVF_PQ": _COMPRESSED_LISTS,
    "IVF_RABITQ": _COMPRESSED_LISTS,
    "GPU_IVF_PQ": _COMPRESSED_LISTS,
    # It puts its candidates in order by the stored vectors itself.
    "SCANN": IndexKind("nprobe", max_width=65_536),
    "DISKANN": IndexKind("search_list", max_width=65_535),
    "GPU_CAGRA": IndexKind("itopk_size", max_width=16_384),
}
"""By name. A sparse index is exact unless it was built, or is searched, with a drop ratio."""

MAX_LISTS: Final = 65_536
"""The largest ``nlist`` of an IVF index and ``nprobe`` of a search; Milvus Lite tells no ``nlist``."""

_GRAPH_WIDTH: Final = 128
"""Width of a search in a graph of 10,000 rows, for a recall of 0.9."""
_MAX_DIGITS: Final = 4.0
_CAGRA_STEP: Final = 32
_LITE_SHARE: Final = 100
"""Milvus Lite spends so long on each row, whatever ``ef`` is, that one candidate in this many is free."""
_LITE_FREE_WIDTH: Final = 2_000


def index_kind(name: str) -> IndexKind:
    """The kind of an index by Milvus's name of its type; without a parameter if the name is unknown."""
    return _KINDS.get(name.upper(), _UNKNOWN)


@dataclass(frozen=True)
class Workload:
    """What a search has to find, in a collection of a certain size."""

    count: int
    """Rows wanted: LIMIT plus OFFSET."""
    rows: int
    """Rows of the collection."""
    matching: int
    """Rows that pass the filter."""
    recall: float
    """Share of the exact result that is wanted, 0 to 1."""
    exact: bool = False
    """Whether rows that are missing would change what the statement means, as under a threshold."""
    lite: bool = False
    """Whether Milvus Lite searches, whose graphs count the candidates that the filter excludes."""

    @property
    def selectivity(self) -> float:
        """Share of the rows that pass the filter, above 0."""
        return min(1.0, max(self.matching, 1) / max(self.rows, 1))


def default_width(kind: IndexKind, workload: Workload, lists: int = MAX_LISTS) -> int:
    """The width of a search where nothing was measured, at least ``workload.count`` for a graph.

    ``lists`` is the number of lists of an IVF index.
    """
    if kind.parameter == "nprobe":
        return _list_width(workload, lists)
    digits = _digits(workload)
    width = _GRAPH_WIDTH * digits * max(1.0, math.log10(max(workload.rows, 1)) / 4)
    filtered = filtered_width(width + 1.5 * workload.count, workload)
    if workload.lite:
        filtered = max(filtered, min(workload.rows // _LITE_SHARE, _LITE_FREE_WIDTH))
    return within_limits(kind, workload, filtered)


def filtered_width(width: float, workload: Workload) -> int:
    """The width of a search in a graph under the workload's filter, from that of a search without one.

    Faiss in Milvus Lite counts excluded rows as candidates; Milvus's own graphs do not, but visit a part of
    them only.
    """
    share = workload.selectivity
    return math.ceil(width / (share if workload.lite else math.sqrt(share)))


def within_limits(kind: IndexKind, workload: Workload, width: int) -> int:
    """The nearest width that the server accepts and that is of any use."""
    useful = min(width, max(workload.rows, workload.count))
    capped = min(max(useful, workload.count, 1), kind.max_width)
    return math.ceil(capped / _CAGRA_STEP) * _CAGRA_STEP if kind.parameter == "itopk_size" else capped


def _list_width(workload: Workload, lists: int) -> int:
    """Lists that are read: a quarter for a recall of 0.99, more under a filter, all of them for 1.

    In Milvus Lite always all of them: that takes a fraction of the time that it spends on each row anyway.
    """
    if workload.lite:
        return lists
    share = min(1.0, math.exp2(_digits(workload) - _MAX_DIGITS)) / workload.selectivity
    # A list holds rows / lists on average: there must be room for the rows wanted.
    room = 2 * workload.count * lists / max(workload.matching, 1)
    return min(lists, max(math.ceil(lists * share), math.ceil(room), 8))


def _digits(workload: Workload) -> float:
    """1 for a recall of 0.9, 2 for 0.99, 4 for 1."""
    if workload.exact or workload.recall >= 1:
        return _MAX_DIGITS
    return max(1.0, min(_MAX_DIGITS, -math.log10(1 - workload.recall)))


def search_params(name: str, width: int, workload: Workload) -> dict[str, int]:
    """The ``params`` of a search with this width."""
    kind = index_kind(name)
    if not kind.parameter:
        return {}
    params = {kind.parameter: width}
    if name.upper() == "SCANN":
        # The candidates whose distances are computed again from the stored vectors.
        params["reorder_k"] = max(4 * workload.count, 200)
    return params
