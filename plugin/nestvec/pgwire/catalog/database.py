"""The catalogs as tables of an in-memory DuckDB, which are definitions again when the collections change."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from importlib.resources import files
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from nestvec.ingest.write.names import readers_name, readers_names
from nestvec.milvus.catalog import LOCKS_COLLECTION, Table, table_steps
from nestvec.milvus.steps import BlockingCall, Steps, call
from nestvec.pgwire.catalog.macros import TYPE_NAMES, macro_statements
from nestvec.pgwire.catalog.rows import Rows, Values, catalog_rows
from nestvec.pgwire.catalog.shown_views import ShownView, ShownViews
from nestvec.pgwire.catalog.views import VIEWS
from nestvec.pgwire.parameters import DEFAULTS
from nestvec_schemas.errors import CollectionNotFound

if TYPE_CHECKING:
    import duckdb

MAX_COLLECTIONS: Final = 10_000
FRESH_SECONDS: Final = 2.0
"""How long the collections are not read again while they have the names that they had: clients ask several
queries for one screen."""

_DUCKDB_TYPES: Final = {
    "oid": "BIGINT",
    "xid": "BIGINT",
    "bigint": "BIGINT",
    "integer": "INTEGER",
    "smallint": "SMALLINT",
    "boolean": "BOOLEAN",
    "real": "REAL",
    "double precision": "DOUBLE",
    "numeric": "DECIMAL(38, 6)",
    "timestamp with time zone": "TIMESTAMP",
    "interval": "INTERVAL",
    "int2vector": "SMALLINT[]",
    "oidvector": "BIGINT[]",
    "oid[]": "BIGINT[]",
    "smallint[]": "SMALLINT[]",
    "text[]": "VARCHAR[]",
    "name[]": "VARCHAR[]",
    '"char"[]': "VARCHAR[]",
    "aclitem[]": "VARCHAR[]",
    "real[]": "REAL[]",
    "boolean[]": "BOOLEAN[]",
    "double precision[]": "DOUBLE[]",
}
_ZEROS: Final = {"BIGINT": 0, "INTEGER": 0, "SMALLINT": 0, "BOOLEAN": False, "REAL": 0.0}

_DYNAMIC: Final = (
    "pg_class",
    "pg_attribute",
    "pg_attrdef",
    "pg_index",
    "pg_constraint",
    "pg_description",
    "pg_namespace",
    "pg_database",
    "pg_roles",
    "pg_authid",
    "pg_user",
    "pg_extension",
)
SCHEMAS: Final = {"pg_catalog": "pgc", "information_schema": "infos"}
"""The schemas of DuckDB that hold the catalogs: it has schemas of these names itself."""


@cache
def postgres_relations() -> Mapping[str, Mapping[str, str]]:
    """The columns of each relation of PostgreSQL's catalogs, with their types."""
    relations: Mapping[str, Mapping[str, str]] = _snapshot()["relations"]
    return relations


@cache
def _snapshot() -> Any:
    return json.loads(files(__package__).joinpath("postgres16.json").read_text(encoding="utf-8"))


