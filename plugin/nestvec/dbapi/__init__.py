"""PEP 249: ``nestvec.connect("demo.db")``, and ``nestvec.aconnect``, its async version.

Parameters are bound as values, never pasted into the SQL: a mapping for ``:name``, a sequence for ``$1``.
"""

from __future__ import annotations

from pathlib import Path

from nestvec.dbapi.aio import AsyncConnection, AsyncCursor
from nestvec.dbapi.connection import Connection, ConnectOptions, Cursor
from nestvec.dbapi.errors import (
    DatabaseError,
    DataError,
    Error,
    IntegrityError,
    InterfaceError,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    Warning,
)
from nestvec.dbapi.types import (
    BINARY,
    DATETIME,
    NUMBER,
    ROWID,
    STRING,
    Binary,
    Date,
    DateFromTicks,
    Time,
    TimeFromTicks,
    Timestamp,
    TimestampFromTicks,
)
from nestvec.sql.settings import SessionSettings

__all__ = [
    "BINARY",
    "DATETIME",
    "NUMBER",
    "ROWID",
    "STRING",
    "AsyncConnection",
    "AsyncCursor",
    "Binary",
    "Connection",
    "Cursor",
    "DataError",
    "DatabaseError",
    "Date",
    "DateFromTicks",
    "Error",
    "IntegrityError",
    "InterfaceError",
    "InternalError",
    "NotSupportedError",
    "OperationalError",
    "ProgrammingError",
    "Time",
    "TimeFromTicks",
    "Timestamp",
    "TimestampFromTicks",
    "Warning",
    "aconnect",
    "apilevel",
    "connect",
    "paramstyle",
    "threadsafety",
]

apilevel = "2.0"
threadsafety = 2
"""Threads may share a connection, whose statements run one after the other."""
paramstyle = "named"


def connect(
    uri: str | Path,
    *,
    token: str = "",
    database: str = "",
    service: str | None = None,
    models: str | Path | None = None,
) -> Connection:
    """Connect to Milvus: a path that ends in ``.db`` (Milvus Lite, created if missing), or an address.

    ``service`` is the address at which EMBED finds encoders. ``models`` is a model repository that is served
    in this process if no service answers at the address that a collection was created with.
    Raises OperationalError if Milvus cannot be opened.
    """
    return Connection(_connect_options(uri, token, database, service, models))


def aconnect(
    uri: str | Path,
    *,
    token: str = "",
    database: str = "",
    service: str | None = None,
    models: str | Path | None = None,
) -> AsyncConnection:
    """Async version of ``connect``: ``async with nestvec.aconnect(…) as connection``, or ``await`` it."""
    return AsyncConnection(_connect_options(uri, token, database, service, models))


def _connect_options(
    uri: str | Path, token: str, database: str, service: str | None, models: str | Path | None
) -> ConnectOptions:
    settings = SessionSettings(service=service, models=Path(models) if models is not None else None)
    return ConnectOptions(str(uri), token, database, settings)
