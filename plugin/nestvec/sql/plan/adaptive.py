"""Which vectors of a family a search reads: the longest alone, or a shortlist by a shorter one, then those.

MRL's funnel (Kusupati et al. 2022) with the sizes of AdANNS (Rege et al. 2023): short vectors are enough to
tell the few rows that matter from the many that do not, and the whole ones put those in order. How short and
how few is measured on the collection (ANALYZE). A choice never has a floor of recall below the target; where
nothing is known, or it is not sure that the answer keeps its meaning, the longest vectors are searched.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from nestvec.milvus.catalog import Column, Table
from nestvec.sql.bind.expressions.expressions import Field
from nestvec.sql.bind.select import MAX_ROWS
from nestvec.sql.bind.vectors.hints import Shortlist, read_setting
from nestvec.sql.bind.vectors.nearest import Nearest
from nestvec.sql.bind.vectors.targets import Sum, Target
from nestvec.sql.parse.source import Source
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

_MAX_LIGHT_CHARS = 256
"""Characters from which a column is too long to be read of a whole shortlist on the chance of stopping."""

_UNIT_TOLERANCE = 1e-3


@dataclass(frozen=True)
class ShortlistChoice:
    """A shortlist: ``size`` rows by ``column``. ``easy`` as in Rescore; ``expected`` is for people."""

    column: str
    size: int
    expected: str
    early_stop_gap: float | None = None


def add_shortlist(
    plan: Plan, table: Table, settings: SessionSettings, hint: Shortlist | None, source: Source
) -> Plan:
    """The plan with a shortlist where one pays. Raises SqlNotSupported, SqlTypeMismatch at a wrong hint."""
    node = source_of(plan.node)
    nearest = node.nearest if isinstance(node, VectorSearch) else None
    if not isinstance(node, VectorSearch) or nearest is None or not nearest.shorter:
        if hint is not None:
            raise source.not_supported(
                "a shortlist where no family of vectors is searched",
                hint.at,
                "ORDER BY a distance of a text column that has vectors of several lengths.",
            )
        return plan
    if not _is_plain(node):
        return replace(plan, notes=(*plan.notes, "whole vectors: what is asked has no shortlist"))
    requested = hint or read_setting(settings.shortlist)
    if hint is not None and hint.dim and hint.dim not in _columns_by_dim(table, nearest):
        offered = ", ".join(map(str, _columns_by_dim(table, nearest)))
        raise source.type_mismatch("no shorter vectors of this dim", hint.dim, hint.at, f"There: {offered}.")
    choice = choose_shortlist(table, nearest, node.limit + node.offset, settings.recall, requested)
    if isinstance(choice, str):
        return replace(plan, notes=(*plan.notes, choice))
    return replace(plan, node=with_source(plan.node, _rescore(plan, node, table, choice)))


def choose_shortlist(
    table: Table, nearest: Nearest, count: int, target: float, requested: Shortlist | None = None
) -> ShortlistChoice | str:
    """The cheapest shortlist for answers of ``count`` rows whose recall is sure; or why there is none."""
    statistics = stored_statistics(table, nearest.column)
    if requested is not None:
        return _requested_shortlist(table, nearest, count, requested, statistics)
    if statistics is None:
        return f"whole vectors: run ANALYZE {table.name} to let shorter vectors be used"
    if isinstance(statistics, str):
        again = f"run ANALYZE {table.name}"
        return f"whole vectors: the statistics of {nearest.column} are no use ({statistics}): {again}"
    if statistics.queries < MIN_QUERIES:
        return f"whole vectors: ANALYZE had {statistics.queries} queries, which are too few"
    return _cheapest_shortlist(table, nearest, count, target, statistics)


def _columns_by_dim(table: Table, nearest: Nearest) -> dict[int, str]:
    """The shorter columns by their dims."""
    columns = (table.column(name) for name in nearest.shorter)
    return {column.dim: column.name for column in columns if column is not None and column.dim is not None}


def _requested_shortlist(
    table: Table,
    nearest: Nearest,
    count: int,
    requested: Shortlist,
    statistics: FamilyStatistics | str | None,
) -> ShortlistChoice | str:
    column = _columns_by_dim(table, nearest).get(requested.dim)
    if not requested.dim:
        return "whole vectors: the shortlist is set to off"
    if column is None:
        return f"whole vectors: nestvec.shortlist asks for {requested.dim} dims, which {table.name} has not"
    size = min(max(requested.size, count), MAX_ROWS)
    shorter = statistics.shorter if isinstance(statistics, FamilyStatistics) else ()
    recalls = next(
        (_bounds(candidate, count, size) for candidate in shorter if candidate.column == column), None
    )
    where = "a hint" if requested.at is not None else "nestvec.shortlist"
    if not recalls or not isinstance(statistics, FamilyStatistics):
        return ShortlistChoice(column, size, f"not measured; {where} asks for it")
    return ShortlistChoice(column, size, f"{_expected_recall(recalls, statistics)}; {where} asks for it")


def _cheapest_shortlist(
    table: Table, nearest: Nearest, count: int, target: float, statistics: FamilyStatistics
) -> ShortlistChoice | str:
    reliable = [
        (one, measured)
        for one in statistics.shorter
        if one.column in nearest.shorter
        for measured in _recalls_by_size(one, count)
        if min(recall.floor for recall in measured) >= target
    ]
    if not reliable:
        return f"whole vectors: no shortlist is sure of a recall of {target:g} for {count} rows"
    full_scan = read_bytes(_index(table, nearest.column), statistics.rows, statistics.dim, count)
    best, measured = min(
        reliable, key=lambda one: _shortlist_bytes(table, statistics, one[0], one[1][0].size)
    )
    size = measured[0].size
    if _shortlist_bytes(table, statistics, best, size) + ROUND_TRIP >= full_scan:
        return f"whole vectors: {statistics.rows:,} rows are read sooner than a second search is asked"
    return ShortlistChoice(
        best.column, size, _expected_recall(measured, statistics), _early_stop_gap(measured, count, target)
    )


def _shortlist_bytes(table: Table, statistics: FamilyStatistics, shorter: ShorterColumn, size: int) -> int:
    first = read_bytes(_index(table, shorter.column), statistics.rows, shorter.dim, size)
    return first + size * statistics.dim * FLOAT_BYTES


def _index(table: Table, column: str) -> str:
    return table.indexes.get(column, "")


def _recalls_by_size(shorter: ShorterColumn, count: int) -> Iterator[tuple[ShortlistRecall, ...]]:
    """For each size, what was measured for answers of about ``count`` rows; nothing where it is unknown."""
    for size in sorted({recall.size for recall in shorter.recall if recall.size >= count}):
        recalls = _bounds(shorter, count, size)
        if recalls is not None:
            yield recalls


def _bounds(shorter: ShorterColumn, count: int, size: int) -> tuple[ShortlistRecall, ...] | None:
    """The measured lengths next to ``count``, below and above, of one size; None where there is none above.

    Recall falls with the length of the answer, mostly: the worse of both is what is counted on.
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
        f"recall@{worst.count} {worst.mean:.4f}, at least {worst.floor:.4f} (95 % sure), "
        f"on {statistics.queries} queries"
    )


