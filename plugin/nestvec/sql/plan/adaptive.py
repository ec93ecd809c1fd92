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

from nestvec.catalog import Column, Table
from nestvec.sql.bind.expressions import Field
from nestvec.sql.bind.hints import Shortlist, read_setting
from nestvec.sql.bind.nearest import Nearest
from nestvec.sql.bind.select import MAX_ROWS
from nestvec.sql.bind.targets import Sum, Target
from nestvec.sql.language.source import Source
from nestvec.sql.plan.cost import ROUND_TRIP, read_bytes
from nestvec.sql.plan.nodes import Plan, Rescore, Search, source_of, with_source
from nestvec.sql.plan.statistics import ENOUGH, LEVELS, Recall, Shorter, Statistics, stored
from nestvec.sql.settings import Settings
from nestvec_schemas.vectors import FLOAT_BYTES

_LONG_TEXT = 256
"""Characters from which a column is too long to be read of a whole shortlist on the chance of stopping."""

_UNIT = 1e-3


@dataclass(frozen=True)
class Choice:
    """A shortlist: ``size`` rows by ``column``. ``easy`` as in Rescore; ``expected`` is for people."""

    column: str
    size: int
    expected: str
    easy: float | None = None


def adapted(plan: Plan, table: Table, settings: Settings, hint: Shortlist | None, source: Source) -> Plan:
    """The plan with a shortlist where one pays. Raises SqlNotSupported, SqlTypeMismatch at a wrong hint."""
    node = source_of(plan.node)
    near = node.nearest if isinstance(node, Search) else None
    if not isinstance(node, Search) or near is None or not near.shorter:
        if hint is not None:
            raise source.not_supported(
                "a shortlist where no family of vectors is searched",
                hint.at,
                "ORDER BY a distance of a text column that has vectors of several lengths.",
            )
        return plan
    if not _is_plain(node):
        return replace(plan, notes=(*plan.notes, "whole vectors: what is asked has no shortlist"))
    wish = hint or read_setting(settings.shortlist)
    if hint is not None and hint.dim and hint.dim not in _dims(table, near):
        offered = ", ".join(map(str, _dims(table, near)))
        raise source.type_mismatch("no shorter vectors of this dim", hint.dim, hint.at, f"There: {offered}.")
    chosen = choose(table, near, node.limit + node.offset, settings.recall, wish)
    if isinstance(chosen, str):
        return replace(plan, notes=(*plan.notes, chosen))
    return replace(plan, node=with_source(plan.node, _rescore(plan, node, table, chosen)))


def choose(
    table: Table, nearest: Nearest, count: int, target: float, wish: Shortlist | None = None
) -> Choice | str:
    """The cheapest shortlist for answers of ``count`` rows whose recall is sure; or why there is none."""
    found = stored(table, nearest.column)
    if wish is not None:
        return _wished(table, nearest, count, wish, found)
    if found is None:
        return f"whole vectors: run ANALYZE {table.name} to let shorter vectors be used"
    if isinstance(found, str):
        again = f"run ANALYZE {table.name}"
        return f"whole vectors: the statistics of {nearest.column} are no use ({found}): {again}"
    if found.queries < ENOUGH:
        return f"whole vectors: ANALYZE had {found.queries} queries, which are too few"
    return _cheapest(table, nearest, count, target, found)


def _dims(table: Table, nearest: Nearest) -> dict[int, str]:
    """The shorter columns by their dims."""
    columns = (table.column(name) for name in nearest.shorter)
    return {column.dim: column.name for column in columns if column is not None and column.dim is not None}


def _wished(
    table: Table, nearest: Nearest, count: int, wish: Shortlist, found: Statistics | str | None
) -> Choice | str:
    column = _dims(table, nearest).get(wish.dim)
    if not wish.dim:
        return "whole vectors: the shortlist is set to off"
    if column is None:
        return f"whole vectors: nestvec.shortlist asks for {wish.dim} dims, which {table.name} has not"
    size = min(max(wish.size, count), MAX_ROWS)
    known = found.shorter if isinstance(found, Statistics) else ()
    measured = next((_bounds(one, count, size) for one in known if one.column == column), None)
    where = "a hint" if wish.at is not None else "nestvec.shortlist"
    if not measured or not isinstance(found, Statistics):
        return Choice(column, size, f"not measured; {where} asks for it")
    return Choice(column, size, f"{_expected(measured, found)}; {where} asks for it")


