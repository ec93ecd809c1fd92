"""Columns beside GROUP BY that its keys determine: those of a collection whose primary key is among them."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from nestvec.sql.relational.names import RENAMED, from_entries
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
        keys = {_own_column(select, key) for key in group_keys(select, group)}
        for entry in from_entries(select):
            primary, alias = _primary_key(planning, entry), entry.alias_or_name
            if not any(key and (key.name, key.table) == (primary, alias) for key in keys):
                continue
            dependent = dict.fromkeys(_columns(select, alias))
            merged = dict.fromkeys(_merged(select, primary, alias))
            for column in (*dependent, *merged):
                if column not in keys:
                    group.append("expressions", column.copy())


def _own_column(select: exp.Select, key: exp.Expr) -> exp.Column | None:
    """The column that a key is: that of JOIN … USING is the first table's, but of RIGHT and FULL joins."""
    sides = {str(join.side).upper() for join in select.args.get("joins") or ()}
    if isinstance(key, exp.Coalesce) and not sides & {"RIGHT", "FULL"}:
        columns = [key.this, *key.expressions]
        if all(isinstance(column, exp.Column) and column.name == key.this.name for column in columns):
            key = key.this
    return key if isinstance(key, exp.Column) else None


def _merged(select: exp.Select, primary: str | None, alias: str) -> Iterator[exp.Column]:
    """The columns that JOIN … USING merges with a key: they equal it, or are NULL for all of its rows."""
    for node in select.find_all(exp.Coalesce):
        column = _own_column(select, node)
        if column is not None and (column.name, column.table) == (primary, alias):
            yield from (part for part in node.expressions if isinstance(part, exp.Column))


def _primary_key(planning: Planning, entry: exp.Expr) -> str | None:
    """The name of the primary key of an entry of FROM that is a collection, also one with renamed columns."""
    if isinstance(entry, exp.Subquery) and RENAMED in entry.meta:
        items, primary = entry.this.expressions, _primary_key(planning, from_entries(entry.this)[0])
        return next((item.alias for item in items if item.this.name == primary), None)
    table = planning.tables.get(entry.name) if isinstance(entry, exp.Table) else None
    return None if table is None else table.primary.name


def _columns(select: exp.Select, alias: str) -> Iterator[exp.Column]:
    """The columns of a table that a grouped query has outside of aggregates, those of subqueries included."""
    for clause in _CLAUSES:
        value = select.args.get(clause)
        for part in value if isinstance(value, list) else [value]:
            if not isinstance(part, exp.Expr):
                continue
            for node in part.walk(prune=lambda node: _is_of_group(select, node)):
                if isinstance(node, exp.Column) and node.table == alias:
                    yield node


def _is_of_group(select: exp.Select, node: exp.Expr) -> bool:
    """Whether a node is an aggregate of a group; one OVER a window reads the columns of groups.

    One in a subquery is of that, unless all columns that it reads are of the queries around it.
    """
    inner = node.find_ancestor(exp.Select)
    if inner is not None and inner is not select:
        own = {entry.alias_or_name for entry in from_entries(inner)}
        columns = list(node.find_all(exp.Column))
        if not columns or any(column.table in own for column in columns):
            return False
    outer = node.parent.parent if isinstance(node.parent, exp.Filter) else node.parent
    return isinstance(node, exp.AggFunc) and not isinstance(outer, exp.Window)
