"""The dialect: how an engine connects to Milvus, and what it reflects."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

from sqlalchemy import pool
from sqlalchemy.engine import URL, Connection, default
from sqlalchemy.engine.interfaces import (
    ReflectedColumn,
    ReflectedForeignKeyConstraint,
    ReflectedIndex,
    ReflectedPrimaryKeyConstraint,
    ReflectedTableComment,
)
from sqlalchemy.exc import ArgumentError, NoSuchTableError

from nestvec.collections import lifecycle
from nestvec.dbapi.errors import Error
from nestvec.milvus.address import DEFAULT_PORT
from nestvec.milvus.catalog import Table, table_steps
from nestvec.milvus.steps import BlockingCall, Steps
from nestvec.sqlalchemy.types import reflected_type
from nestvec_schemas.errors import CollectionNotFound

_QUERY: Final = frozenset(
    {"service", "models", "timeout", "ca_file", "client_cert", "client_key", "server_name"}
)
"""Arguments of ``nestvec.connect`` that a URL may have."""


class NestvecDialect(default.DefaultDialect):
    """nestvec's SQL: named parameters, no transactions, no joins.

    The URL's query may have ``service``, ``models``, ``timeout`` and, for Milvus with TLS, ``secure=true``
    with ``ca_file``, ``client_cert``, ``client_key`` and ``server_name``.
    """

    name = "nestvec"
    driver = "nestvec"
    default_paramstyle = "named"
    supports_statement_cache = True
    supports_alter = False
    supports_sane_rowcount = True
    supports_sane_multi_rowcount = True
    supports_native_boolean = True
    postfetch_lastrowid = False
    supports_default_values = False
    max_identifier_length = 255
    # Milvus returns JSON as Python values.
    _json_deserializer = staticmethod(lambda value: value)

    @classmethod
    def import_dbapi(cls) -> ModuleType:
        """nestvec's PEP 249 module."""
        from nestvec import dbapi  # noqa: PLC0415 - SQLAlchemy asks for it when an engine is made

        return dbapi

    @classmethod
    def get_pool_class(cls, url: URL) -> type[pool.Pool]:
        """SQLAlchemy's default pool: the connections of a process share a Lite database."""
        return pool.QueuePool

    def create_connect_args(self, url: URL) -> tuple[list[Any], dict[str, Any]]:
        """``nestvec:///demo.db``, ``nestvec:////absolute/demo.db`` or ``nestvec://user:password@host:19530/db``.

        Raises ArgumentError for any other URL.
        """
        query = {name: str(value) for name, value in url.query.items()}
        secure = query.pop("secure", "false").lower() == "true"
        unknown = set(query) - _QUERY
        if unknown:
            raise ArgumentError(
                f"nestvec URLs take secure, {', '.join(sorted(_QUERY))}, not {', '.join(sorted(unknown))}."
            )
        if url.host is None:
            if not (url.database or "").endswith(".db"):
                raise ArgumentError(
                    "Use a path that ends in .db, nestvec:///demo.db, or a server, nestvec://HOST:19530."
                )
            return [url.database], dict(query)
        # Without a user, the token is that of the environment; a user alone is an API key.
        token = f"{url.username}:{url.password}" if url.password else url.username
        host = f"[{url.host}]" if ":" in url.host else url.host
        uri = f"{'https' if secure else 'http'}://{host}:{url.port or DEFAULT_PORT}"
        return [uri], {**query, "token": token, "database": url.database or ""}

    def initialize(self, connection: Connection) -> None:
        """Does not call the server: there is one schema, without a name."""
        self.default_schema_name = None

    def do_ping(self, dbapi_connection: Any) -> bool:
        """Whether the server answers."""
        _ask(dbapi_connection, lifecycle.collection_names)
        return True

    def get_schema_names(self, connection: Connection, **kw: Any) -> list[str]:
        return []

    def get_table_names(self, connection: Connection, schema: str | None = None, **kw: Any) -> list[str]:
        return list(_ask(_dbapi_connection(connection), lifecycle.collection_names))

    def get_view_names(self, connection: Connection, schema: str | None = None, **kw: Any) -> list[str]:
        return []

    def has_table(
        self, connection: Connection, table_name: str, schema: str | None = None, **kw: Any
    ) -> bool:
        return table_name in self.get_table_names(connection)

    def get_columns(
        self, connection: Connection, table_name: str, schema: str | None = None, **kw: Any
    ) -> list[ReflectedColumn]:
        return [
            {
                "name": column.name,
                "type": reflected_type(column),
                "nullable": column.nullable,
                "default": None if column.default is None else repr(column.default),
                "autoincrement": column.auto_id,
                "comment": column.description or None,
            }
            for column in _table(connection, table_name).columns
        ]

    def get_pk_constraint(
        self, connection: Connection, table_name: str, schema: str | None = None, **kw: Any
    ) -> ReflectedPrimaryKeyConstraint:
        return {"constrained_columns": [_table(connection, table_name).primary.name], "name": None}

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
                "name": column,
                "column_names": [column],
                "unique": False,
                "dialect_options": {"nestvec_using": kind},
            }
            for column, kind in table.indexes.items()
        ]

    def get_table_comment(
        self, connection: Connection, table_name: str, schema: str | None = None, **kw: Any
    ) -> ReflectedTableComment:
        return {"text": _table(connection, table_name).description or None}


def _dbapi_connection(connection: Connection) -> Any:
    """nestvec's own connection."""
    return connection.connection.dbapi_connection


def _ask(raw: Any, ask: Callable[..., Any]) -> Any:
    def steps() -> Steps[Any]:
        return (yield BlockingCall(ask))

    return raw.run(steps())


def _table(connection: Connection, name: str) -> Table:
    try:
        table: Table = _dbapi_connection(connection).run(table_steps(name))
    except Error as error:
        if isinstance(error.__cause__, CollectionNotFound):
            raise NoSuchTableError(name) from error
        raise
    return table
