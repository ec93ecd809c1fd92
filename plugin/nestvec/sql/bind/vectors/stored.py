"""``(SELECT vector FROM papers WHERE id = 7)``: a vector that is stored already, for more like it.

``(SELECT avg(vector) FROM songs WHERE id IN (7, 8))`` is of several rows, as pgvector has it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from sqlglot import exp

from nestvec.milvus.catalog import Column
from nestvec.sql.bind.conditions import bind_condition
from nestvec.sql.bind.expressions.functions import IGNORED_PARTS
from nestvec.sql.bind.scope import Scope
from nestvec.sql.bind.vectors.targets import StoredVector
from nestvec.sql.parse.construct_names import construct_name
from nestvec.sql.parse.source import identifier_name, stray_parts

_WRITE = "Write (SELECT vector_column FROM collection WHERE id = 7), or avg(vector_column) of several rows."
_SUMMARIES: Final[dict[type[exp.Expr], str]] = {exp.Avg: "avg", exp.Sum: "sum"}


def bind_stored(scope: Scope, column: Column, node: exp.Expr) -> StoredVector:
    """The vector that a subquery is. Raises SqlUnknownName, SqlTypeMismatch, SqlNotSupported."""
    source, select = scope.source, node.this
    if not isinstance(select, exp.Select) or stray_parts(node, ("this",)):
        raise source.not_supported("this subquery", node, _WRITE)
    stray = stray_parts(select, ("expressions", "from_", "where"))
    if stray:
        construct = stray[0].strip("_").replace("_", " ").upper()
        raise source.not_supported(f"{construct} in a subquery", node, _WRITE)
    table = select.args["from_"].this if select.args.get("from_") else None
    if not isinstance(table, exp.Table) or stray_parts(table, ("this", "alias")):
        raise source.not_supported("a subquery of anything but a collection", node, _WRITE)
    alias = table.args.get("alias")
    if alias is not None and stray_parts(alias, ("this",)):
        raise source.not_supported("column names after a table's alias", alias, _WRITE)
    inner_table = scope.context.tables[identifier_name(table.this)]
    name = identifier_name(alias.this) if alias is not None else identifier_name(table.this)
    inner = replace(scope, table=inner_table, name=name)
    item = select.expressions[0] if len(select.expressions) == 1 else None
    aggregate = "" if item is None else _SUMMARIES.get(type(item), "")
    column_node = (
        item.this
        if item is not None and aggregate and not stray_parts(item, ("this", *IGNORED_PARTS))
        else item
    )
    if not isinstance(column_node, exp.Column):
        first = select.expressions[0] if select.expressions else node
        raise source.not_supported(f"{construct_name(first)} in a subquery's select list", first, _WRITE)
    stored_column = inner.column(column_node)
    if stored_column.type != column.type or stored_column.dim != column.dim:
        dims = f" of {stored_column.dim} dims" if stored_column.dim else ""
        raise source.type_mismatch(
            f"column {column.name} has vectors of {column.dim} dims",
            f"{stored_column.name}, {stored_column.type}{dims}",
            column_node,
            "Select a column of the same kind.",
        )
    where = select.args.get("where")
    condition = bind_condition(inner, where.this) if where is not None else None
    return StoredVector(inner_table.name, stored_column.name, condition, stored_column.dim or 0, aggregate)
