"""IN, ANY and ALL of a query, CASE, NULLIF and IS DISTINCT FROM of JSONB: DuckDB compares texts.

Documents are compared by what is equal, or in order, where PostgreSQL's are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlglot import exp

from nestvec.sql.relational.rewrites.nodes import JSON_TYPES, call, is_text_constant, kind

Key = Callable[[exp.Expr], exp.Expr]
"""What is equal for equal documents; another value as it is. Raises SqlTypeMismatch for ``json``."""

_COMPARISONS: Final = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)
_CHOICES: Final = (exp.Case, exp.Nullif)
_SAMENESS: Final = (exp.NullSafeEQ, exp.NullSafeNEQ)


def compare_in_tests(tree: exp.Expr, key: Key) -> None:
    """Have these tests compare documents. The tree is changed."""
    for node in list(tree.find_all(exp.In, *_COMPARISONS, *_CHOICES, *_SAMENESS)):
        if isinstance(node, exp.Case):
            _compare_case(node, key)
        elif isinstance(node, exp.Nullif):
            _compare_nullif(node, key)
        elif isinstance(node, _SAMENESS):
            if JSON_TYPES & {kind(node.this), kind(node.expression)}:
                node.set("this", key(_document(node.this)))
                node.set("expression", key(_document(node.expression)))
        elif isinstance(node, exp.In):
            if node.args.get("query") is not None:
                _compare_members(node, node.args["query"], key)
            elif isinstance(node.expressions[0], exp.Values):
                _compare_values(node, node.expressions[0], key)
        elif isinstance(node.expression, (exp.Any, exp.All)):
            ordered = not isinstance(node, (exp.EQ, exp.NEQ))
            _compare_members(node, node.expression.this, _sort_key if ordered else key)


def _compare_case(node: exp.Case, key: Key) -> None:
    """``CASE document WHEN … THEN …``."""
    branches = node.args["ifs"]
    if node.this is None or not JSON_TYPES & {kind(node.this), *(kind(branch.this) for branch in branches)}:
        return
    node.set("this", key(_document(node.this)))
    for branch in branches:
        branch.set("this", key(_document(branch.this)))


def _compare_nullif(node: exp.Nullif, key: Key) -> None:
    if not JSON_TYPES & {kind(node.this), kind(node.expression)}:
        return
    value = _document(node.this)
    equal = exp.EQ(this=key(value.copy()), expression=key(_document(node.expression)))
    chosen = exp.Case(ifs=[exp.If(this=equal, true=exp.null())], default=value)
    chosen.type = exp.DataType(this=exp.DType.JSONB)
    node.replace(chosen)


def _compare_members(node: exp.Expr, members: exp.Expr, key: Key) -> None:
    """The value on the left, and the only column of the query on the right."""
    query = members.unnest()
    selects = query.selects if isinstance(query, exp.Query) else []
    if len(selects) != 1 or kind(selects[0]) not in JSON_TYPES:
        return
    column = exp.column("pg_document", "pg_documents")
    column.type = exp.DataType(this=kind(selects[0]))
    alias = exp.TableAlias(this=exp.to_identifier("pg_documents"), columns=[exp.to_identifier("pg_document")])
    rows = exp.Subquery(this=query.copy(), alias=alias)
    keys = exp.Subquery(this=exp.select(key(column)).from_(rows))
    node.set("this", key(_document(node.this)))
    members.replace(keys)


def _compare_values(node: exp.In, values: exp.Values, key: Key) -> None:
    """``document IN (VALUES (…), (…))``."""
    items = [row.expressions[0] for row in values.expressions]
    if JSON_TYPES & {kind(node.this), *map(kind, items)}:
        node.set("this", key(_document(node.this)))
        for item in items:
            item.replace(key(_document(item)))


def _document(node: exp.Expr) -> exp.Expr:
    """An operand beside a document; a constant in quotes is read as one."""
    if not is_text_constant(node.unnest()):
        return node
    document = exp.cast(node.unnest().copy(), "jsonb")
    document.type = exp.DataType(this=exp.DType.JSONB)
    return document


def _sort_key(node: exp.Expr) -> exp.Expr:
    return call("pg_json_sort_key", node) if kind(node) in JSON_TYPES else node
