"""The types of a tree, with those of columns of LATERAL and generate_series(), which sqlglot leaves out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlglot import exp
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.schema import Schema

_MAX_PASSES = 4
"""A subquery may read columns of another one before it, which then have types."""


_MARK = "has_type"
"""In the ``meta`` of a column that has a cast around it."""


def annotate(tree: exp.Expr, schema: Schema, dialect: Any) -> exp.Expr:
    """Give every node of a qualified tree its type. The tree is changed, and returned."""
    annotated: exp.Expr = annotate_types(tree, schema=schema, dialect=dialect)
    casts: list[exp.Cast] = []
    for _ in range(_MAX_PASSES):
        columns = list(_untyped_columns(annotated))
        if not columns:
            break
        for column, type_ in columns:
            # A cast has a type of its own, and is taken away again.
            cast = exp.Cast(this=column.copy(), to=type_.copy())
            cast.this.meta[_MARK] = True
            column.replace(cast)
            casts.append(cast)
        annotated = annotate_types(annotated, schema=schema, dialect=dialect)
    for cast in casts:
        column = cast.this
        column.type = cast.to
        # The tree may be annotated again, with other types.
        column.meta.pop(_MARK, None)
        cast.replace(column)
    return annotated


def _untyped_columns(tree: exp.Expr) -> Iterator[tuple[exp.Column, exp.DataType]]:
    """The columns of LATERAL and of generate_series() in FROM that have no type yet, with their types."""
    types: dict[str, dict[str, exp.DataType]] = {}
    for lateral in tree.find_all(exp.Lateral):
        query = lateral.this.unnest() if isinstance(lateral.this, exp.Subquery) else None
        if isinstance(query, exp.Query):
            names = lateral.alias_column_names or query.named_selects
            selected = zip(names, query.selects, strict=False)
            types[lateral.alias] = {
                name: item.type for name, item in selected if item.type is not None and _is_typed(item)
            }
    for series in tree.find_all(exp.ExplodingGenerateSeries):
        table = series.parent
        if isinstance(table, (exp.Table, exp.Lateral)) and series.type is not None and _is_typed(series):
            kinds = (series.type, exp.DataType.build("bigint"))
            types[table.alias] = dict(zip(table.alias_column_names, kinds, strict=False))
    if not types:
        return
    for column in tree.find_all(exp.Column):
        type_ = types.get(column.table, {}).get(column.name)
        if type_ is not None and not _is_typed(column) and _MARK not in column.meta:
            yield column, type_


def _is_typed(node: exp.Expr) -> bool:
    return node.type is not None and not node.is_type(exp.DType.UNKNOWN)
