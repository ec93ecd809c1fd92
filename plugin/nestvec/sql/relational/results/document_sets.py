"""INTERSECT and EXCEPT of JSONB, and aggregates of DISTINCT documents, which keep the digits of the first.

DuckDB compares the texts of documents.
"""

from __future__ import annotations

from typing import Any

from sqlglot import exp

from nestvec.sql.relational.results.document_comparisons import Key
from nestvec.sql.relational.rewrites.nodes import JSON_TYPES, anonymous_name, call, kind, outside

_DOCUMENTS = exp.DataType.build("array<jsonb>")
_CLAUSES = ("order", "limit", "offset")


def gather_distinct(tree: exp.Expr, key: Key) -> None:
    """Have ``array_agg(DISTINCT document)`` and its like sort documents, and take the first of equal ones."""
    for node in list(tree.find_all(exp.ArrayAgg, exp.JSONArrayAgg, exp.Anonymous)):
        if isinstance(node, exp.Anonymous) and (anonymous_name(node) != "JSONB_AGG" or not node.expressions):
            continue
        argument = node.expressions[0] if isinstance(node, exp.Anonymous) else node.this
        order = argument if isinstance(argument, exp.Order) else None
        distinct = argument.this if order is not None else argument
        if not isinstance(distinct, exp.Distinct) or len(distinct.expressions) != 1:
            continue
        document = distinct.expressions[0]
        if kind(document) in JSON_TYPES:
            key(document)
            _gather(node, document, order.expressions[0] if order is not None else exp.Ordered())


def _gather(node: exp.Expr, document: exp.Expr, ordered: exp.Expr) -> None:
    flags = [exp.convert(bool(ordered.args.get(name))) for name in ("desc", "nulls_first")]
    is_array = isinstance(node, exp.ArrayAgg)

    def sorted_documents(aggregate: exp.Expr) -> exp.Expr:
        values = call("pg_distinct_documents", aggregate, *flags)
        values.type = _DOCUMENTS.copy()
        if is_array:
            return values
        gathered_json = call("to_jsonb", values)
        gathered_json.type = exp.DataType(this=exp.DType.JSONB)
        return gathered_json

    gathered = exp.ArrayAgg(this=document.copy())
    gathered.type = _DOCUMENTS.copy()
    node.replace(gathered)
    replaced = outside(gathered, sorted_documents)
    if replaced is not gathered:
        gathered.replace(replaced)


def names_item(key: exp.Expr, item: exp.Expr, position: int) -> bool:
    """Whether a key of ORDER BY or DISTINCT ON names an item of the select list, or is its position."""
    if isinstance(key, exp.Literal):
        return not key.is_string and str(key.name) == str(position)
    return isinstance(key, exp.Column) and not key.table and bool(key.name == item.alias_or_name)


def output_columns(items: list[exp.Expr], table: str = "") -> list[exp.Column]:
    """The columns that items of a select list are outside of it."""
    columns = []
    for item in items:
        name = exp.to_identifier(item.alias_or_name, quoted=True)
        column = exp.column(name, table=exp.to_identifier(table) if table else None)
        column.type = item.unalias().type
        columns.append(column)
    return columns


def moved_clauses(node: exp.SetOperation, items: list[exp.Expr]) -> dict[str, Any]:
    """ORDER BY, with documents in their order, LIMIT and OFFSET, which no longer stand in the operation."""
    moved = {name: node.args.pop(name) for name in _CLAUSES if node.args.get(name)}
    for ordered in moved["order"].expressions if "order" in moved else ():
        for at, column in enumerate(output_columns(items), 1):
            if kind(column) in JSON_TYPES and names_item(ordered.this, items[at - 1], at):
                ordered.set("this", call("pg_json_sort_key", column.copy()))
    return moved


def compared_rows(node: exp.SetOperation, items: list[exp.Expr], key: Key) -> exp.Select:
    """INTERSECT or EXCEPT as the rows of its first query that are, or are not, in the second."""
    moved, distinct = moved_clauses(node, items), bool(node.args.get("distinct"))
    sides = [_side(node.args[name], items, alias) for name, alias in (("this", "lhs"), ("expression", "rhs"))]
    left, right = ([key(column) for column in output_columns(items, alias)] for alias in ("lhs", "rhs"))
    if not distinct:
        # The second of equal rows on the left is met by the second on the right.
        sides = [_numbered(side, keys) for side, keys in zip(sides, (left, right), strict=True)]
        left.append(exp.column("pg_at", table="lhs"))
        right.append(exp.column("pg_at", table="rhs"))
    same = exp.and_(*(exp.NullSafeEQ(this=a.copy(), expression=b) for a, b in zip(left, right, strict=True)))
    met: exp.Expr = exp.Exists(this=exp.select("1").from_(sides[1]).where(same))
    outer = exp.Select(
        expressions=list(output_columns(items, "lhs")),
        from_=exp.From(this=sides[0]),
        where=exp.Where(this=exp.Not(this=met) if isinstance(node, exp.Except) else met),
        with_=node.args.pop("with_", None),
        **moved,
    )
    if distinct:
        outer.set("distinct", exp.Distinct(on=exp.Tuple(expressions=left)))
    if node.parent is not None:
        node.replace(outer)
    return outer


def _side(query: exp.Expr, items: list[exp.Expr], alias: str) -> exp.Subquery:
    columns = [exp.to_identifier(item.alias_or_name, quoted=True) for item in items]
    return exp.Subquery(
        this=query.unnest().copy(), alias=exp.TableAlias(this=exp.to_identifier(alias), columns=columns)
    )


def _numbered(side: exp.Subquery, keys: list[exp.Expr]) -> exp.Subquery:
    """Rows with the count of equal ones up to each."""
    number = exp.Window(this=exp.RowNumber(), partition_by=[key.copy() for key in keys])
    rows = exp.Select(expressions=[exp.Star(), exp.alias_(number, "pg_at")], from_=exp.From(this=side.copy()))
    return exp.Subquery(this=rows, alias=exp.TableAlias(this=exp.to_identifier(side.alias)))
