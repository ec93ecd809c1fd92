"""DISTINCT, and set operations, of computed NUMERICs: rows are compared by keys, and keep their digits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlglot import exp

from nestvec.sql.parse.source import select_lists
from nestvec.sql.relational.rewrites.nodes import call
from nestvec.sql.relational.rewrites.numbers.exactness import (
    DIGITS,
    SIZE,
    Size,
    is_inexact,
    size_of,
    size_of_any,
    would_round,
)
from nestvec.sql.relational.rewrites.numbers.numeric_types import NUMERIC, common_type

_ROWS: Final = "pg_rows"
_CLAUSES: Final = ("order", "limit", "offset", "with_")


def computed_positions(query: exp.Expr) -> list[int]:
    """The columns of a query that DuckDB would not compare exactly."""
    columns = zip(*(select.expressions for select in select_lists(query)), strict=False)
    values = [[item.unalias() for item in items] for items in columns]
    return [
        at
        for at, each in enumerate(values)
        if common_type(each) == NUMERIC
        and (any(map(is_inexact, each)) or would_round(each) or _has_unlike_places(each))
    ]


def _has_unlike_places(values: Sequence[exp.Expr]) -> bool:
    """Whether DuckDB would give numbers the places of others in their column."""
    sizes = [size_of(value) for value in values]
    return len({size[1] for size in sizes if size is not None}) > 1


@dataclass(frozen=True)
class _Columns:
    """The columns of a query, as one around it gives them."""

    names: list[str]
    types: list[Any]
    sizes: list[Size | None]
    digits: dict[int, str]
    """By the position of a computed number: the column with its digits; empty where it has a key alone."""


def with_keys(query: exp.Expr, positions: Sequence[int]) -> exp.Expr:
    """Replace a query by one that reads keys and digits from it, and gives their numbers."""
    columns = _columns_of(query, positions)
    if not isinstance(query, exp.SetOperation):
        _write_keys(query, positions)
        query.set("distinct", exp.Distinct(on=_ordinals(len(columns.types))))
        return _replace(query, query, columns)
    if _has_numbered_rows(query):
        return _replace(query, query, replace(columns, digits=_compare_keys(query, positions)))
    moved = {name: query.args.pop(name) for name in _CLAUSES if query.args.get(name)}
    for ordered in moved["order"].expressions if "order" in moved else ():
        _order_by_column(ordered, columns.names)
    for select in select_lists(query):
        _write_keys(select, positions)
    listed = [f"c{at}" for at in range(len(columns.types))]
    return _replace(query, _joined(query, [*listed, *columns.digits.values()]), columns, moved)


def _columns_of(query: exp.Expr, positions: Sequence[int]) -> _Columns:
    lists = [[item.unalias() for item in select.expressions] for select in select_lists(query)]
    is_number = [common_type(values) == NUMERIC for values in zip(*lists, strict=False)]
    types = [item.type for item in lists[0]]
    for at in positions:
        types[at] = exp.DataType(this=NUMERIC)
    columns = list(zip(*lists, strict=False))
    return _Columns(
        list(query.named_selects) if isinstance(query, exp.Query) else [],
        types,
        [size_of_any(columns[at]) if number else None for at, number in enumerate(is_number)],
        {at: f"d{at}" for at in positions},
    )


def _write_keys(select: exp.Expr, positions: Sequence[int]) -> None:
    """Have a query give the keys of numbers, and their digits as further columns."""
    order = select.args.get("order")
    values = [select.expressions[at].unalias() for at in positions]
    digits = [
        exp.alias_(_call("pg_digits", value), f"d{at}") for at, value in zip(positions, values, strict=True)
    ]
    for value in values:
        for key in order.find_all(exp.Ordered) if order is not None else ():
            if key.this == value:
                key.set("this", call("pg_key", key.this))
        if not isinstance(value, exp.Null):
            value.replace(call("pg_key", value))
    select.set("expressions", [*select.expressions, *digits])


def _call(name: str, value: exp.Expr) -> exp.Expr:
    return value.copy() if isinstance(value, exp.Null) else call(name, value)


def _ordinals(count: int) -> exp.Tuple:
    return exp.Tuple(expressions=[exp.Literal.number(at) for at in range(1, count + 1)])


def _order_by_column(ordered: exp.Ordered, names: Sequence[str]) -> None:
    """Write a key of ORDER BY, which is the name or the position of a column, for the query around it."""
    key = ordered.this
    if isinstance(key, exp.Literal) and key.is_int:
        at = int(key.name) - 1
    else:
        at = names.index(key.name) if isinstance(key, exp.Column) and key.name in names else len(names)
    if at < len(names):
        ordered.set("this", exp.column(f"c{at}", _ROWS, quoted=True))


def _joined(query: exp.Expr, columns: Sequence[str]) -> exp.Expr:
    """A set operation whose rows are compared by their keys alone, with all columns of the first."""
    query = query.unnest()
    if not isinstance(query, exp.SetOperation):
        return query.copy()
    sides = [
        exp.Subquery(this=_joined(query.args[name], columns), alias=_alias(alias, columns))
        for name, alias in (("this", "pg_left"), ("expression", "pg_right"))
    ]
    keys = [name for name in columns if name.startswith("c")]
    if isinstance(query, exp.Union):
        parts = [
            exp.Select(
                expressions=[*_columns(columns, side.alias), exp.alias_(exp.Literal.number(at), "pg_side")],
                from_=exp.From(this=side),
            )
            for at, side in enumerate(sides)
        ]
        union = exp.Subquery(
            this=exp.Union(this=parts[0], expression=parts[1], distinct=False),
            alias=_alias("pg_both", [*columns, "pg_side"]),
        )
        select = exp.Select(expressions=_columns(columns, "pg_both"), from_=exp.From(this=union))
        if not query.args.get("distinct"):
            return select
        # Of equal rows PostgreSQL keeps one of the first query.
        select.set("order", exp.Order(expressions=[exp.Ordered(this=exp.column("pg_side", "pg_both"))]))
    else:
        pairs = zip(_columns(keys, "pg_left"), _columns(keys, "pg_right"), strict=True)
        same = exp.and_(*(exp.NullSafeEQ(this=a, expression=b) for a, b in pairs))
        met: exp.Expr = exp.Exists(this=exp.select("1").from_(sides[1]).where(same))
        where = exp.Where(this=exp.Not(this=met) if isinstance(query, exp.Except) else met)
        select = exp.Select(
            expressions=_columns(columns, "pg_left"), from_=exp.From(this=sides[0]), where=where
        )
    select.set("distinct", exp.Distinct(on=_ordinals(len(keys))))
    return select


def _columns(names: Sequence[str], table: str) -> list[exp.Expr]:
    return [exp.column(name, table, quoted=True) for name in names]


def _alias(name: str, columns: Sequence[str]) -> exp.TableAlias:
    identifiers = [exp.to_identifier(column, quoted=True) for column in columns]
    return exp.TableAlias(this=exp.to_identifier(name, quoted=True), columns=identifiers)


def _has_numbered_rows(query: exp.Expr) -> bool:
    """Whether a set operation compares no rows, or counts equal ones."""
    operations = [query, *query.find_all(exp.Intersect, exp.Except)]
    counts = any(
        not node.args.get("distinct") for node in operations if isinstance(node, (exp.Intersect, exp.Except))
    )
    return counts or (_is_union_all(query) and query.args.get("order") is None)


def _compare_keys(query: exp.Expr, positions: Sequence[int]) -> dict[int, str]:
    """Have the queries of a set operation give keys; digits alone where nothing compares them."""
    compares = query.args.get("order") is not None or not _is_union_all(query)
    name = "pg_key" if compares else "pg_digits"
    for select in select_lists(query):
        for at in positions:
            value = select.expressions[at].unalias()
            if not isinstance(value, exp.Null):
                value.replace(call(name, value))
    return {at: "" if compares else f"c{at}" for at in positions}


def _replace(
    query: exp.Expr, rows: exp.Expr, columns: _Columns, clauses: dict[str, exp.Expr] | None = None
) -> exp.Select:
    """Put a query around rows of keys in the place of ``query``."""
    items, digits = [], columns.digits
    for at, type_ in enumerate(columns.types):
        column: exp.Expr = exp.column(f"c{at}", _ROWS, quoted=True)
        if at in digits:
            column = column if digits[at] else call("pg_numeric_of_key", column)
            column.meta[DIGITS] = digits[at] or True
        elif columns.sizes[at] is not None:
            column.meta[SIZE] = columns.sizes[at]
        column.type = type_
        items.append(exp.alias_(column, columns.names[at], quoted=True))
    reader = exp.Select(expressions=items, **(clauses or {}))
    query.replace(reader)
    names = [f"c{at}" for at in range(len(columns.types))]
    names += [name for name in digits.values() if name.startswith("d")]
    reader.set("from_", exp.From(this=exp.Subquery(this=rows, alias=_alias(_ROWS, names))))
    return reader


def _is_union_all(query: exp.Expr) -> bool:
    """Whether no rows of a set operation are compared."""
    if not isinstance(query, exp.SetOperation):
        return isinstance(query.unnest(), exp.Select)
    is_all = isinstance(query, exp.Union) and not query.args.get("distinct")
    return is_all and all(map(_is_union_all, (query.this, query.expression)))
