"""PEP 249's exceptions, and nestvec's errors converted to them.

Error
├── InterfaceError          wrong use of a connection or cursor: closed, or without rows to fetch
└── DatabaseError
    ├── DataError           a value that is out of range or not of its type, a division by zero
    ├── OperationalError    Milvus or the embedding service fails
    ├── IntegrityError      a row whose primary key already exists, or NULL where it may not be
    ├── InternalError       (not raised)
    ├── ProgrammingError    the statement is wrong
    └── NotSupportedError   valid SQL that nestvec does not support

Each is a NestvecError, too, with the cause, value, next step and caret of the original error.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from nestvec_schemas import errors
from nestvec_schemas.errors import NestvecError


class Warning(Exception):  # PEP 249's name for it
    """An important warning. nestvec raises none; a rollback that is no error issues a UserWarning."""


class Error(NestvecError):
    """The base of PEP 249's errors, made from one of nestvec's, which is its ``__cause__``."""

    def __init__(self, error: NestvecError) -> None:
        super().__init__(error.cause, value=error.value, next_step=error.next_step)
        self._message = str(error)
        self.statement: str = getattr(error, "statement", "")
        """The SQL that the error points into; empty if it points into none."""
        self.position: int | None = getattr(error, "position", None)

    def __str__(self) -> str:
        return self._message


class InterfaceError(Error):
    """Wrong use of a connection or cursor."""


class DatabaseError(Error):
    """An error of the statement, of Milvus, or of the service."""


class DataError(DatabaseError):
    """A value that cannot be stored."""


class OperationalError(DatabaseError):
    """Milvus or the embedding service fails."""


class IntegrityError(DatabaseError):
    """A constraint is violated."""


class InternalError(DatabaseError):
    """Milvus is in an invalid state."""


class ProgrammingError(DatabaseError):
    """The statement is wrong: its syntax, a name or a type."""


class NotSupportedError(DatabaseError):
    """Valid SQL that nestvec does not support."""


DBAPI_ERRORS: tuple[tuple[type[NestvecError], type[Error]], ...] = (
    (errors.SqlNotSupported, NotSupportedError),
    (errors.SqlKeyExists, IntegrityError),
    (errors.SqlNullViolation, IntegrityError),
    (errors.SqlDataError, DataError),
    (errors.SqlError, ProgrammingError),
    (errors.CollectionNotFound, ProgrammingError),
    (errors.CollectionExists, ProgrammingError),
    (errors.SpecError, ProgrammingError),
    (errors.EncoderError, ProgrammingError),
    (errors.StoreError, OperationalError),
    (errors.ServiceError, OperationalError),
    (errors.EngineError, OperationalError),
    (errors.Overloaded, OperationalError),
    (errors.IngestError, DataError),
    (errors.DatasetError, DataError),
    (errors.RequestError, DataError),
    (NestvecError, DatabaseError),
)
"""PEP 249's error for each of nestvec's; the first match applies."""


def to_dbapi_error(error: NestvecError) -> Error:
    """PEP 249's error for one of nestvec's."""
    return next(kind for ours, kind in DBAPI_ERRORS if isinstance(error, ours))(error)


@contextmanager
def dbapi_errors() -> Iterator[None]:
    """Raise nestvec's errors as PEP 249's."""
    try:
        yield
    except NestvecError as error:
        raise_dbapi_error(error)


def raise_dbapi_error(error: NestvecError) -> NoReturn:
    """Raise PEP 249's error for one that is being handled; one of PEP 249's as it is."""
    if isinstance(error, Error):
        raise error
    raise to_dbapi_error(error) from error


def interface_error(cause: str, next_step: str) -> InterfaceError:
    """Wrong use of a connection or cursor."""
    return InterfaceError(NestvecError(cause, next_step=next_step))
