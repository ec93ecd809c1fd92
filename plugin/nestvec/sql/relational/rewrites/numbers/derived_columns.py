"""Columns of subqueries and common table expressions that are computed NUMERICs.

DuckDB has the same places for all numbers of a column. Beside such a column another one has the digits of
each, as a text; DuckDB leaves out those that nothing reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Final

from sqlglot import exp

from nestvec.sql.parse.source import select_lists
from nestvec.sql.relational.names import source_node
from nestvec.sql.relational.rewrites.nodes import INTEGERS, kind
from nestvec.sql.relational.rewrites.numbers.distinct_rows import computed_positions, with_keys
from nestvec.sql.relational.rewrites.numbers.exactness import (
    DIGITS,
    SIZE,
    Size,
    is_inexact,
    removes_equal,
    size_of,
    size_of_type,
)
from nestvec.sql.relational.rewrites.numbers.fixed_values import FIXED, fixed_value
from nestvec.sql.relational.rewrites.numbers.near_values import NEAR, near
from nestvec.sql.relational.rewrites.numbers.numeric_types import NUMERIC
from nestvec.sql.relational.rewrites.numbers.value_rows import ValuesColumn, describe_values

_NAME: Final = "pg_digits_"
_UNITS_NAME: Final = "pg_units_of_"
_SCALE_NAME: Final = "pg_scale_of_"
_NEAR_NAME: Final = "pg_near_"


def mark_columns(tree: exp.Expr, nodes: Sequence[exp.Expr]) -> exp.Expr:
    """Note of each column with numbers how many digits it has, and where those of computed ones are.

    Returns the tree, which is changed.
    """
    marking = _Marking()
    for node in nodes:
        if isinstance(node, exp.Column):
            marking.mark(node)
    for node in nodes:
        if isinstance(node, (exp.Select, exp.SetOperation)):
            replaced = marking.compare_keys(node)
            tree = replaced if node is tree else tree
    return tree


@dataclass
class _Marking:
    """The columns that are marked."""

    done: set[int] = field(default_factory=set)
    """Columns, by their ids; each of which may be one of a query that has more."""
    rough: dict[str, int] = field(default_factory=dict)
    """By the name of a column with digits that has another with doubles beside it: the most of its digits."""
    fixed: dict[str, tuple[str, str, int, int]] = field(default_factory=dict)
    """By the name of a column with digits that has others with integers beside it: what ``FIXED`` says."""
    queries: dict[int, exp.Expr] = field(default_factory=dict)
    """By the id of a query: what is in its place."""
    items: dict[int, tuple[str, Size | None]] = field(default_factory=dict)
    """By the id of an item of a query: the name of the column with its digits, and its size."""
    values: dict[tuple[int, str], ValuesColumn] = field(default_factory=dict)
    """By the id of VALUES and the name of a column."""
    numbers: Iterator[int] = field(default_factory=partial(count, 1))
    """Of the names."""

    def mark(self, column: exp.Column) -> None:
        if id(column) in self.done or not column.table:
            return
        self.done.add(id(column))
        if kind(column) != NUMERIC and kind(column) not in INTEGERS:
            return
        entry = source_node(column)
        if isinstance(entry, exp.Values):
            self._mark_of_values(column, entry)
            return
        query = _query_of(entry, column)
        if entry is None or query is None:
            type_ = column.type if isinstance(entry, exp.Table) else None
            size = size_of_type(type_) if type_ is not None else None
            if size is not None:
                column.meta[SIZE] = size
            return
        name, size = self._describe(entry, query, column.name)
        if name:
            column.meta[DIGITS] = name
        if name in self.fixed:
            column.meta[FIXED] = self.fixed[name]
        if name in self.rough:
            column.meta[NEAR] = (near_name(name), self.rough[name])
        if size is not None:
            column.meta[SIZE] = size

    def _mark_of_values(self, column: exp.Column, values: exp.Values) -> None:
        key = (id(values), column.name)
        if key not in self.values:
            name = f"{_NAME}{next(self.numbers)}"
            names = (name, f"{_UNITS_NAME}{name}", f"{_SCALE_NAME}{name}")
            self.values[key] = describe_values(values, column.name, names)
        described = self.values[key]
        parts = {DIGITS: described.digits, FIXED: described.fixed, SIZE: described.size}
        column.meta.update({key: part for key, part in parts.items() if part})

    def _describe(self, entry: exp.Expr, query: exp.Expr, name: str) -> tuple[str, Size | None]:
        """Of a column of a query: the column with its digits, if it has one, and its size."""
        query = self.compare_keys(query)
        if not isinstance(query, exp.Select):
            return "", self._size_of_all(entry, query, name)
        item = _item(entry, query, name)
        if item is None:
            return "", None
        if id(item) not in self.items:
            self.items[id(item)] = ("", None)  # of a query that reads itself
            self.items[id(item)] = self._describe_item(entry, query, item)
        return self.items[id(item)]

    def _describe_item(self, entry: exp.Expr, query: exp.Select, item: exp.Expr) -> tuple[str, Size | None]:
        value = item.unalias()
        for column in value.find_all(exp.Column):
            self.mark(column)
        if not is_inexact(value):
            return "", size_of(value)
        if removes_equal(query) or not isinstance(entry, (exp.Table, exp.Subquery)):
            return "", None
        if value.find(exp.Rand) is not None:
            return "", None
        name = f"{_NAME}{next(self.numbers)}"
        digits = exp.Anonymous(this="pg_digits", expressions=[value.copy()])
        query.append("expressions", exp.alias_(digits, name, quoted=True))
        if any(not isinstance(key, exp.Column) for key in _group_keys(query)):
            # What is computed of the columns of a key is no column of a group.
            return name, None
        fixed = fixed_value(value)
        if fixed is not None:
            names = (f"{_UNITS_NAME}{name}", f"{_SCALE_NAME}{name}")
            self.fixed[name] = (*names, fixed.places, fixed.before)
            for part, each in zip((fixed.units, fixed.scale_node), names, strict=True):
                query.append("expressions", exp.alias_(part.copy(), each, quoted=True))
        rough = near(value)
        if rough is not None and not rough.slack:
            query.append("expressions", exp.alias_(rough.double, near_name(name), quoted=True))
            self.rough[name] = rough.digits
        return name, None

    def compare_keys(self, query: exp.Expr) -> exp.Expr:
        """Have a query with DISTINCT, or a set operation, compare computed numbers by their keys.

        Returns the query that is in its place, and gives the numbers again.
        """
        if id(query) in self.queries or not _is_replaceable(query):
            return self.queries.get(id(query), query)
        self.queries[id(query)] = query  # of a query that reads itself
        for select in select_lists(query):
            for column in [each for item in select.expressions for each in item.find_all(exp.Column)]:
                self.mark(column)
        positions = computed_positions(query)
        if positions:
            self.queries[id(query)] = with_keys(query, positions)
        return self.queries[id(query)]

    def _size_of_all(self, entry: exp.Expr, query: exp.Expr, name: str) -> Size | None:
        """The size of a column of a set operation, where all have the same."""
        names = _column_names(entry, query)
        selects = select_lists(query)
        at = names.index(name) if name in names else len(names)
        sizes = set[Size | None]()
        for select in selects:
            if at >= len(select.expressions):
                return None
            item = select.expressions[at]
            if id(item) in self.items:
                return None
            self.items[id(item)] = ("", None)
            for column in item.find_all(exp.Column):
                self.mark(column)
            sizes.add(None if is_inexact(item.unalias()) else size_of(item.unalias()))
            self.items.pop(id(item))
        known_sizes = [size for size in sizes if size is not None]
        if len(known_sizes) < len(sizes) or not known_sizes:
            return None
        widest = (max(size[0] for size in known_sizes), max(size[1] for size in known_sizes))
        return widest if sum(widest) <= 38 else None


def _group_keys(query: exp.Select) -> list[exp.Expr]:
    group = query.args.get("group")
    return [*group.expressions] if isinstance(group, exp.Group) else []


def near_name(name: str) -> str:
    """The name of the column with doubles beside the one with digits."""
    return name.replace(_NAME, _NEAR_NAME)


def _is_replaceable(query: exp.Expr) -> bool:
    """Whether another query may be in the place of one that compares its rows."""
    if isinstance(query, exp.SetOperation):
        cte = query.find_ancestor(exp.CTE)
        with_ = cte.parent if cte is not None else None
        if isinstance(query.parent, exp.SetOperation) or (with_ is not None and with_.args.get("recursive")):
            return False
    elif not removes_equal(query):
        return False
    place = query.parent
    while isinstance(place, exp.Subquery) and not place.alias:
        place = place.parent
    if isinstance(place, exp.Subquery):
        return isinstance(place.parent, (exp.From, exp.Join))
    return place is None or isinstance(place, exp.CTE)


def _query_of(entry: exp.Expr | None, column: exp.Column) -> exp.Expr | None:
    """The query whose column it is; None for one of a table, a function or a file."""
    if isinstance(entry, exp.Subquery):
        return entry.this.unnest() if isinstance(entry.this, exp.Query) else None
    if not isinstance(entry, exp.Table):
        return None
    cte = _cte(entry, column)
    return cte.this.unnest() if cte is not None and isinstance(cte.this, exp.Query) else None


def _cte(entry: exp.Table, node: exp.Expr) -> exp.CTE | None:
    ancestor: exp.Expr | None = node
    while ancestor is not None:
        with_ = ancestor.args.get("with_")
        for cte in with_.expressions if with_ is not None else ():
            if cte.alias == entry.name and isinstance(cte, exp.CTE):
                return cte
        ancestor = ancestor.parent
    return None


def _column_names(entry: exp.Expr, query: exp.Expr) -> list[str]:
    """The names of a query's columns where it is read."""
    names = list(query.named_selects) if isinstance(query, exp.Query) else []
    for alias in _listed_columns(entry, query):
        names = [*(column.name for column in alias.columns), *names[len(alias.columns) :]]
    return names


def _item(entry: exp.Expr, query: exp.Select, name: str) -> exp.Expr | None:
    names = _column_names(entry, query)
    at = names.index(name) if name in names else len(names)
    item: exp.Expr | None = query.expressions[at] if at < len(query.expressions) else None
    return item


def _listed_columns(entry: exp.Expr, query: exp.Expr) -> list[exp.TableAlias]:
    """What gives the columns of a query other names."""
    cte = query.find_ancestor(exp.CTE) if isinstance(entry, exp.Table) else None
    aliases = [each.args.get("alias") for each in (cte, entry) if each is not None]
    return [alias for alias in aliases if isinstance(alias, exp.TableAlias) and alias.columns]
