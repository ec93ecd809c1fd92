"""Adaptive retrieval: whether a search reads only the longest vectors of a family, or a shortlist first.

MRL's funnel (Kusupati et al. 2022) with the sizes of AdANNS (Rege et al. 2023): short vectors suffice to
separate the few relevant rows from the many others, and the full vectors put those few in order. How short
and how few is measured on the collection (ANALYZE). A shortlist is chosen only if the lower bound of its
recall reaches the target. Where nothing was measured, or a shortlist might change what the statement means,
the search is by the longest vectors.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from nestvec.milvus.catalog import Column, Table
from nestvec.sql.bind.query import MAX_WINDOW
from nestvec.sql.bind.values import ColumnRef
from nestvec.sql.bind.vectors.distance import DistanceRanking
from nestvec.sql.bind.vectors.targets import Target, VectorSum
from nestvec.sql.parse.hints import Shortlist, parse_shortlist_setting
from nestvec.sql.parse.source import SourceText
from nestvec.sql.plan.cost import ROUND_TRIP, read_bytes
from nestvec.sql.plan.nodes import Plan, Rescore, VectorSearch, source_of, with_source
from nestvec.sql.plan.statistics import (
    MIN_QUERIES,
    RECALL_LEVELS,
    FamilyStatistics,
    ShorterColumn,
    ShortlistRecall,
    stored_statistics,
)
from nestvec.sql.settings import SessionSettings
from nestvec_schemas.vectors import FLOAT_BYTES

_MAX_LIGHT_CHARS: Final = 256
"""Length of a text column up to which it is read with the shortlist, in case the search stops early."""

_UNIT_TOLERANCE: Final = 1e-3
"""How far the length of a vector may be from 1 for it to count as normalised."""


@dataclass(frozen=True)
class ShortlistChoice:
    """The shortlist that a search reads first."""

    column: str
    """The shorter vectors that it is searched by."""
    size: int
    """Its number of rows."""
    expected: str
    """The recall that ANALYZE measured for it, for EXPLAIN."""
    early_stop_gap: float | None = None
    """As in ``Rescore``."""


def add_shortlist(
    plan: Plan, table: Table, settings: SessionSettings, hint: Shortlist | None, source: SourceText
) -> Plan:
    """The plan, with a shortlist if one pays off. Raises SqlNotSupported, SqlTypeMismatch for its hint."""
    node = source_of(plan.node)
    nearest = node.nearest if isinstance(node, VectorSearch) else None
    if not isinstance(node, VectorSearch) or nearest is None or not nearest.shorter:
        if hint is not None:
            raise source.not_supported(
                "a shortlist without a search by a family of vectors",
                hint.position,
                "ORDER BY a distance of a text column that has vectors of several lengths.",
            )
        return plan
    if not _is_plain(node):
        return replace(plan, notes=(*plan.notes, "full vectors: a shortlist does not apply to this query"))
    requested = hint or parse_shortlist_setting(settings.shortlist)
    if hint is not None and hint.dim and hint.dim not in _columns_by_dim(table, nearest):
        offered = ", ".join(map(str, _columns_by_dim(table, nearest)))
        raise source.type_mismatch(
            "the column has no shorter vectors of this dim", hint.dim, hint.position, f"Available: {offered}."
        )
    choice = choose_shortlist(table, nearest, node.limit + node.offset, settings.recall, requested)
    if isinstance(choice, str):
        return replace(plan, notes=(*plan.notes, choice))
    return replace(plan, node=with_source(plan.node, _rescore(plan, node, table, choice)))


def choose_shortlist(
    table: Table, nearest: DistanceRanking, count: int, target: float, requested: Shortlist | None = None
) -> ShortlistChoice | str:
    """The cheapest shortlist that reaches the recall for results of ``count`` rows, or why there is none."""
    statistics = stored_statistics(table, nearest.column)
    if requested is not None:
        return _requested_shortlist(table, nearest, count, requested, statistics)
    if statistics is None:
        return f"full vectors: run ANALYZE {table.name} to enable shortlists by shorter vectors"
    if isinstance(statistics, str):
        problem = f"the statistics of {nearest.column} are unusable ({statistics})"
        return f"full vectors: {problem}: run ANALYZE {table.name}"
    if statistics.queries < MIN_QUERIES:
        return f"full vectors: ANALYZE sampled {statistics.queries} queries, fewer than {MIN_QUERIES}"
    return _cheapest_shortlist(table, nearest, count, target, statistics)


def _columns_by_dim(table: Table, nearest: DistanceRanking) -> dict[int, str]:
    """The shorter columns by their dims."""
    columns = (table.column(name) for name in nearest.shorter)
    return {column.dim: column.name for column in columns if column is not None and column.dim is not None}


def _requested_shortlist(
    table: Table,
    nearest: DistanceRanking,
    count: int,
    requested: Shortlist,
    statistics: FamilyStatistics | str | None,
) -> ShortlistChoice | str:
    column = _columns_by_dim(table, nearest).get(requested.dim)
    if not requested.dim:
        return "full vectors: the shortlist is off"
    if column is None:
        return f"full vectors: {table.name} has no vectors of {requested.dim} dims for nestvec.shortlist"
    size = min(max(requested.size, count), MAX_WINDOW)
    shorter = statistics.shorter if isinstance(statistics, FamilyStatistics) else ()
    recalls = next(
        (_bounds(candidate, count, size) for candidate in shorter if candidate.column == column), None
    )
    origin = "a hint" if requested.position is not None else "nestvec.shortlist"
    if not recalls or not isinstance(statistics, FamilyStatistics):
        return ShortlistChoice(column, size, f"not measured; set by {origin}")
    return ShortlistChoice(column, size, f"{_expected_recall(recalls, statistics)}; set by {origin}")


def _cheapest_shortlist(
    table: Table, nearest: DistanceRanking, count: int, target: float, statistics: FamilyStatistics
) -> ShortlistChoice | str:
    reliable = [
        (shorter, recalls)
        for shorter in statistics.shorter
        if shorter.column in nearest.shorter
        for recalls in _recalls_by_size(shorter, count)
        if min(recall.floor for recall in recalls) >= target
    ]
    if not reliable:
        return f"full vectors: no shortlist is certain to reach a recall of {target:g} for {count} rows"
    full_scan = read_bytes(_index(table, nearest.column), statistics.rows, statistics.dim, count)
    costs = [_shortlist_bytes(table, statistics, shorter, recalls[0].size) for shorter, recalls in reliable]
    best, measured = reliable[costs.index(min(costs))]
    size = measured[0].size
    if min(costs) + ROUND_TRIP >= full_scan:
        return f"full vectors: a scan of {statistics.rows:,} rows costs less than a second search"
    return ShortlistChoice(
        best.column, size, _expected_recall(measured, statistics), _early_stop_gap(measured, count, target)
    )


def _shortlist_bytes(table: Table, statistics: FamilyStatistics, shorter: ShorterColumn, size: int) -> int:
    first = read_bytes(_index(table, shorter.column), statistics.rows, shorter.dim, size)
    return first + size * statistics.dim * FLOAT_BYTES


def _index(table: Table, column: str) -> str:
    return table.indexes.get(column, "")


def _recalls_by_size(shorter: ShorterColumn, count: int) -> Iterator[tuple[ShortlistRecall, ...]]:
    """For each size of shortlist, the recall measured for results of about ``count`` rows."""
    for size in sorted({recall.size for recall in shorter.recall if recall.size >= count}):
        recalls = _bounds(shorter, count, size)
        if recalls is not None:
            yield recalls


def _bounds(shorter: ShorterColumn, count: int, size: int) -> tuple[ShortlistRecall, ...] | None:
    """The recalls measured for the counts next to ``count``, below and above; None if none is above.

    Recall mostly falls as the result grows: the worse of the two is the one to rely on.
    """
    of_size = sorted(
        (recall for recall in shorter.recall if recall.size == size), key=lambda recall: recall.count
    )
    above = next((recall for recall in of_size if recall.count >= count), None)
    if above is None:
        return None
    below = next((recall for recall in reversed(of_size) if recall.count <= count), above)
    return (below,) if below == above else (below, above)


def _expected_recall(recalls: tuple[ShortlistRecall, ...], statistics: FamilyStatistics) -> str:
    worst = min(recalls, key=lambda recall: recall.floor)
    return (
        f"recall@{worst.count} {worst.mean:.4f}, at least {worst.floor:.4f} (95 % confidence), "
        f"over {statistics.queries} queries"
    )


def _early_stop_gap(recalls: tuple[ShortlistRecall, ...], count: int, target: float) -> float | None:
    """The gap for an early stop; None for a count or a target that ANALYZE did not measure."""
    level = next((number for number, learned in enumerate(RECALL_LEVELS) if learned >= target), None)
    if level is None or len(recalls) > 1 or recalls[0].count != count:
        return None
    return recalls[0].easy[level]


def _is_plain(node: VectorSearch) -> bool:
    """Whether a search has only a filter, a limit and an offset, which a shortlist leaves as they are."""
    nearest = node.nearest
    return not node.group and isinstance(nearest.target, (str, tuple, VectorSum)) and node.limit > 0


def _rescore(plan: Plan, node: VectorSearch, table: Table, choice: ShortlistChoice) -> Rescore:
    nearest, primary = node.nearest, table.primary
    column = table.column(choice.column)
    dim = (column.dim if column is not None else None) or 0
    # Neither the result nor another node of the plan reads the distance of a row.
    columns_only = plan.node is node and all(
        isinstance(output.expression, ColumnRef) for output in plan.outputs
    )
    early_stop_gap = (
        choice.early_stop_gap
        if columns_only and all(_is_light(table, name) for name in node.fields)
        else None
    )
    fields = dict.fromkeys((primary.name, *(node.fields if early_stop_gap is not None else ())))
    shortlist = VectorSearch(
        node.collection,
        DistanceRanking(choice.column, nearest.metric, shorten_target(nearest.target, dim)),
        node.filter,
        tuple(fields),
        choice.size,
    )
    return Rescore(
        shortlist,
        node,
        primary_key=primary.name,
        dim=dim,
        expected=choice.expected,
        early_stop_gap=early_stop_gap,
    )


def shorten_target(target: Target, dim: int) -> Target:
    """The same target for vectors of ``dim``: a vector is truncated, and normalised if it was before.

    A text is unchanged: its encoder computes the shorter vector.
    """
    if not isinstance(target, tuple):
        return target
    short = target[:dim]
    length = math.hypot(*short)
    if length == 0 or abs(math.hypot(*target) - 1) > _UNIT_TOLERANCE:
        return short
    return tuple(value / length for value in short)


def _is_light(table: Table, name: str) -> bool:
    """Whether a column is cheap to read for every row of a shortlist."""
    column: Column | None = table.column(name)
    if column is None or column.is_vector or column.type in ("JSON", "ARRAY"):
        return False
    return column.max_length is None or column.max_length <= _MAX_LIGHT_CHARS
