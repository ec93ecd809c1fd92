"""At which level of nested queries a name or an aggregate belongs."""

from __future__ import annotations

from sqlglot import exp

from nestvec.sql.parse.source import SourceText, identifier_name
from nestvec.sql.relational.names import from_entries


def check_siblings(source: SourceText, tree: exp.Expr) -> None:
    """Raise SqlUnknownName for a query of FROM, not LATERAL, that reads the tables beside it."""
    for column in tree.find_all(exp.Column):
        table = column.args.get("table")
        if table is None:
            continue
        name, is_sibling, node = identifier_name(table), False, column.parent
        is_known, inner = False, None
        while node is not None and not is_known:
            if isinstance(node, exp.Select):
                names = {entry.alias_or_name.lower() for entry in from_entries(node)}
                if name.lower() in names and inner is not None:
                    is_sibling = True
                elif name.lower() in names:
                    is_known = True
                inner = None
            if isinstance(node, exp.Subquery) and isinstance(node.parent, (exp.From, exp.Join)):
                inner = node
            node = node.parent
        if is_sibling and not is_known:
            raise source.unknown_name(
                "FROM has no such table for a query within it",
                name,
                column,
                "Write LATERAL before the query.",
            )


def check_levels(source: SourceText, tree: exp.Expr) -> None:
    """Raise SqlNotSupported for an aggregate of columns of a query around its own alone.

    PostgreSQL computes it in that query, DuckDB in its own. The tree has qualified columns.
    """
    for aggregate in tree.find_all(exp.AggFunc):
        select = aggregate.find_ancestor(exp.Select)
        if select is None or select.parent is None or is_window_function(aggregate):
            continue
        tables = {column.table for column in aggregate.find_all(exp.Column)} - _own(aggregate)
        if tables and tables.isdisjoint(_names(select)) and _reaches(select, tables):
            raise source.not_supported(
                "an aggregate of columns of the query around its own",
                aggregate,
                "Compute it in that query, and give its result to the inner one.",
            )


def _own(aggregate: exp.Expr) -> set[str]:
    """The tables of queries within the arguments."""
    return {name for select in aggregate.find_all(exp.Select) for name in _names(select)}


def _names(select: exp.Select) -> set[str]:
    return {entry.alias_or_name for entry in from_entries(select)}


def _reaches(select: exp.Select, tables: set[str]) -> bool:
    """Whether queries around it have all these tables."""
    outer, outer_names = select.find_ancestor(exp.Select), set[str]()
    while outer is not None:
        outer_names |= _names(outer)
        outer = outer.find_ancestor(exp.Select)
    return tables <= outer_names


def is_window_function(aggregate: exp.Expr) -> bool:
    """Whether an aggregate is computed over a window."""
    parent = aggregate.parent
    while isinstance(parent, (exp.Filter, exp.IgnoreNulls, exp.RespectNulls)):
        parent = parent.parent
    return isinstance(parent, exp.Window)
