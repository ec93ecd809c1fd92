"""The dialect: how an engine connects to Milvus, what statements it writes, and what a rollback is."""

from __future__ import annotations

import sys
import warnings
from types import ModuleType
from typing import Any, ClassVar, Final

from sqlalchemy import event, pool, schema
from sqlalchemy.dialects.postgresql import ARRAY, INTERVAL, JSON
from sqlalchemy.dialects.postgresql.json import JSONPATH
from sqlalchemy.engine import URL, Connection, Engine, ExecutionContext
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import ConnectionPoolEntry, PoolResetState
from sqlalchemy.sql.compiler import InsertmanyvaluesSentinelOpts
from sqlalchemy.types import ARRAY as ANY_ARRAY
from sqlalchemy.types import JSON as ANY_JSON
from sqlalchemy.types import Interval, TypeEngine

from nestvec.collections import lifecycle
from nestvec.dbapi.connection import Connection as NestvecConnection
from nestvec.milvus.address import DEFAULT_PORT
from nestvec.sql.session import Session
from nestvec.sql.statements.transaction import changes_since
from nestvec.sqlalchemy.compiler import (
    NestvecCompiler,
    NestvecDdlCompiler,
    NestvecIdentifierPreparer,
    NestvecTypeCompiler,
)
from nestvec.sqlalchemy.dropped import drop_set_aside, execute_statement, restore_dropped
from nestvec.sqlalchemy.pgvector_types import PgvectorType, is_pgvector_type
from nestvec.sqlalchemy.reflection import Reflection, ask

_QUERY: Final = frozenset(
    {"service", "models", "timeout", "ca_file", "client_cert", "client_key", "server_name"}
)
"""Arguments of ``nestvec.connect`` that a URL may have."""

_TYPES: Final = {
    ANY_ARRAY: ARRAY,
    ANY_JSON: JSON,
    ANY_JSON.JSONPathType: JSONPATH,
    Interval: INTERVAL,
}
"""PostgreSQL's types in place of SQLAlchemy's general ones: with their operators."""


