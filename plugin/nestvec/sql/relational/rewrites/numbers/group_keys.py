"""Expressions of GROUP BY that are NUMERIC: they are not taken apart elsewhere in their query."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from sqlglot import exp

from nestvec.sql.parse.source import without_parens
from nestvec.sql.relational.rewrites.nodes import call
from nestvec.sql.relational.rewrites.numbers.exactness import DIGITS, KEY, is_inexact, removes_equal
from nestvec.sql.relational.rewrites.numbers.numeric_types import NUMERIC, number_type

_SETS: Final = ("rollup", "cube", "grouping_sets", "totals", "all")
_AGGREGATES: Final = (exp.AggFunc, exp.JSONArrayAgg, exp.JSONObjectAgg, exp.JSONBObjectAgg)
_PRUNED: Final = (*_AGGREGATES, exp.Query)


def mark_group_keys(nodes: Sequence[exp.Expr]) -> None:
    """Have each query read a computed NUMERIC of its GROUP BY from one row of the group. The tree is changed.

    Equal numbers may have other zeros at their ends; with several sets of keys a key may be NULL, too.
    """
    for node in nodes:
        if not isinstance(node, exp.Select):
            continue
        group = node.args.get("group")
        if not removes_equal(node):
            _write_aliases(node)
        if isinstance(group, exp.Group):
            _mark(node, group)


def _mark(select: exp.Select, group: exp.Group) -> None:
    several = any(group.args.get(part) for part in _SETS)
    several = several or group.find(exp.Cube, exp.Rollup, exp.GroupingSets) is not None
    keys = [
        without_parens(key)
        for key in _keys(group)
        if number_type(key) == NUMERIC and not isinstance(without_parens(key), exp.Literal)
    ]
    done_keys = list[exp.Expr]()
    for key in keys:
        inexact = is_inexact(key)
        if isinstance(key, exp.Column) and not inexact:
            continue
        for part in list(_outside_aggregates(select)) if key not in done_keys else ():
            if part != key:
                continue
            if not inexact:
                part.meta[KEY] = True
            else:
                part.replace(_digits_of_group(key, several=several))
        for argument in _grouped(select) if inexact and key not in done_keys else ():
            if argument == key:
                argument.replace(call("pg_key", argument))
        done_keys.append(key.copy())
        if several and inexact:
            key.replace(call("pg_key", key))
        elif several:
            key.meta[KEY] = True


def _digits_of_group(key: exp.Expr, *, several: bool) -> exp.Expr:
    """The digits of any number of a group; NULL where the key is not one of the set's."""
    value = call("any_value", call("pg_digits", key))
    if several:
        value = call("pg_of_group", exp.Grouping(expressions=[call("pg_key", key)]), value)
    value.type = key.type
    value.meta[DIGITS] = True
    return value


def _keys(node: exp.Expr) -> Iterator[exp.Expr]:
    """The keys of GROUP BY, also those of its sets."""
    for value in node.args.values():
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, (exp.Rollup, exp.Cube, exp.GroupingSets, exp.Tuple)):
                yield from _keys(part)
            elif isinstance(part, exp.Expr):
                yield part


def _grouped(select: exp.Select) -> list[exp.Expr]:
    """The arguments of ``grouping()``."""
    return [argument for node in select.find_all(exp.Grouping) for argument in node.expressions]


def _write_aliases(select: exp.Select) -> None:
    """Write computed numbers for their names in GROUP BY, DISTINCT ON and ORDER BY."""
    items = {item.alias: item.unalias() for item in select.expressions if isinstance(item, exp.Alias)}
    computed = {name: value for name, value in items.items() if is_inexact(value)}
    group, order, distinct = (select.args.get(part) for part in ("group", "order", "distinct"))
    keys = list(group.expressions) if isinstance(group, exp.Group) else []
    keys += [ordered.this for ordered in order.expressions] if isinstance(order, exp.Order) else []
    on = distinct.args.get("on") if isinstance(distinct, exp.Distinct) else None
    keys += on.expressions if isinstance(on, exp.Tuple) else []
    for key in keys if computed else ():
        if isinstance(key, exp.Column) and not key.table and key.name in computed:
            key.replace(computed[key.name].copy())


def _outside_aggregates(select: exp.Select) -> Iterator[exp.Expr]:
    """What is computed of groups: the select list, HAVING and ORDER BY."""
    order, having, distinct = (select.args.get(part) for part in ("order", "having", "distinct"))
    for root in (*select.expressions, having, order, distinct):
        if isinstance(root, exp.Expr):
            yield from root.walk(prune=lambda part: isinstance(part, _PRUNED) or _is_filter(part))


def _is_filter(node: exp.Expr) -> bool:
    """Whether a node is the condition of an aggregate's FILTER."""
    return isinstance(node, exp.Where) and isinstance(node.parent, exp.Filter)
