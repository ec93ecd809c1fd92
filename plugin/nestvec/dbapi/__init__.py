"""PEP 249: ``nestvec.connect("demo.db")``, and ``nestvec.aconnect``, its async version.

Parameters are bound as values, never pasted into the SQL: a mapping for ``:name``, a sequence for ``$1``.
"""

from __future__ import annotations

import os
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
    interface_error,
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
from nestvec.milvus.address import CONNECT_SECONDS, MAX_CONNECT_SECONDS, ConnectSettings
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
    uri: str | Path | None = None,
    *,
    token: str | None = None,
    database: str | None = None,
    service: str | None = None,
    models: str | Path | None = None,
    timeout: float | None = None,
    ca_file: str | Path | None = None,
    client_cert: str | Path | None = None,
    client_key: str | Path | None = None,
    server_name: str | None = None,
) -> Connection:
    """Connect to Milvus: a path that ends in ``.db`` (Milvus Lite, created if missing), or an address.

    What is None comes from the environment, as for the commands: ``NESTVEC_URI``, ``NESTVEC_TOKEN``,
    ``NESTVEC_DATABASE``, ``NESTVEC_TIMEOUT``, ``NESTVEC_CA_FILE``, ``NESTVEC_CLIENT_CERT``,
    ``NESTVEC_CLIENT_KEY``, ``NESTVEC_SERVER_NAME``.

    ``service`` is the address at which EMBED finds encoders. ``models`` is a model repository that is served
    in this process if no service answers at the address that a collection was created with. ``timeout`` is
    the seconds to wait for an answer when connecting. ``ca_file``, ``client_cert`` and ``client_key`` are PEM
    files for a server with TLS, and ``server_name`` is the name in its certificate.
    Raises OperationalError if Milvus cannot be opened.
    """
    connecting = _connecting(timeout, ca_file, client_cert, client_key=client_key, server_name=server_name)
    return Connection(
        _connect_options(uri, token, database, settings=_settings(service, models), connecting=connecting)
    )


def aconnect(
    uri: str | Path | None = None,
    *,
    token: str | None = None,
    database: str | None = None,
    service: str | None = None,
    models: str | Path | None = None,
    timeout: float | None = None,
    ca_file: str | Path | None = None,
    client_cert: str | Path | None = None,
    client_key: str | Path | None = None,
    server_name: str | None = None,
) -> AsyncConnection:
    """Async version of ``connect``: ``async with nestvec.aconnect(…) as connection``, or ``await`` it."""
    connecting = _connecting(timeout, ca_file, client_cert, client_key=client_key, server_name=server_name)
    return AsyncConnection(
        _connect_options(uri, token, database, settings=_settings(service, models), connecting=connecting)
    )


def _settings(service: str | None, models: str | Path | None) -> SessionSettings:
    return SessionSettings(service=service, models=Path(models) if models is not None else None)


def _variable(name: str, value: object | None) -> str:
    """A value as text, or that of the environment variable."""
    return str(value) if value is not None else os.environ.get(f"NESTVEC_{name}", "")


def _connecting(
    timeout: float | None,
    ca_file: str | Path | None,
    client_cert: str | Path | None,
    *,
    client_key: str | Path | None,
    server_name: str | None,
) -> ConnectSettings:
    seconds = _variable("TIMEOUT", timeout)
    try:
        limit = float(seconds) if seconds else CONNECT_SECONDS
    except ValueError:
        limit = 0.0
    if not 0 < limit <= MAX_CONNECT_SECONDS:
        raise interface_error(
            "the timeout is not a number of seconds",
            f"Write a number above 0, at most {MAX_CONNECT_SECONDS:,.0f}.",
        )
    return ConnectSettings(
        timeout=limit,
        ca_file=_file("CA_FILE", ca_file),
        client_cert=_file("CLIENT_CERT", client_cert),
        client_key=_file("CLIENT_KEY", client_key),
        server_name=_variable("SERVER_NAME", server_name),
    )


def _file(name: str, value: str | Path | None) -> Path | None:
    path = _variable(name, value)
    return Path(path) if path else None


def _connect_options(
    uri: str | Path | None,
    token: str | None,
    database: str | None,
    *,
    settings: SessionSettings,
    connecting: ConnectSettings,
) -> ConnectOptions:
    return ConnectOptions(
        _variable("URI", uri),
        _variable("TOKEN", token),
        _variable("DATABASE", database),
        connecting=connecting,
        settings=settings,
    )
