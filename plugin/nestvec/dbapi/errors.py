"""PEP 249's exceptions, and nestvec's errors as them.

Error
├── InterfaceError          a connection or cursor is used wrongly: closed, or asked for rows it has not
└── DatabaseError
    ├── DataError           a value or a file's row that cannot be stored
    ├── OperationalError    Milvus or the embedding service does not do its part
    ├── IntegrityError      a row whose primary key is there already
    ├── InternalError       (none yet)
    ├── ProgrammingError    the statement is wrong
    └── NotSupportedError   the statement is right, and nestvec does not do it

Each is a NestvecError too, with the cause, the value, the next step and the caret of what it stands for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nestvec_schemas import errors
from nestvec_schemas.errors import NestvecError


class Warning(Exception):  # PEP 249's name for it
    """Something that is worth a word, and no error. nestvec has none."""


class Error(NestvecError):
    """The root of PEP 249's errors, made of one of nestvec's.

    ``statement`` and ``position`` are where it points, if it does; ``__cause__`` is what it is made of.
    """

    def __init__(self, error: NestvecError) -> None:
        Exception.__init__(self, str(error))
        self.cause, self.value, self.next_step = error.cause, error.value, error.next_step
        self.statement: str = getattr(error, "statement", "")
        self.position: int | None = getattr(error, "position", None)


class InterfaceError(Error):
    """A connection or cursor is used wrongly."""


class DatabaseError(Error):
    """What Milvus, the service or the statement is the cause of."""


class DataError(DatabaseError):
    """A value that cannot be stored."""


class OperationalError(DatabaseError):
    """Milvus or the embedding service does not do its part."""


class IntegrityError(DatabaseError):
    """A constraint does not hold."""


class InternalError(DatabaseError):
    """Milvus is in a state that it should not be in."""


class ProgrammingError(DatabaseError):
    """The statement is wrong: its grammar, a name, a type."""


class NotSupportedError(DatabaseError):
    """Valid SQL that is not done."""


DBAPI_ERRORS: tuple[tuple[type[NestvecError], type[Error]], ...] = (
    (errors.SqlNotSupported, NotSupportedError),
    (errors.SqlKeyExists, IntegrityError),
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
    (errors.DataError, DataError),
    (errors.RequestError, DataError),
    (NestvecError, DatabaseError),
)
"""What each of nestvec's errors is to PEP 249; the first row that fits counts."""


def to_dbapi_error(error: NestvecError) -> Error:
    """An error as PEP 249's."""
    return next(kind for ours, kind in DBAPI_ERRORS if isinstance(error, ours))(error)


@contextmanager
def dbapi_errors() -> Iterator[None]:
    """Raise nestvec's errors as PEP 249's."""
    try:
        yield
    except Error:
        raise
    except NestvecError as error:
        raise to_dbapi_error(error) from error


def interface_error(cause: str, next_step: str) -> InterfaceError:
    """A connection or cursor is used wrongly."""
    return InterfaceError(NestvecError(cause, next_step=next_step))
