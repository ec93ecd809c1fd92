"""The columns that an INSERT writes."""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from nestvec.ingest.row_schema import RowSchema
from nestvec.milvus.catalog import Table
from nestvec.sql.bind.dml.literals import writable_column
from nestvec.sql.bind.scope import Scope
from nestvec.sql.parse.source import identifier_name

WRITE_INSERT: Final = "Write INSERT INTO t (a, b) VALUES (1, 2), (3, 4)."


def insert_columns(scope: Scope, shape: RowSchema, tree: exp.Expr, width: int) -> tuple[str, ...]:
    """The columns that are named, else the first ``width``; the others have their defaults.

    Raises SqlUnknownName, SqlTypeMismatch, SqlSyntaxError, SqlNotSupported.
    """
    if not isinstance(tree.this, exp.Schema):
        columns = tuple(column.name for column in shape.expected)
        if width > len(columns) and takes_own_ids(scope.table):
            # The id may be among the values.
            columns = tuple(name for name in shape.columns if name not in shape.generated)
        return columns[:width]
    names: list[str] = []
    for node in tree.this.expressions:
        if not isinstance(node, exp.Identifier):
            raise scope.source.not_supported("anything but names among the columns", node, WRITE_INSERT)
        column = writable_column(scope, node)
        name = column.name if column is not None else identifier_name(node)
        if column is not None and column.auto_id and not takes_own_ids(scope.table):
            raise scope.source.type_mismatch(
                "Milvus generates the ids of this table",
                name,
                node,
                "Omit the column, or create the table with nestvec: its BIGSERIAL takes other ids, too.",
            )
        if name in names:
            raise scope.source.syntax_error(f"column {name} is named twice", node, "Remove one.")
        names.append(name)
    return tuple(names)


def takes_own_ids(table: Table) -> bool:
    """Whether Milvus takes an id from a row where it would generate it otherwise."""
    return table.primary.auto_id and str(table.properties.get("allow_insert_auto_id", "")).lower() == "true"