class CatalogDatabase:
    """The catalogs of one server. Threads may share it."""

    def __init__(self, database: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.database = database
        self._clock = clock
        self._lock = Lock()
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._read: tuple[Table, ...] = ()
        self._names: list[str] = []
        """The names of all collections when they were read."""
        self._fresh_until = clock()
        """Until when ``_read`` is used again."""
        self._changes = 0
        self._shown: tuple[tuple[Table, ...], tuple[ShownView, ...], str] | None = None
        """The collections, the views and the owner that the tables of DuckDB show."""
        self.views = ShownViews()

    def forget(self) -> None:
        """Read the collections again on the next use."""
        self._changes += 1
        self._fresh_until = self._clock()

    def fresh_tables(self) -> Steps[tuple[Table, ...]]:
        """The collections, read again after some time, or if there are others. Raises StoreError."""
        started, changes = self._clock(), self._changes
        listed = yield call("listing the collections", "list_collections")
        names = sorted({*listed} - {LOCKS_COLLECTION})
        if started < self._fresh_until and names == self._names:
            return self._read
        tables = list[Table]()
        for name in names[:MAX_COLLECTIONS]:
            try:
                tables.append((yield from table_steps(name)))
            except CollectionNotFound:
                continue  # dropped meanwhile
        if any(readers_name(name) for name in names):
            shown = yield BlockingCall(lambda client: readers_names(client, [table.name for table in tables]))
            tables = [replace(table, name=shown[table.name]) for table in tables]
        if changes == self._changes:
            self._read, self._names, self._fresh_until = tuple(tables), names, started + FRESH_SECONDS
        return tuple(tables)

    @contextmanager
    def cursor(
        self, tables: tuple[Table, ...], owner: str, views: tuple[ShownView, ...] = ()
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor on catalogs that show these collections and views."""
        import duckdb  # noqa: PLC0415 - only a query of catalogs needs it

        try:
            cursor = self._new_cursor(tables, owner, views)
            try:
                yield cursor
            finally:
                cursor.close()
        except (duckdb.FatalException, duckdb.InternalException):
            # DuckDB refuses every later statement of a database that had one.
            with self._lock:
                self._connection = self._shown = None
            raise

    def _new_cursor(
        self, tables: tuple[Table, ...], owner: str, views: tuple[ShownView, ...]
    ) -> duckdb.DuckDBPyConnection:
        with self._lock:
            if self._connection is None:
                self._connection = _open()
            if self._shown != (tables, views, owner):
                self._shown = None
                _write(self._connection, catalog_rows(tables, owner, self.database, views))
                self._shown = (tables, views, owner)
            return self._connection.cursor()


def _open() -> duckdb.DuckDBPyConnection:
    import duckdb  # noqa: PLC0415 - only a query of catalogs needs it

    from nestvec.sql.relational.engine import DISABLED_OPTIMIZERS  # noqa: PLC0415

    connection = duckdb.connect(
        ":memory:",
        config={
            "threads": 1,
            "memory_limit": "512MB",
            "enable_external_access": "false",
            "integer_division": "true",
            "disabled_optimizers": DISABLED_OPTIMIZERS,
        },
    )
    for schema in SCHEMAS.values():
        connection.execute(f"CREATE SCHEMA {schema}")
    for name, columns in postgres_relations().items():
        schema, _, relation = name.partition(".")
        if f"{schema}.{relation}" in VIEWS:
            continue
        definitions = ", ".join(f'"{column}" {_duckdb_type(type_)}' for column, type_ in columns.items())
        connection.execute(f'CREATE TABLE {SCHEMAS[schema]}."{relation}" ({definitions})')
    connection.execute("CREATE TABLE pgc.index_definitions (oid BIGINT, definition VARCHAR, keys VARCHAR)")
    for name in ("constraint_definitions", "view_definitions"):
        connection.execute(f"CREATE TABLE pgc.{name} (oid BIGINT, definition VARCHAR)")
    connection.execute("CREATE TABLE pgc.type_names (name VARCHAR, shown VARCHAR)")
    connection.executemany("INSERT INTO pgc.type_names VALUES (?, ?)", list(TYPE_NAMES.items()))
    for name, rows in _snapshot()["rows"].items():
        schema, _, relation = name.partition(".")
        marks = ", ".join("?" for _ in postgres_relations()[name])
        connection.executemany(f'INSERT INTO {SCHEMAS[schema]}."{relation}" VALUES ({marks})', rows)  # noqa: S608
    settings = [(name, value, value, value) for name, value in DEFAULTS.items()]
    connection.executemany(
        "INSERT INTO pgc.pg_settings (name, setting, boot_val, reset_val) VALUES (?, ?, ?, ?)", settings
    )
    for statement in macro_statements():
        connection.execute(statement)
    for name, query in VIEWS.items():
        schema, _, relation = name.partition(".")
        connection.execute(f'CREATE VIEW {SCHEMAS[schema]}."{relation}" AS {query}')
    return connection


def _duckdb_type(type_: str) -> str:
    return _DUCKDB_TYPES.get(type_, "VARCHAR")


def _write(connection: duckdb.DuckDBPyConnection, rows: Rows) -> None:
    connection.execute("BEGIN")
    try:
        _replace_rows(connection, rows)
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _replace_rows(connection: duckdb.DuckDBPyConnection, rows: Rows) -> None:
    for relation in _DYNAMIC:
        connection.execute(f'DELETE FROM pgc."{relation}"')  # noqa: S608 - names of our own
        _insert(connection, relation, rows.get(relation, []))
    connection.execute(f"DELETE FROM pgc.pg_type WHERE oid >= {16384}")  # noqa: S608
    _insert(connection, "pg_type", rows.get("pg_type", []))
    connection.execute("DELETE FROM pgc.index_definitions")
    connection.execute("DELETE FROM pgc.constraint_definitions")
    connection.execute("DELETE FROM pgc.view_definitions")
    indexes = [(row["indexrelid"], row["definition"], row["key"]) for row in rows.get("pg_index", [])]
    constraints = [(row["oid"], row["definition"]) for row in rows.get("pg_constraint", [])]
    if indexes:
        connection.executemany("INSERT INTO pgc.index_definitions VALUES (?, ?, ?)", indexes)
    views = [(row["oid"], row["definition"]) for row in rows.get("pg_class", []) if row["relkind"] == "v"]
    if views:
        connection.executemany("INSERT INTO pgc.view_definitions VALUES (?, ?)", views)
    if constraints:
        connection.executemany("INSERT INTO pgc.constraint_definitions VALUES (?, ?)", constraints)


def _insert(connection: duckdb.DuckDBPyConnection, relation: str, rows: Sequence[Values]) -> None:
    if not rows:
        return
    columns = postgres_relations()[f"pg_catalog.{relation}"]
    marks = ", ".join("?" for _ in columns)
    values = [[_value(row, column, type_) for column, type_ in columns.items()] for row in rows]
    connection.executemany(f'INSERT INTO pgc."{relation}" VALUES ({marks})', values)  # noqa: S608


def _value(row: Values, column: str, type_: str) -> Any:
    if column in row:
        return row[column]
    if type_ == '"char"':
        return ""
    return "-" if type_ == "regproc" else _ZEROS.get(_duckdb_type(type_))
