"""Every error of nestvec has one of PEP 249's, with the same message."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest

from nestvec import dbapi
from nestvec.dbapi.errors import Error, dbapi_errors, to_dbapi_error
from nestvec_schemas import errors
from nestvec_schemas.errors import NestvecError, SqlError


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (errors.SqlSyntaxError, dbapi.ProgrammingError),
        (errors.SqlUnknownName, dbapi.ProgrammingError),
        (errors.SqlTypeMismatch, dbapi.ProgrammingError),
        (errors.SqlNotSupported, dbapi.NotSupportedError),
        (errors.CollectionNotFound, dbapi.ProgrammingError),
        (errors.StoreUnreachable, dbapi.OperationalError),
        (errors.StoreRefused, dbapi.OperationalError),
        (errors.ServiceUnreachable, dbapi.OperationalError),
        (errors.RowRejected, dbapi.DataError),
        (errors.CheckpointNotFound, dbapi.DatabaseError),
    ],
)
def test_the_dbapi_error_of_each(raised: type[NestvecError], expected: type[Error]) -> None:
    assert type(to_dbapi_error(raised("cause", next_step="Do."))) is expected


def test_every_error_has_a_dbapi_error() -> None:
    for _, kind in inspect.getmembers(errors, inspect.isclass):
        if issubclass(kind, NestvecError):
            assert isinstance(to_dbapi_error(kind("cause", next_step="Do.")), dbapi.DatabaseError)


def _every_error() -> list[NestvecError]:
    kinds = [
        kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, NestvecError)
    ]
    raised = [kind("cause", value=["x", 1], next_step="Do.") for kind in kinds]
    for error in raised:
        if isinstance(error, SqlError):
            error.statement, error.position = "SELECT x", 7
    return [*raised, *map(to_dbapi_error, raised)]


@pytest.mark.parametrize("error", _every_error(), ids=lambda error: type(error).__name__)
def test_errors_pickle_with_every_attribute(error: NestvecError) -> None:
    for copied in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(copied) is type(error)
        assert (str(copied), copied.args, copied.__dict__) == (str(error), error.args, error.__dict__)


def test_an_error_pickles_whatever_its_value_is() -> None:
    error = SqlError("cause", value=object(), next_step="Do.")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_the_error_tree_is_pep_249s() -> None:
    for below in (dbapi.InterfaceError, dbapi.DatabaseError):
        assert below.__bases__ == (dbapi.Error,)
    for name in ("Data", "Operational", "Integrity", "Internal", "Programming", "NotSupported"):
        assert getattr(dbapi, f"{name}Error").__bases__ == (dbapi.DatabaseError,)
    assert not issubclass(dbapi.Warning, dbapi.Error)
    named = {name for name in dbapi.__all__ if name.endswith(("Error", "Warning"))}
    assert all(getattr(dbapi.Connection, name) is getattr(dbapi, name) for name in named)


def test_the_message_and_position_are_kept() -> None:
    error = SqlError("it is wrong", value="x", next_step="Change it.", statement="SELECT x", position=7)
    with pytest.raises(dbapi.ProgrammingError) as raised, dbapi_errors():
        raise error
    found = raised.value
    assert str(found) == str(error) == "it is wrong: x. Change it.\n  SELECT x\n         ^"
    assert (found.cause, found.value, found.next_step) == ("it is wrong", "x", "Change it.")
    assert (found.statement, found.position) == ("SELECT x", 7)
    assert found.__cause__ is error
    with pytest.raises(dbapi.ProgrammingError) as again, dbapi_errors():
        raise found
    assert again.value is found