def _early_stop_gap(recalls: tuple[ShortlistRecall, ...], count: int, target: float) -> float | None:
    """The gap that stops early, which is known for the very lengths that were measured."""
    level = next((number for number, learned in enumerate(RECALL_LEVELS) if learned >= target), None)
    if level is None or len(recalls) > 1 or recalls[0].count != count:
        return None
    return recalls[0].easy[level]


def _is_plain(node: VectorSearch) -> bool:
    """Whether a search is nothing but what a shortlist keeps the meaning of: a filter, a limit, an offset."""
    nearest = node.nearest
    plain = VectorSearch(node.collection, nearest, node.filter, node.fields, node.limit, node.offset)
    return node == plain and isinstance(nearest.target, (str, tuple, Sum)) and node.limit > 0


def _rescore(plan: Plan, node: VectorSearch, table: Table, choice: ShortlistChoice) -> Rescore:
    nearest, primary = node.nearest, table.primary
    column = table.column(choice.column)
    dim = (column.dim if column is not None else None) or 0
    # Nothing but columns is wanted of the rows: neither in the answer nor before it is their distance read.
    columns_only = plan.node is node and all(isinstance(output.expression, Field) for output in plan.outputs)
    early_stop_gap = (
        choice.early_stop_gap
        if columns_only and all(_is_light(table, name) for name in node.fields)
        else None
    )
    fields = dict.fromkeys((primary.name, *(node.fields if early_stop_gap is not None else ())))
    shortlist = VectorSearch(
        node.collection,
        Nearest(choice.column, nearest.metric, shorten_target(nearest.target, dim)),
        node.filter,
        tuple(fields),
        choice.size,
    )
    return Rescore(shortlist, node, primary.name, dim, choice.expected, early_stop_gap)


def shorten_target(target: Target, dim: int) -> Target:
    """A query for vectors of ``dim``: a text as it is, a vector as a shorter one of the same encoder is made.

    One of length 1 is cut and brought to length 1 again; of another length, cut alone.
    """
    if not isinstance(target, tuple):
        return target
    short = target[:dim]
    length = math.hypot(*short)
    if length == 0 or abs(math.hypot(*target) - 1) > _UNIT_TOLERANCE:
        return short
    return tuple(value / length for value in short)


def _is_light(table: Table, name: str) -> bool:
    """Whether reading a column of every row of a shortlist costs next to nothing."""
    column: Column | None = table.column(name)
    if column is None or column.is_vector or column.type in ("JSON", "ARRAY"):
        return False
    return column.max_length is None or column.max_length <= _MAX_LIGHT_CHARS
