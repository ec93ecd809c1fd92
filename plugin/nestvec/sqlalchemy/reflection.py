"""What an engine reflects of collections: tables, columns, keys and indexes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from pymilvus import MilvusClient
from sqlalchemy.engine import Connection, default
from sqlalchemy.engine.interfaces import (
    ReflectedCheckConstraint,
    ReflectedColumn,
    ReflectedForeignKeyConstraint,
    ReflectedIndex,
    ReflectedPrimaryKeyConstraint,
    ReflectedTableComment,
    ReflectedUniqueConstraint,
)
from sqlalchemy.exc import NoSuchTableError

from nestvec.collections import lifecycle
from nestvec.collections.stored_views import read_views
from nestvec.dbapi.errors import Error
from nestvec.ingest.write.names import readers_names
from nestvec.milvus.catalog import Column, EmbeddingColumn, Table, table_steps
from nestvec.milvus.steps import BlockingCall, Steps
from nestvec.sql.statements.show import default_text
from nestvec.sqlalchemy.types import reflected_type
from nestvec_schemas.errors import CollectionNotFound

_OPERATOR_CLASSES: Final = {
    "COSINE": "vector_cosine_ops",
    "L2": "vector_l2_ops",
    "IP": "vector_ip_ops",
    "HAMMING": "bit_hamming_ops",
    "JACCARD": "bit_jaccard_ops",
}


class Reflection(default.DefaultDialect):
    """The methods of a dialect that ``sqlalchemy.inspect`` and ``autoload_with`` call."""

    def get_schema_names(self, connection: Connection, **kw: Any) -> list[str]:
        return []

    def get_table_names(self, connection: Connection, schema: str | None = None, **kw: Any) -> list[str]:
        return list(ask(_dbapi_connection(connection), _table_names))

    def get_view_names(self, connection: Connection, schema: str | None = None, **kw: Any) -> list[str]:
        raw = _dbapi_connection(connection)
        return sorted(raw.run(read_views()))

    def get_sequence_names(self, connection: Connection, schema: str | None = None, **kw: Any) -> list[str]:
        return []

    def has_table(
        self, connection: Connection, table_name: str, schema: str | None = None, **kw: Any
    ) -> bool:
        return table_name in self.get_table_names(connection)

    def get_columns(
        self, connection: Connection, table_name: str, schema: str | None = None, **kw: Any
    ) -> list[ReflectedColumn]:
        table = _table(connection, table_name)
        return [_reflected_column(table, column) for column in table.columns]

    def get_pk_constraint(
        self, connection: Connection, table_name: str, schema: str | None = None, **kw: Any
    ) -> ReflectedPrimaryKeyConstraint:
        table = _table(connection, table_name)
        return {"constrained_columns": [] if table.has_row_id else [table.primary.name], "name": None}

    def get_foreign_keys(
        self, connection: Connection, table_name: str, schema: str | None = None, **kw: Any
    ) -> list[ReflectedForeignKeyConstraint]:
        return []

    def get_indexes(
        self, connection: Connection, table_name: str, schema: str | None = None, **kw: Any
    ) -> list[ReflectedIndex]:
        table = _table(connection, table_name)
        return [
            {
                "name": name,
                "column_names": [column],
                "unique": False,
                "dialect_options": _index_options(table, column),
            }
            for column, name in table.index_names.items()
        ]

    def get_table_comment(
        self, connection: Connection, table_name: str, schema: str | None = None, **kw: Any
    ) -> ReflectedTableComment:
        return {"text": _table(connection, table_name).description or None}

    def get_unique_constraints(
        self, connection: Connection, table_name: str, schema: str | None = None, **kw: Any
    ) -> list[ReflectedUniqueConstraint]:
        return []

    def get_check_constraints(
        self, connection: Connection, table_name: str, schema: str | None = None, **kw: Any
    ) -> list[ReflectedCheckConstraint]:
        return []


def ask(raw: Any, question: Callable[..., Any]) -> Any:
    """What a function of the Milvus client returns, on a connection of nestvec."""

    def steps() -> Steps[Any]:
        return (yield BlockingCall(question))

    return raw.run(steps())


def _dbapi_connection(connection: Connection) -> Any:
    """nestvec's own connection."""
    return connection.connection.dbapi_connection


def _table_names(client: MilvusClient) -> tuple[str, ...]:
    """The names of tables as statements use them, sorted."""
    return tuple(sorted(readers_names(client, lifecycle.collection_names(client)).values()))


def _table(connection: Connection, name: str) -> Table:
    try:
        table: Table = _dbapi_connection(connection).run(table_steps(name))
    except Error as error:
        if isinstance(error.__cause__, CollectionNotFound):
            raise NoSuchTableError(name) from error
        raise
    return table


def _reflected_column(table: Table, column: Column) -> ReflectedColumn:
    reflected: ReflectedColumn = {
        "name": column.name,
        "type": reflected_type(column, lexical=any(row.column == column.name for row in table.lexical)),
        "nullable": column.nullable,
        "default": default_text(table, column),
        "autoincrement": column.auto_id,
        "comment": column.description or None,
    }
    generated = _generated(table, column)
    if generated is not None:
        reflected["computed"] = {"sqltext": generated, "persisted": True}
    return reflected


def _generated(table: Table, column: Column) -> str | None:
    """The expression that fills a column; None if the application does."""
    lexical = next((row for row in table.lexical if row.column == column.name), None)
    if lexical is not None:
        return f"BM25({_quoted(lexical.source)})"
    embedding = table.embedding(column.name)
    return None if embedding is None else _embed_call(embedding)


def _embed_call(embedding: EmbeddingColumn) -> str:
    config = embedding.config
    options = {
        name: getattr(config, name) for name in ("exit", "expert", "prompt", "query_prompt", "top")
    } | {"service": embedding.service}
    arguments = [f"{name} => {_literal(value)}" for name, value in options.items() if value is not None]
    return f"EMBED({', '.join([_quoted(embedding.source), _literal(config.encoder), *arguments])})"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(value: bool | int | float | str) -> str:
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _index_options(table: Table, column: str) -> dict[str, Any]:
    """Options with which ``Index.create`` makes it again."""
    kind, operators = table.indexes[column].lower(), _OPERATOR_CLASSES.get(table.metrics.get(column, ""))
    options: dict[str, Any] = {"postgresql_using": "ivfflat" if kind == "ivf_flat" else kind}
    return options | ({"postgresql_ops": {column: operators}} if operators else {})