class NestvecDialect(Reflection):
    """nestvec's SQL: PostgreSQL's, with named parameters and without transactions.

    The URL's query may have ``service``, ``models``, ``timeout`` and, for Milvus with TLS, ``secure=true``
    with ``ca_file``, ``client_cert``, ``client_key`` and ``server_name``.
    """

    name = "nestvec"
    driver = "nestvec"
    statement_compiler = NestvecCompiler
    ddl_compiler = NestvecDdlCompiler
    type_compiler_cls = NestvecTypeCompiler
    preparer = NestvecIdentifierPreparer
    colspecs = _TYPES
    construct_arguments: ClassVar = [  # type: ignore[misc]
        (schema.Table, {"with": None}),
    ]
    default_paramstyle = "named"
    supports_statement_cache = True
    supports_alter = False
    supports_sane_rowcount = True
    supports_sane_multi_rowcount = True
    supports_native_boolean = True
    postfetch_lastrowid = False
    supports_default_values = False
    supports_native_decimal = True
    supports_native_uuid = True
    supports_comments = False
    supports_smallserial = True
    supports_identity_columns = True
    insert_returning = True
    update_returning = True
    delete_returning = True
    supports_multivalues_insert = True
    use_insertmanyvalues = True
    # Milvus generates keys in the order of the rows.
    insertmanyvalues_implicit_sentinel = InsertmanyvaluesSentinelOpts.ANY_AUTOINCREMENT
    max_identifier_length = 255
    # What PostgreSQL's compiler asks of its dialect.
    server_version_info = (16, 0)
    _backslash_escapes = False
    _supports_create_index_concurrently = False
    _supports_drop_index_concurrently = False
    _supports_jsonb_subscripting = False
    supports_virtual_generated_columns = False
    # Milvus returns JSON as Python values.
    _json_serializer = None
    _json_deserializer = staticmethod(lambda value: value)

    def type_descriptor(self, typeobj: TypeEngine[Any]) -> TypeEngine[Any]:
        """This dialect's own type for another; those of pgvector read texts, which vectors are not."""
        if is_pgvector_type(typeobj):
            return PgvectorType(typeobj)
        described: TypeEngine[Any] = super().type_descriptor(typeobj)  # type: ignore[no-untyped-call]
        return described

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
        ask(dbapi_connection, lifecycle.collection_names)
        return True

    @classmethod
    def engine_created(cls, engine: Engine) -> None:
        """A connection that returns to the pool without a commit is reported there, not raised."""
        event.listen(engine, "reset", _note_uncommitted)

    def do_execute(
        self, cursor: Any, statement: str, parameters: Any, context: ExecutionContext | None = None
    ) -> None:
        """Run one statement; a table that is dropped is kept until the commit."""
        execute_statement(cursor.connection, context, lambda: cursor.execute(statement, parameters))

    def do_executemany(
        self, cursor: Any, statement: str, parameters: Any, context: ExecutionContext | None = None
    ) -> None:
        """Run one statement with several sets of parameters."""
        execute_statement(cursor.connection, context, lambda: cursor.executemany(statement, parameters))

    def do_execute_no_params(
        self, cursor: Any, statement: str, context: ExecutionContext | None = None
    ) -> None:
        """Run one statement without parameters."""
        execute_statement(cursor.connection, context, lambda: cursor.execute(statement))

    def do_commit(self, dbapi_connection: Any) -> None:
        """Accept the changes, and drop the tables that were dropped."""
        drop_set_aside(_unwrapped(dbapi_connection))
        dbapi_connection.commit()

    def do_rollback(self, dbapi_connection: Any) -> None:
        """Bring back dropped tables. Raises NotSupportedError after other changes, which stay in effect.

        While another error is handled, that is a warning, so that it does not take the place of that error.
        ``nestvec.rollback`` may make it one always, or nothing.
        """
        restore_dropped(_unwrapped(dbapi_connection))
        session = _unwrapped(dbapi_connection).session
        if sys.exc_info()[1] is not None and session.settings.rollback == "error":
            _warn_of_changes(session, "rolled back because of an error")
            return
        dbapi_connection.rollback()

    def do_rollback_to_savepoint(self, connection: Any, name: str) -> None:
        """Nothing if nothing was changed since the savepoint, as in ``do_rollback``."""
        session = _unwrapped(connection.connection).session
        changes = changes_since(session, name)
        if changes and sys.exc_info()[1] is not None and session.settings.rollback == "error":
            _warn(changes, "rolled back to a savepoint because of an error")
            return
        super().do_rollback_to_savepoint(connection, name)  # type: ignore[no-untyped-call]


def _unwrapped(connection: Any) -> NestvecConnection:
    """nestvec's connection, which the pool wraps."""
    raw: NestvecConnection = getattr(connection, "dbapi_connection", connection)
    return raw


def _note_uncommitted(
    dbapi_connection: DBAPIConnection, record: ConnectionPoolEntry, state: PoolResetState
) -> None:
    """Warn of changes that nobody committed, before the pool's own rollback of the connection."""
    if not state.transaction_was_reset:
        session: Session = dbapi_connection.session
        _warn_of_changes(session, "returned to the pool without commit()")


def _warn_of_changes(session: Session, what: str) -> None:
    changes, session.writes.changes = session.writes.changes, 0
    if changes and session.settings.rollback != "ignore":
        _warn(changes, what)


def _warn(changes: int, what: str) -> None:
    counted = "1 statement" if changes == 1 else f"{changes:,} statements"
    stays = "stays" if changes == 1 else "stay"
    warnings.warn(
        f"The connection was {what}: {counted} {stays} in effect, as Milvus has no transactions.",
        UserWarning,
        stacklevel=3,
    )
