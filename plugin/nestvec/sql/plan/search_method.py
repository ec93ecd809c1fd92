"""How a search finds its rows: by the index and how widely, or by comparing every matching vector.

A result is exact unless the plan says that it is approximate. nestvec reads the matching vectors itself
where that is cheap (a small collection, a selective filter) or where an index cannot answer (a LIMIT beyond
its reach, another metric than the index's).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from nestvec.sql.bind.query import MAX_WINDOW
from nestvec.sql.plan.index_kinds import (
    MAX_LISTS,
    IndexKind,
    Workload,
    default_width,
    index_kind,
    search_params,
    within_limits,
)
from nestvec.sql.plan.width_statistics import WidthStatistics, measured_width
from nestvec.sql.settings import IndexSettings

SCAN_ROWS: Final = 200
"""Matching rows up to which their vectors are read in any case: about two searches' time."""

_VISITS_PER_READ: Final = 8
"""Candidates that a graph visits in the time in which Milvus returns one vector."""

EXACT_ROWS: Final = 2_000
"""Matching rows up to which a search that has to be exact reads their vectors."""

DEEP_COUNT: Final = 1_000
"""LIMIT plus OFFSET above which the recall of a graph at its end is not what it is for the first rows."""

MAX_SCAN_BYTES: Final = 256 << 20
"""Vectors that nestvec reads for one search: 174,000 of 384 dims."""

UNREACHED_ROWS: Final = 20_000
"""Matching rows up to which they are compared where the index misses rows at any width: ANALYZE saw it, or
did not measure a graph of inner products of vectors of different lengths."""

_UNEVEN_FACTOR: Final = 8
"""Growth of the estimated width of such a graph."""

REFINED_FACTOR: Final = 4
REFINED_ROWS: Final = 32
"""Candidates of a compressed index, in rows wanted, and beyond: stored vectors put them in order."""

WIDENING_FACTOR: Final = 8
"""Growth of a search that returned fewer rows than there are."""


@dataclass(frozen=True)
class SearchedIndex:
    """The index of the column that is searched."""

    name: str
    """Milvus's name of its type; empty without an index."""
    row_bytes: int
    """Bytes of one vector; 0 where nestvec cannot compute distances (sparse vectors)."""
    same_metric: bool = True
    """Whether the index was built for the metric of the search."""
    lists: int = MAX_LISTS
    """``nlist`` of an IVF index; the largest possible if it is unknown."""
    statistics: WidthStatistics | None = None
    """What ANALYZE measured."""
    drop_ratio: str = ""
    """The share of the smallest weights that a sparse index was built without; empty for none."""
    uneven: bool = False
    """Whether it is a graph of inner products of vectors of different lengths, which misses rows."""

    @property
    def kind(self) -> IndexKind:
        """How it is searched."""
        return IndexKind() if self.drop_ratio else index_kind(self.name)


@dataclass(frozen=True)
class SearchMethod:
    """How one search finds its rows."""

    exact: bool
    """Whether the result is that of comparing every matching row."""
    reason: str
    """Why it is exact, or approximate."""
    scan: bool = False
    """Whether nestvec reads the matching vectors and compares them itself."""
    params: Mapping[str, int] = field(default_factory=dict)
    """Milvus's parameters of the search."""
    candidates: int = 0
    """Rows that the index returns for nestvec to put in order by their stored vectors; 0 if it does not."""

    @property
    def described(self) -> str:
        """``exact: …`` or ``approximate: …``, as EXPLAIN shows it."""
        return f"{'exact' if self.exact else 'approximate'}: {self.reason}"


def choose_method(index: SearchedIndex, workload: Workload, settings: IndexSettings) -> SearchMethod:
    """How to find the rows of a workload."""
    why = _scan_reason(index, workload, settings)
    if why:
        return SearchMethod(True, why, scan=True)
    return by_index(index, workload, settings)


def by_index(index: SearchedIndex, workload: Workload, settings: IndexSettings) -> SearchMethod:
    """A search by the index, as widely as the workload needs."""
    kind = index.kind
    if kind.exact:
        name = index.name or "without an index, Milvus"
        return SearchMethod(True, f"{name} compares every vector")
    if index.drop_ratio:
        ratio = f"drop_ratio_build {index.drop_ratio}"
        return SearchMethod(False, f"{index.name} was built with {ratio}: small weights are not in it")
    if not kind.parameter:
        return SearchMethod(False, f"{index.name or 'an unknown index'} has no parameter that widens it")
    width, origin = _width(index, workload, settings)
    refined = refined_count(workload.count)
    if kind.compressed and refined <= MAX_WINDOW and may_scan(index, refined):
        width = width if kind.parameter == "nprobe" else max(width, min(refined, kind.max_width))
        params = search_params(index.name, width, replace(workload, count=refined))
        reason = f"{index.name} with {kind.parameter} {width:,}, {origin}"
        reason += f"; nestvec compares {refined:,} candidates"
        return SearchMethod(False, reason, params=params, candidates=refined)
    params = search_params(index.name, width, workload)
    if kind.complete_width and width >= index.lists:
        reason = f"{index.name} reads every list"
        if not workload.lite:
            reason += "; Milvus searches rows written moments ago by an index of its own"
        return SearchMethod(_complete(index, workload, width), reason, params=params)
    limits = _limits(index, workload, settings)
    reason = f"{index.name} with {kind.parameter} {width:,}, {origin}{limits}"
    return SearchMethod(False, reason, params=params)


