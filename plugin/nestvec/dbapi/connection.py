"""PEP 249's connection and cursor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from threading import RLock
from types import TracebackType
from typing import ClassVar, TypeVar

from nestvec.dbapi import errors
from nestvec.dbapi.errors import dbapi_errors, interface_error
from nestvec.dbapi.opening import ConnectOptions
from nestvec.dbapi.results import CursorBase
from nestvec.dbapi.running import execute_many
from nestvec.milvus.connection import connect as opened
from nestvec.milvus.steps import Steps, drive
from nestvec.sql.answer import Row, StatementResult
from nestvec.sql.bind.params import Given
from nestvec.sql.session import Session
from nestvec.sql.statements import execute_steps

T = TypeVar("T")


class Connection:
    """SQL over one Milvus. Threads may share it: their statements run one after the other.

    Raises OperationalError where Milvus cannot be opened.
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
        self.session = Session(opening.settings)
        self._lock = RLock()
        self._stack = ExitStack()
        with dbapi_errors():
            self._client = self._stack.enter_context(
                opened(opening.uri, token=opening.token, database=opening.database)
            )
        self._stack.callback(self.session.close)
        self.closed = False

    def cursor(self) -> Cursor:
        """A cursor of this connection."""
        self._check()
        return Cursor(self)

    def execute(self, statement: str, parameters: Given | None = None) -> Cursor:
        """A new cursor with the statement executed."""
        return self.cursor().execute(statement, parameters)

    def run(self, steps: Steps[T]) -> T:
        """What comes of steps, asked of this connection's Milvus. Raises PEP 249's errors."""
        with self._lock, dbapi_errors():
            self._check()
            return drive(self._client, steps)

    def commit(self) -> None:
        """Nothing: Milvus has no transactions, and every statement is done when it returns."""
        self._check()

    def rollback(self) -> None:
        """Nothing: Milvus has no transactions, and what was executed stays.

        It is no error, because pools (SQLAlchemy's) call it on every connection that comes back to them.
        """
        self._check()

    def close(self) -> None:
        """Close the connection, let a Lite database go and end the services that it brought up."""
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
    """One statement at a time, and its rows."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.connection = connection

    def execute(self, operation: str, parameters: Given | None = None) -> Cursor:
        """Run one statement. ``parameters`` are values: a mapping for ``:name``, a sequence for ``$1``.

        Raises ProgrammingError where it is wrong, NotSupportedError, OperationalError where Milvus or the
        service is the cause, DataError for values that cannot be stored.
        """
        self._run(execute_steps(self.connection.session, operation, parameters))
        return self

    def executemany(self, operation: str, seq_of_parameters: Sequence[Given]) -> Cursor:
        """Run one statement with each of several values; ``rowcount`` is of all. Raises as ``execute``."""
        self._run(execute_many(self.connection.session, operation, seq_of_parameters))
        return self

    def fetchone(self) -> Row | None:
        """The next row, or None after the last. Raises InterfaceError where there are no rows to fetch."""
        return self._fetch_row()

    def fetchmany(self, size: int | None = None) -> list[Row]:
        """The next ``size`` rows, ``arraysize`` by default; fewer at the end."""
        return self._fetch_rows(size)

    def fetchall(self) -> list[Row]:
        """The rows that are left."""
        return self._fetch_rest()

    def close(self) -> None:
        """Forget the rows; the cursor is of no use afterwards."""
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
