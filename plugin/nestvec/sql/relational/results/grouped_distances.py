"""Distances in a grouped query: of a vector of GROUP BY there is one for each group."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from sqlglot import exp

from nestvec.sql.parse.source import SourceText
from nestvec.sql.relational.rewrites.nodes import anonymous_name
from nestvec_schemas.errors import SqlTypeMismatch

_CLAUSES: Final = ("expressions", "having", "order", "distinct", "qualify")
_OTHER_AGGREGATES: Final = ("EVERY", "JSONB_AGG")
"""Aggregates that sqlglot does not know."""
_SETS: Final = (exp.Rollup, exp.Cube, exp.GroupingSets)
_KEY_LISTS: Final = (*_SETS, exp.Tuple)


def group_distances(source: SourceText, distances: Iterable[tuple[exp.Column, exp.Column]]) -> None:
    """Give every distance beside GROUP BY one value for a group. The tree is changed.

    ``distances`` are columns of scans, with the columns of vectors that they measure.
    Raises SqlTypeMismatch for a vector that is not in GROUP BY.
    """
    for distance, vector in distances:
        select = _grouped_select(distance)
        if select is None:
            continue
        group = select.args.get("group")
        keys = [] if group is None else list(group_keys(select, group))
        if any(distance == column for key in keys for column in key.find_all(exp.Column)):
            continue
        columns = [(key.name, key.table) for key in keys if isinstance(key, exp.Column)]
        if (vector.name, vector.table) in columns:
            value: exp.Expr = exp.AnyValue(this=distance.copy())
            if group is not None and has_grouping_sets(group):
                grouping = exp.Anonymous(this="grouping", expressions=[vector.copy()])
                is_key = exp.EQ(this=grouping, expression=exp.Literal.number(0))
                value = exp.Case(ifs=[exp.If(this=is_key, true=value)])
            distance.replace(value)
            continue
        raise SqlTypeMismatch(
            f"column {vector.name} is neither in GROUP BY nor in an aggregate",
            next_step="Add it to GROUP BY, or write min() of the distance.",
            statement=source.text,
            position=source.position(vector),
        )


def _grouped_select(distance: exp.Expr) -> exp.Select | None:
    """The query whose groups a distance is computed of; None for one that is computed of its rows."""
    node = distance
    while node.parent is not None and not isinstance(node.parent, exp.Select):
        if _is_aggregate(node):
            return None
        node = node.parent
    select = node.parent
    if not isinstance(select, exp.Select) or node.arg_key not in _CLAUSES:
        return None
    return select if select.args.get("group") or _has_aggregates(select) else None


def _is_aggregate(node: exp.Expr) -> bool:
    """Whether a node has one value for a group; a function OVER a window has one for a row."""
    parent = node.parent
    if isinstance(node, (exp.Filter, exp.WithinGroup)):
        return not isinstance(parent, (exp.Window, exp.Filter))
    is_call = isinstance(node, exp.AggFunc) or anonymous_name(node) in _OTHER_AGGREGATES
    return is_call and not isinstance(parent, (exp.Window, exp.Filter, exp.WithinGroup))


def _has_aggregates(select: exp.Select) -> bool:
    having = select.args.get("having")
    parts = [*select.expressions, *([having] if having is not None else ())]
    return any(
        _is_aggregate(node)
        for part in parts
        for node in part.walk(prune=lambda node: isinstance(node, exp.Query))
    )


def has_grouping_sets(group: exp.Expr) -> bool:
    """Whether GROUP BY has ROLLUP, CUBE or GROUPING SETS, some of whose groups are without some keys."""
    return group.find(*_SETS) is not None


def group_keys(select: exp.Select, group: exp.Expr) -> Iterator[exp.Expr]:
    """The expressions of GROUP BY, those that it names or counts included."""
    for key in group.walk(prune=lambda node: node is not group and not isinstance(node, _KEY_LISTS)):
        if key is group or isinstance(key, _KEY_LISTS):
            continue
        key = key.unnest()
        position = int(key.name) if isinstance(key, exp.Literal) and key.is_int else 0
        items = select.expressions
        if 0 < position <= len(items):
            yield items[position - 1].unalias()
            continue
        yield key
        if isinstance(key, exp.Column) and not key.table:
            yield from (item.unalias() for item in items if item.alias_or_name == key.name)
