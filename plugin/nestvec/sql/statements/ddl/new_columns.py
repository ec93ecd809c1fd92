"""Columns that ALTER TABLE adds, and what the rows that there are get in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from nestvec.collections.change.new_columns import NewColumn
from nestvec.collections.sql_types import stored_vector
from nestvec.ingest.row_schema import row_schema
from nestvec.ingest.write.names import readers_name
from nestvec.milvus.catalog import Column, Table, TypeParams
from nestvec.milvus.catalog.column_properties import default_property
from nestvec.milvus.lite import count_rows
from nestvec.milvus.server_version import ServerVersion
from nestvec.milvus.steps import BlockingCall, Steps
from nestvec.sql.bind.ddl.alter import column_spec
from nestvec.sql.bind.ddl.columns import ColumnDraft
from nestvec.sql.bind.ddl.defaults import DefaultExpression
from nestvec.sql.bind.dml.defaults import default_query
from nestvec.sql.bind.dml.literals import fit_value
from nestvec.sql.parse.source import SourceText
from nestvec.sql.session import Session
from nestvec.sql.statements.ddl.defaults import default_properties
from nestvec.sql.statements.dml.defaults import Default, default_values, file_defaults
from nestvec_schemas.errors import SqlNullViolation
from nestvec_schemas.spec.collection_spec import FieldSpec, VectorSpec


def new_column(
    session: Session, source: SourceText, table: Table, draft: ColumnDraft, version: ServerVersion
) -> Steps[NewColumn]:
    """A column to add: as in PostgreSQL, the rows that there are get its default, evaluated once unless it
    differs from row to row. Raises SqlError, StoreError."""
    spec = column_spec(source, draft)
    if isinstance(spec, VectorSpec):
        spec = stored_vector(spec, version)
    if not isinstance(draft.default, DefaultExpression):
        column = NewColumn(draft.name, spec, None if isinstance(spec, VectorSpec) else spec.default)
    else:
        yield from default_properties(session, source, [draft])
        default = _default(spec, draft.name, draft.default.sql)
        value = None
        if not default.is_volatile:
            ((value,),) = yield from default_values(session, [default], 1)
            value = None if value is None else _fitted(default, value)
        column = NewColumn(draft.name, spec, value, draft.default.sql, default.is_volatile)
    if draft.nullable is False and column.value is None and not column.volatile:
        yield from _check_empty(source, table, draft)
    return column


def _check_empty(source: SourceText, table: Table, draft: ColumnDraft) -> Steps[None]:
    """Raise SqlNullViolation if the table has rows."""
    if (yield BlockingCall(lambda client: count_rows(client, table.name))):
        raise SqlNullViolation(
            f"column {draft.name} of {readers_name(table.name) or table.name} contains null values",
            value="NULL",
            next_step="Write DEFAULT and a value after NOT NULL, or omit NOT NULL.",
            statement=source.text,
            position=source.position(draft.node),
        )


def row_values(columns: Sequence[NewColumn]) -> dict[str, Iterator[Any]]:
    """The values, as Milvus stores them, of columns whose default differs from row to row."""
    volatile = [column for column in columns if column.volatile]
    return {column.name: _series(column) for column in volatile}


def _series(column: NewColumn) -> Iterator[Any]:
    default = _default(column.spec, column.name, column.default)
    key = Column("", "INT64", primary=True)
    table = Table("", (key, default.column), properties={default_property(column.name): column.default})
    for value in file_defaults(table)[column.name]:
        yield None if value is None else _fitted(default, value)


def _default(spec: FieldSpec | VectorSpec, name: str, sql: str) -> Default:
    if isinstance(spec, VectorSpec):
        params = TypeParams(dim=spec.dim, sql_type=spec.sql_type)
    else:
        params = TypeParams(
            spec.max_length, None, spec.element_type, spec.max_capacity, sql_type=spec.sql_type
        )
    text, node = default_query(sql)
    return Default(Column(name, spec.type, params, nullable=spec.nullable), text, node)


def _fitted(default: Default, value: object) -> object:
    """A value as Milvus stores it."""
    shape = row_schema(Table("", (default.column,)))
    return fit_value(default.scope, shape, value, default.column, default.node)
