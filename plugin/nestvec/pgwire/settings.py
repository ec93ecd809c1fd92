"""How a server is run: limits, access, TLS."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from nestvec.pgwire.auth.accounts import Accounts
from nestvec.sql.settings import SessionSettings

DEFAULT_CURSOR_BYTES: Final = 1 << 30


@dataclass(frozen=True)
class PgLimits:
    """What one server, connection or statement may take."""

    connections: int = 100
    message_bytes: int = 64 << 20
    """The longest message, checked before it is read."""
    cursor_bytes: int = DEFAULT_CURSOR_BYTES
    """The memory of the rows of one connection's cursors, which are read when they are declared."""
    statement_seconds: float = 300.0
    """How long a statement may run; 0 for any time."""
    idle_seconds: float = 0.0
    """How long a connection may wait for its next statement; 0 for any time."""
    login_seconds: float = 10.0
    """From the connection to the end of authentication."""
    write_seconds: float = 60.0
    """How long a client may not read what it is sent."""
    shutdown_seconds: float = 30.0
    """After SIGTERM, how long to finish running statements."""
    threads: int = 16
    """Statements that run at once; others wait."""


@dataclass(frozen=True)
class PgAccess:
    """Who may connect, and by which certificate the server shows who it is."""

    accounts: Accounts | None = None
    """None trusts every client: only for loopback."""
    tls_cert: Path | None = None
    tls_key: Path | None = None


@dataclass(frozen=True)
class PgSettings:
    """How a server is run."""

    limits: PgLimits = field(default_factory=PgLimits)
    access: PgAccess = field(default_factory=PgAccess)
    sql: SessionSettings = field(default_factory=SessionSettings)
    """The initial settings of each connection."""
    database: str = "milvus"
    """The name of the database that catalogs show."""
    serial_writes: bool = True
    """Whether statements that write run one after the other: Milvus Lite requires it."""
