"""DISTINCT, GROUP BY, UNION, PARTITION BY and ORDER BY of JSONB: DuckDB compares the texts of documents.

Equal documents are one: 12 and 12.0, and objects whose keys are in another order.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

from sqlglot import exp

from nestvec.sql.parse.source import SourceText, first_select, select_lists
from nestvec.sql.relational.results.document_comparisons import compare_in_tests
from nestvec.sql.relational.results.document_sets import (
    compared_rows,
    gather_distinct,
    moved_clauses,
    names_item,
    output_columns,
)
from nestvec.sql.relational.rewrites.nodes import JSON_TYPES, call, kind

_CLAUSES: Final = ("expressions", "having", "order")
_COMPARISONS: Final = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)


def compare_documents(source: SourceText, tree: exp.Expr) -> exp.Expr:
    """Have a typed tree compare documents as PostgreSQL does. Returns the tree.

    Raises SqlTypeMismatch for values of the type ``json``, which has no equality.
    """
    if not any(kind(node) in JSON_TYPES for node in tree.walk()):
        return tree
    for compared in tree.find_all(*_COMPARISONS):
        for side in (compared.this, compared.args["expression"]):
            if kind(side) == exp.DType.JSON:
                _key(source, side)
    compare_in_tests(tree, partial(_key, source))
    for select in list(tree.find_all(exp.Select)):
        _resolve_order(select)
        _group(source, select)
        _distinct(source, select)
    for window in list(tree.find_all(exp.Window)):
        parts = window.args.get("partition_by") or []
        window.set("partition_by", [_key(source, part) for part in parts])
    for aggregate in list(tree.find_all(exp.Count)):
        if isinstance(aggregate.this, exp.Distinct):
            values = aggregate.this.expressions
            aggregate.this.set("expressions", [_key(source, value) for value in values])
    gather_distinct(tree, partial(_key, source))
    operations = list(tree.find_all(exp.SetOperation))
    for node, selects in [(node, select_lists(node)) for node in reversed(operations)]:
        united = _unite(source, node, selects)
        tree = united if node is tree else tree
    for node in operations:
        ordered = _ordered_outside(node)
        if ordered is not node:
            tree = ordered if node is tree else tree
    return tree


def _is_document(node: exp.Expr) -> bool:
    return kind(node) in JSON_TYPES


def _key(source: SourceText, node: exp.Expr) -> exp.Expr:
    """What is equal for equal documents; another value as it is."""
    if not _is_document(node):
        return node
    if kind(node) == exp.DType.JSON:
        raise source.type_mismatch(
            "values of this type cannot be compared", "json", node, "Cast them to jsonb."
        )
    key = call("pg_json_normal", node.unalias())
    key.type = exp.DataType(this=exp.DType.VARCHAR)
    return key


def _resolve_order(select: exp.Select) -> None:
    """Write the document where ORDER BY names or counts an item of the list."""
    order = select.args.get("order")
    for ordered in order.expressions if order is not None else ():
        key, items = ordered.this, select.expressions
        named = [item for item in items if names_item(key, item, items.index(item) + 1)]
        if len(named) == 1 and _is_document(named[0].unalias()):
            ordered.set("this", named[0].unalias().copy())


def _group(source: SourceText, select: exp.Select) -> None:
    group = select.args.get("group")
    keys = [key for key in (group.expressions if group is not None else ()) if _is_document(key)]
    for key in keys:
        own = key.copy()
        key.replace(_key(source, key))
        for node in list(_ungrouped(select)):
            if node == own:
                value = call("any_value", node)
                value.type = node.type
                node.replace(value)


def _ungrouped(select: exp.Select) -> Iterator[exp.Expr]:
    """The nodes of a grouped query that are outside of aggregates."""
    for name in _CLAUSES:
        clause = select.args.get(name)
        for part in clause if isinstance(clause, list) else [clause]:
            if part is not None:
                yield from part.walk(prune=lambda node: isinstance(node, (exp.AggFunc, exp.Query)))


def _distinct(source: SourceText, select: exp.Select) -> None:
    distinct, items = select.args.get("distinct"), select.expressions
    if distinct is None:
        return
    on = distinct.args.get("on")
    keys = list(on.expressions) if isinstance(on, exp.Tuple) else [on] if on is not None else items
    keys = [_listed(key, items) for key in keys]
    if not any(map(_is_document, keys)):
        return
    compared = [_key(source, key.unalias().copy()) for key in keys]
    distinct.set("on", exp.Tuple(expressions=compared))
    order = select.args.get("order")
    for ordered in order.expressions if order is not None else ():
        if _is_document(ordered.this):
            ordered.set("this", call("pg_json_sort_key", ordered.this))


def _listed(key: exp.Expr, items: list[exp.Expr]) -> exp.Expr:
    """The item that a key names; another key as it is."""
    return next((item for at, item in enumerate(items, 1) if names_item(key, item, at)), key)


def _unite(source: SourceText, node: exp.SetOperation, selects: list[exp.Select]) -> exp.Expr:
    """Have a set operation whose equal rows are one compare documents. Returns what stands in its place."""
    values = [item for select in selects for item in select.expressions if _is_document(item.unalias())]
    if not values or (isinstance(node, exp.Union) and not node.args.get("distinct")):
        return node
    for item in values:
        _key(source, item.unalias().copy())
    if not _is_recursive(node):
        names = selects[0].named_selects
        if len({*names, "", "*"}) != len(names) + 2:
            raise source.not_supported(
                "JSONB beside columns of one name in UNION, INTERSECT or EXCEPT", node, "Name each column."
            )
        if isinstance(node, exp.Union):
            return _distinct_around(source, node, selects[0].expressions)
        return compared_rows(node, selects[0].expressions, partial(_key, source))
    for item in values:
        value = item.unalias()
        form = exp.cast(call("pg_json_equal_form", value), "json")
        form.type = exp.DataType(this=exp.DType.JSONB)
        value.replace(form if isinstance(item, exp.Alias) else exp.alias_(form, item.output_name))
    return node


def _is_recursive(node: exp.Expr) -> bool:
    clause = node.find_ancestor(exp.With)
    return clause is not None and bool(clause.args.get("recursive"))


def _distinct_around(source: SourceText, node: exp.SetOperation, items: list[exp.Expr]) -> exp.Select:
    """A UNION as DISTINCT ON what is equal for equal rows, around UNION ALL; the first of them is taken."""
    columns, moved = output_columns(items), moved_clauses(node, items)
    keys = exp.Tuple(expressions=[_key(source, column) for column in columns])
    outer = exp.Select(expressions=[exp.Star()], **moved)
    if node.parent is not None:
        node.replace(outer)
    node.set("distinct", False)
    # The sides run at the same time.
    number = exp.alias_(exp.Window(this=exp.RowNumber()), "pg_at")
    numbered = exp.Select(expressions=[exp.Star(), number]).from_(_named(node, "united"))
    first = exp.Select(
        expressions=[column.copy() for column in columns],
        distinct=exp.Distinct(on=keys),
        order=exp.Order(expressions=[exp.Ordered(this=exp.column("pg_at"))]),
    )
    outer.set("from_", exp.From(this=_named(first.from_(_named(numbered, "numbered")), "distinct_rows")))
    return outer


def _named(query: exp.Query, name: str) -> exp.Subquery:
    return exp.Subquery(this=query, alias=exp.TableAlias(this=exp.to_identifier(name, quoted=True)))


def _ordered_outside(node: exp.SetOperation) -> exp.Expr:
    """ORDER BY documents of a UNION, which takes names of columns alone, around it."""
    order = node.args.get("order")
    select = first_select(node)
    items = select.expressions if select is not None else []
    documents = {at: item for at, item in enumerate(items, 1) if _is_document(item.unalias())}
    keys = [
        (ordered, item)
        for ordered in (order.expressions if order is not None else ())
        for at, item in documents.items()
        if names_item(ordered.this, item, at)
    ]
    if not keys:
        return node
    for ordered, item in keys:
        column = exp.column(exp.to_identifier(item.alias_or_name, quoted=True))
        ordered.set("this", call("pg_json_sort_key", column))
    moved = {name: node.args.pop(name) for name in ("order", "limit", "offset") if node.args.get(name)}
    inner = exp.Subquery(
        this=node.copy(), alias=exp.TableAlias(this=exp.to_identifier("united", quoted=True))
    )
    outer = exp.Select(expressions=[exp.Star()], from_=exp.From(this=inner), **moved)
    if node.parent is not None:
        node.replace(outer)
    return outer