def widened(index: SearchedIndex, workload: Workload, method: SearchMethod) -> SearchMethod | None:
    """A wider search by the same index; None if there is none."""
    kind = index.kind
    width = method.params.get(kind.parameter, 0)
    largest = index.lists if kind.parameter == "nprobe" else within_limits(kind, workload, kind.max_width)
    if not kind.parameter or width >= largest:
        return None
    wider = min(width * WIDENING_FACTOR, largest)
    params = search_params(index.name, wider, workload)
    reason = f"{index.name} with {kind.parameter} {wider:,}, widened from {width:,}"
    return replace(method, params=params, exact=_complete(index, workload, wider), reason=reason)


def _complete(index: SearchedIndex, workload: Workload, width: int) -> bool:
    """Whether a search of this width compares every vector.

    Not on a server, whatever the width is: it searches rows that were written moments ago by an index of its
    own, in whose lists it reads as many as its configuration says (segcore's ``VecIndexConfig``).
    """
    return workload.lite and index.kind.complete_width and width >= index.lists


def refined_count(count: int) -> int:
    """Candidates of a compressed index from which ``count`` rows are chosen by their stored vectors."""
    return REFINED_FACTOR * count + REFINED_ROWS


def may_scan(index: SearchedIndex, matching: int) -> bool:
    """Whether nestvec can read and compare the vectors of this many rows."""
    return 0 < index.row_bytes * max(matching, 1) <= MAX_SCAN_BYTES


def _scan_reason(index: SearchedIndex, workload: Workload, settings: IndexSettings) -> str:
    """Why nestvec compares every matching row itself; empty if it does not."""
    kind, matching, count = index.kind, workload.matching, workload.count
    if not may_scan(index, matching):
        return ""
    rows = f"nestvec compares {'all' if matching >= workload.rows else 'the'} {matching:,} matching rows"
    if not index.same_metric:
        return f"{rows}: the index {index.name} is of another metric"
    # Every list of an IVF index takes less time than reading the vectors.
    every_list = kind.complete_width and (workload.lite or workload.recall < 1)
    if kind.exact or every_list or settings.iterative_scan != "strict_order":
        return ""
    if matching <= SCAN_ROWS:
        return rows
    if workload.recall >= 1:
        return f"{rows}: nestvec.recall is 1"
    if workload.exact and matching <= EXACT_ROWS:
        return rows
    if count > DEEP_COUNT or 2 * count > matching:
        return f"{rows}: LIMIT plus OFFSET of {count:,} is deep"
    unreached = _unreached_reason(index, workload)
    if unreached and matching <= UNREACHED_ROWS:
        return f"{rows}: {unreached}"
    if kind.parameter and matching * _VISITS_PER_READ <= _width(index, workload, settings)[0]:
        return f"{rows}: the index would have to visit as many"
    return ""


def _unreached_reason(index: SearchedIndex, workload: Workload) -> str:
    """Why the index misses rows however widely it is searched; empty if it is not known to."""
    statistics = index.statistics
    usable = statistics is not None and not statistics.stale(workload.rows)
    measured = measured_width(statistics, workload) if statistics is not None and usable else None
    if measured is not None:
        few = measured[1] < workload.recall
        return f"ANALYZE found that the index reaches a recall of {measured[1]:.3f} only" if few else ""
    if not index.uneven:
        return ""
    return "ANALYZE did not measure the index, and graphs of inner products miss rows"


def _limits(index: SearchedIndex, workload: Workload, settings: IndexSettings) -> str:
    """Why the search is not exact although the workload asks for it; empty if it does not ask."""
    if index.kind.compressed:
        return "; its vectors are compressed"
    deep = workload.count > DEEP_COUNT or 2 * workload.count > workload.matching
    if not deep and workload.recall < 1:
        return ""
    if settings.iterative_scan != "strict_order":
        return f"; hnsw.iterative_scan is {settings.iterative_scan}"
    if may_scan(index, workload.matching):
        # A part of a hybrid search, or a text that nestvec cannot have embedded.
        return "; nestvec cannot compare the rows of this search itself"
    return f"; the vectors of {workload.matching:,} rows are too many to be compared"


def _width(index: SearchedIndex, workload: Workload, settings: IndexSettings) -> tuple[int, str]:
    """The width of a search, and what it is from."""
    kind = index.kind
    if kind.parameter == "nprobe" and settings.probes:
        return min(max(settings.probes, 1), index.lists), "as ivfflat.probes says"
    if kind.parameter == "ef" and settings.ef_search:
        return within_limits(kind, workload, settings.ef_search), "as hnsw.ef_search says"
    deep = workload.count > DEEP_COUNT or 2 * workload.count > workload.matching
    if kind.complete_width and (deep or workload.recall >= 1 or workload.matching <= SCAN_ROWS):
        return index.lists, "every list"
    default = default_width(kind, workload, index.lists)
    if kind.parameter == "nprobe" and default >= index.lists:
        return default, "every list"
    statistics = index.statistics
    measured = measured_width(statistics, workload) if statistics is not None else None
    if measured is None and index.uneven:
        width = within_limits(kind, workload, default * _UNEVEN_FACTOR)
        return width, "not known to reach a recall among vectors of different lengths: run ANALYZE"
    if statistics is None or measured is None:
        return default, f"estimated for recall {workload.recall:g}"
    width, bound = measured
    if kind.parameter == "nprobe":
        width = min(width, index.lists)
    else:
        # ANALYZE measured results of ten rows, at a selectivity near this one.
        width = within_limits(kind, workload, width + 2 * max(0, workload.count - 10))
    if statistics.stale(workload.rows):
        return max(width, default), f"estimated for recall {workload.recall:g}: ANALYZE is out of date"
    return width, f"measured by ANALYZE: recall at least {bound:.3f}"
