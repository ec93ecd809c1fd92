"""``FROM (VALUES …) AS q(text) CROSS JOIN LATERAL (SELECT …) AS p`` whose lists have expressions.

Milvus answers the searches of all queries, as it does without expressions; DuckDB computes both lists over
the joined rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sqlglot import exp

from nestvec.milvus.catalog import Table
from nestvec.sql.bind.lateral import Lateral, bind_lateral, is_lateral, side_column
from nestvec.sql.bind.params import PARAMETER_NODES, parameter_name
from nestvec.sql.bind.scope import Context, Scope
from nestvec.sql.bind.select import bind_query, table_name, table_node
from nestvec.sql.bind.select_list import OutputColumn, output_name
from nestvec.sql.bind.values import ColumnRef
from nestvec.sql.parse.completeness import mark_consumed
from nestvec.sql.parse.hints import shortlist_hint
from nestvec.sql.parse.source import SourceText, identifier_name
from nestvec.sql.plan.adaptive import add_shortlist
from nestvec.sql.plan.lateral import for_each_query, lateral_services, side_types
from nestvec.sql.plan.nodes import Plan
from nestvec.sql.plan.select import plan_query
from nestvec.sql.relational.arrow_rows import ranking_schema
from nestvec.sql.relational.planning import Planning
from nestvec.sql.relational.rankings.select_lists import split_select
from nestvec.sql.relational.relations import RankingScan
from nestvec_schemas.errors import SqlError


@dataclass(frozen=True)
class _Sides:
    """What the names of both sides stand for, over the joined rows."""

    source: SourceText
    columns: Mapping[str, Mapping[str, exp.Expr]]
    """By side, then by name."""

    def value(self, node: exp.Column) -> exp.Expr:
        """The value of a column that the outer list names. Raises SqlUnknownName."""
        sides = [identifier_name(node.args["table"])] if node.args.get("table") else list(self.columns)
        name = identifier_name(node.this)
        values = [self.columns[side][name] for side in sides if name in self.columns.get(side, {})]
        if len(values) != 1:
            raise self.source.unknown_name(
                "this name is ambiguous" if values else f"there is no such column in {' or '.join(sides)}",
                name,
                node,
                "Write SIDE.COLUMN." if values else "Check the name.",
            )
        return values[0].copy()

    def named(self, node: exp.Expr) -> Iterator[tuple[str, exp.Expr]]:
        """The columns of * or of SIDE.*."""
        sides = [identifier_name(node.args["table"])] if node.args.get("table") else list(self.columns)
        for side in sides:
            yield from ((name, value.copy()) for name, value in self.columns.get(side, {}).items())


def take_lateral(planning: Planning, tree: exp.Expr, tables: Mapping[str, Table]) -> exp.Expr:
    """Replace a SELECT with LATERAL by its list over the rows of its searches. Returns the tree.

    ``tables`` are the collections of the statement, by the names of their nodes.
    """
    if not isinstance(tree, exp.Select) or not is_lateral(tree):
        return tree
    try:
        return _over_searches(planning, tree, tables)
    except SqlError:
        # The other steps of planning find what is wrong, or do more than Milvus.
        return tree


def _over_searches(planning: Planning, tree: exp.Select, tables: Mapping[str, Table]) -> exp.Expr:
    lateral = bind_lateral(planning.source, tree, planning.params)
    node = table_node(lateral.source, lateral.select)
    table = tables.get(identifier_name(node.this)) if node is not None else None
    if table is None:
        return tree
    context = Context(tables, planning.service)
    scopes = [
        Scope(lateral.source, table, table_name(node), lateral.params(planning.params, row), context)
        for row in lateral.rows
    ]
    split = split_select(scopes[0], lateral.select)
    key = exp.column(table.primary.name, quoted=True)
    if lateral.outer and table.primary.name not in split.search.named_selects:
        split.search.append("expressions", exp.alias_(key, table.primary.name, quoted=True))
    mark_consumed(split.search)
    plans = [
        plan_query(bind_query(lateral.source, split.search, table, scope.params, context)) for scope in scopes
    ]
    right = {item.alias: _over_rows(lateral, table, item.this) for item in split.items}
    left = {name: _joined(lateral.left, name) for name in lateral.columns}
    items = list(_items(_Sides(planning.source, {lateral.left: left, lateral.right: right}), tree))
    used = {column.name for item in items for column in item.find_all(exp.Column)}
    outputs = tuple(
        OutputColumn(side_column(side, name), ColumnRef(side_column(side, name)), kind)
        for side, types in side_types(lateral, plans).items()
        for name, kind in types.items()
        if side_column(side, name) in used
    )
    plan = Plan(for_each_query(lateral, plans), outputs, lateral_services(plans))
    plan = add_shortlist(plan, table, planning.settings, shortlist_hint(planning.source), planning.source)
    name = f"ranking_{len(planning.relations)}"
    scan = RankingScan(name, plan, table)
    planning.relations.append(scan)
    planning.schemas[name] = ranking_schema(scan)
    return exp.select(*items).from_(exp.Table(this=exp.to_identifier(name, quoted=True)))


def _joined(side: str, name: str) -> exp.Column:
    return exp.column(side_column(side, name), quoted=True)


def _over_rows(lateral: Lateral, table: Table, node: exp.Expr) -> exp.Expr:
    """An expression of the inner list over the joined rows; NULL where the search found nothing."""
    holder = exp.Paren(this=node.copy())
    for part in list(holder.find_all(exp.Column)):
        part.replace(_joined(lateral.right, part.name))
    for parameter in list(holder.find_all(*PARAMETER_NODES)):
        side, _, name = (parameter_name(parameter) or "").partition(".")
        if name and side == lateral.left:
            parameter.replace(_joined(side, name))
    value: exp.Expr = holder.this
    if not lateral.outer or isinstance(value, exp.Column):
        return value
    has_row = exp.Not(this=exp.Is(this=_joined(lateral.right, table.primary.name), expression=exp.Null()))
    return exp.Case(ifs=[exp.If(this=has_row, true=value)])


def _items(sides: _Sides, tree: exp.Select) -> Iterator[exp.Expr]:
    """The outer list over the joined rows."""
    for node in tree.expressions:
        inner = node.this if isinstance(node, exp.Alias) else node
        star = inner.this if isinstance(inner, exp.Column) else inner
        if isinstance(star, exp.Star):
            yield from (exp.alias_(value, name, quoted=True) for name, value in sides.named(inner))
            continue
        name = identifier_name(node.args["alias"]) if isinstance(node, exp.Alias) else ""
        name = name or output_name(sides.source, inner)
        holder = exp.Paren(this=inner.copy())
        for part in list(holder.find_all(exp.Column)):
            part.replace(exp.paren(sides.value(part)))
        yield exp.alias_(holder.this, name, quoted=True)
