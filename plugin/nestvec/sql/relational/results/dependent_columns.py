"""Columns beside GROUP BY that its keys determine: those of a collection whose primary key is among them."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from nestvec.sql.relational.names import from_entries
from nestvec.sql.relational.planning import Planning
from nestvec.sql.relational.results.grouped_distances import group_keys, has_grouping_sets

_CLAUSES = ("expressions", "having", "order", "distinct", "windows", "qualify")


def group_dependent_columns(planning: Planning, tree: exp.Expr) -> None:
    """Add the columns that depend on a primary key of GROUP BY to it: the groups are the same.

    Columns of a qualified tree; it is changed. Grouping sets have none, since some leave the key out.
    """
    for select in tree.find_all(exp.Select):
        group = select.args.get("group")
        if group is None or has_grouping_sets(group):
            continue
        keys = {key for key in group_keys(select, group) if isinstance(key, exp.Column)}
        for entry in from_entries(select):
            table = planning.tables.get(entry.name) if isinstance(entry, exp.Table) else None
            if table is None:
                continue
            alias = entry.alias_or_name
            if not any((key.name, key.table) == (table.primary.name, alias) for key in keys):
                continue
            dependent = dict.fromkeys(_columns(select, alias))
            for column in dependent:
                if column not in keys:
                    group.append("expressions", column.copy())


def _columns(select: exp.Select, alias: str) -> Iterator[exp.Column]:
    """The columns of a table that a grouped query has outside of aggregates, those of subqueries included."""
    for clause in _CLAUSES:
        value = select.args.get(clause)
        for part in value if isinstance(value, list) else [value]:
            if not isinstance(part, exp.Expr):
                continue
            for node in part.walk(prune=_is_of_group):
                if isinstance(node, exp.Column) and node.table == alias:
                    yield node


def _is_of_group(node: exp.Expr) -> bool:
    """Whether a node is an aggregate of a group; one OVER a window reads the columns of groups."""
    outer = node.parent.parent if isinstance(node.parent, exp.Filter) else node.parent
    return isinstance(node, exp.AggFunc) and not isinstance(outer, exp.Window)