def _cheapest(table: Table, nearest: Nearest, count: int, target: float, found: Statistics) -> Choice | str:
    sure = [
        (one, measured)
        for one in found.shorter
        if one.column in nearest.shorter
        for measured in _measured(one, count)
        if min(recall.floor for recall in measured) >= target
    ]
    if not sure:
        return f"whole vectors: no shortlist is sure of a recall of {target:g} for {count} rows"
    whole = read_bytes(_index(table, nearest.column), found.rows, found.dim, count)
    best, measured = min(sure, key=lambda one: _cost(table, found, one[0], one[1][0].size))
    size = measured[0].size
    if _cost(table, found, best, size) + ROUND_TRIP >= whole:
        return f"whole vectors: {found.rows:,} rows are read sooner than a second search is asked"
    return Choice(best.column, size, _expected(measured, found), _easy(measured, count, target))


def _cost(table: Table, found: Statistics, shorter: Shorter, size: int) -> int:
    first = read_bytes(_index(table, shorter.column), found.rows, shorter.dim, size)
    return first + size * found.dim * FLOAT_BYTES


def _index(table: Table, column: str) -> str:
    return table.indexes.get(column, "")


def _measured(shorter: Shorter, count: int) -> Iterator[tuple[Recall, ...]]:
    """For each size, what was measured for answers of about ``count`` rows; nothing where it is unknown."""
    for size in sorted({one.size for one in shorter.recall if one.size >= count}):
        found = _bounds(shorter, count, size)
        if found is not None:
            yield found


def _bounds(shorter: Shorter, count: int, size: int) -> tuple[Recall, ...] | None:
    """The measured lengths next to ``count``, below and above, of one size; None where there is none above.

    Recall falls with the length of the answer, mostly: the worse of both is what is counted on.
    """
    of_size = sorted((one for one in shorter.recall if one.size == size), key=lambda one: one.count)
    above = next((one for one in of_size if one.count >= count), None)
    if above is None:
        return None
    below = next((one for one in reversed(of_size) if one.count <= count), above)
    return (below,) if below == above else (below, above)


def _expected(measured: tuple[Recall, ...], found: Statistics) -> str:
    worst = min(measured, key=lambda one: one.floor)
    return (
        f"recall@{worst.count} {worst.mean:.4f}, at least {worst.floor:.4f} (95 % sure), "
        f"on {found.queries} queries"
    )


def _easy(measured: tuple[Recall, ...], count: int, target: float) -> float | None:
    """The gap that stops early, which is known for the very lengths that were measured."""
    level = next((number for number, one in enumerate(LEVELS) if one >= target), None)
    if level is None or len(measured) > 1 or measured[0].count != count:
        return None
    return measured[0].easy[level]


def _is_plain(node: Search) -> bool:
    """Whether a search is nothing but what a shortlist keeps the meaning of: a filter, a limit, an offset."""
    near = node.nearest
    known = Search(node.collection, near, node.filter, node.fields, node.limit, node.offset)
    return node == known and isinstance(near.target, (str, tuple, Sum)) and node.limit > 0


def _rescore(plan: Plan, node: Search, table: Table, chosen: Choice) -> Rescore:
    near, primary = node.nearest, table.primary
    column = table.column(chosen.column)
    dim = (column.dim if column is not None else None) or 0
    # Nothing but columns is wanted of the rows: neither in the answer nor before it is their distance read.
    bare = plan.node is node and all(isinstance(one.expression, Field) for one in plan.outputs)
    easy = chosen.easy if bare and all(_is_light(table, name) for name in node.fields) else None
    fields = dict.fromkeys((primary.name, *(node.fields if easy is not None else ())))
    first = Search(
        node.collection,
        Nearest(chosen.column, near.metric, cut(near.target, dim)),
        node.filter,
        tuple(fields),
        chosen.size,
    )
    return Rescore(first, node, primary.name, dim, chosen.expected, easy)


def cut(target: Target, dim: int) -> Target:
    """A query for vectors of ``dim``: a text as it is, a vector as a shorter one of the same encoder is made.

    One of length 1 is cut and brought to length 1 again; of another length, cut alone.
    """
    if not isinstance(target, tuple):
        return target
    short = target[:dim]
    length = math.hypot(*short)
    if length == 0 or abs(math.hypot(*target) - 1) > _UNIT:
        return short
    return tuple(one / length for one in short)


def _is_light(table: Table, name: str) -> bool:
    """Whether reading a column of every row of a shortlist costs next to nothing."""
    column: Column | None = table.column(name)
    if column is None or column.is_vector or column.type in ("JSON", "ARRAY"):
        return False
    return column.max_length is None or column.max_length <= _LONG_TEXT
