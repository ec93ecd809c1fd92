"""PEP 249's connection and cursor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from threading import RLock
from types import TracebackType
from typing import Any, ClassVar, TypeVar

from nestvec.dbapi import errors
from nestvec.dbapi.batch import execute_many
from nestvec.dbapi.cursor_base import CursorBase
from nestvec.dbapi.errors import dbapi_errors, interface_error, raise_dbapi_error
from nestvec.dbapi.registered import attach_server, register_table, unregister_table
from nestvec.milvus.address import ConnectSettings
from nestvec.milvus.connection import open_milvus as opened
from nestvec.milvus.steps import Steps, drive
from nestvec.sql.bind.params import ParameterValues
from nestvec.sql.result import Row, StatementResult
from nestvec.sql.session import Session, WriteState
from nestvec.sql.settings import SessionSettings
from nestvec.sql.statements import execute_steps
from nestvec.sql.statements.transaction import commit, roll_back
from nestvec_schemas.errors import NestvecError


@dataclass(frozen=True)
class ConnectOptions:
    """The options of a connection."""

    uri: str
    """A path that ends in ``.db`` (Milvus Lite), or an address."""
    token: str = field(default="", repr=False)
    database: str = ""
    connecting: ConnectSettings = field(default_factory=ConnectSettings)
    settings: SessionSettings = field(default_factory=SessionSettings)


T = TypeVar("T")


class Connection:
    """SQL over one Milvus. Threads may share it; their statements run one after the other.

    Raises OperationalError if Milvus cannot be opened.
    """

    Warning: ClassVar = errors.Warning
    Error: ClassVar = errors.Error
    InterfaceError: ClassVar = errors.InterfaceError
    DatabaseError: ClassVar = errors.DatabaseError
    DataError: ClassVar = errors.DataError
    OperationalError: ClassVar = errors.OperationalError
    IntegrityError: ClassVar = errors.IntegrityError
    InternalError: ClassVar = errors.InternalError
    ProgrammingError: ClassVar = errors.ProgrammingError
    NotSupportedError: ClassVar = errors.NotSupportedError

    def __init__(self, opening: ConnectOptions) -> None:
        self.session = Session(opening.settings, writes=WriteState(shared=not opening.uri.endswith(".db")))
        self._lock = RLock()
        self._stack = ExitStack()
        with dbapi_errors():
            self._client = self._stack.enter_context(
                opened(
                    opening.uri,
                    token=opening.token,
                    database=opening.database,
                    settings=opening.connecting,
                )
            )
        self._stack.callback(self.session.close)
        self.closed = False

    def cursor(self) -> Cursor:
        """A cursor of this connection."""
        self._check()
        return Cursor(self)

    def execute(self, statement: str, parameters: ParameterValues | None = None) -> Cursor:
        """A new cursor with the statement executed."""
        return self.cursor().execute(statement, parameters)

    def register(self, name: str, data: Any) -> None:
        """Let statements read ``data`` as the table ``name``, to join it with collections.

        An Arrow table, a data frame of pandas or Polars, or a dict of columns. Its name is as in SQL: one
        with capitals is written in double quotes. Raises InterfaceError if it is not a table.
        """
        self._check()
        register_table(self.session, name, data)

    def attach_postgres(self, name: str, address: str) -> None:
        """Let statements read tables of a PostgreSQL server, as ``name.schema.table``, to join them.

        ``address`` is a connection string of libpq, or a URI. DuckDB's extension ``postgres`` must be
        installed. Raises InterfaceError if the name is not one of lower-case letters.
        """
        self._check()
        attach_server(self.session, name, address)

    def unregister(self, name: str) -> None:
        """Forget a registered table. Raises InterfaceError if there is none of this name."""
        self._check()
        unregister_table(self.session, name)

    def run(self, steps: Steps[T]) -> T:
        """Run steps on this connection's Milvus. Raises PEP 249's errors."""
        with self._lock:
            self._check()
            try:
                return drive(self._client, steps)
            except NestvecError as error:
                raise_dbapi_error(error)

    def commit(self) -> None:
        """Accept the changes: Milvus has no transactions, and a statement takes effect when it returns."""
        self._check()
        commit(self.session)

    def rollback(self) -> None:
        """Nothing if nothing was changed since the last ``commit``.

        Raises NotSupportedError after changes, which remain in effect: Milvus has no transactions. With
        ``SET nestvec.rollback = 'warn'`` it is a warning.
        """
        self._check()
        with dbapi_errors():
            roll_back(self.session)

    def close(self) -> None:
        """Close the connection, release a Lite database, and stop the services that it started."""
        with self._lock:
            self.closed = True
            self._stack.close()

    def __enter__(self) -> Connection:
        self._check()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check(self) -> None:
        if self.closed:
            raise interface_error("the connection is closed", "Open another: nestvec.connect(…).")


class Cursor(CursorBase):
    """Runs one statement at a time, and holds its rows."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.connection = connection

    def execute(self, operation: str, parameters: ParameterValues | None = None) -> Cursor:
        """Run one statement. ``parameters`` are values: a mapping for ``:name``, a sequence for ``$1``.

        Raises ProgrammingError for a wrong statement, NotSupportedError, OperationalError for an error of
        Milvus or the service, DataError for values that cannot be stored.
        """
        self._run(execute_steps(self.connection.session, operation, parameters))
        return self

    def executemany(self, operation: str, seq_of_parameters: Sequence[ParameterValues]) -> Cursor:
        """Run one statement with each of several sets of parameters. Raises as ``execute`` does.

        ``rowcount`` is their total.
        """
        self._run(execute_many(self.connection.session, operation, seq_of_parameters))
        return self

    def fetchone(self) -> Row | None:
        """The next row, or None after the last. Raises InterfaceError if there are no rows to fetch."""
        return self._fetch_row()

    def fetchmany(self, size: int | None = None) -> list[Row]:
        """The next ``size`` rows, ``arraysize`` by default; fewer at the end."""
        return self._fetch_rows(size)

    def fetchall(self) -> list[Row]:
        """The remaining rows."""
        return self._fetch_rest()

    def close(self) -> None:
        """Discard the rows; the cursor cannot be used afterwards."""
        self._close()

    def __iter__(self) -> Iterator[Row]:
        return iter(self._fetch_row, None)

    def __enter__(self) -> Cursor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, steps: Steps[StatementResult]) -> None:
        self._check_open()
        self._set_result(self.connection.run(steps))
