"""A rollback after changes is an error, a warning or nothing, as the setting says. No Milvus."""

from __future__ import annotations

import warnings

import pytest

from nestvec.sql.result import StatementResult
from nestvec.sql.session import Session
from nestvec.sql.settings import SessionSettings
from nestvec.sql.statements.transaction import note_changes, roll_back
from nestvec_schemas.errors import SqlNotSupported


def changed(policy: str, *tags: str) -> Session:
    session = Session(SessionSettings(rollback=policy))
    for tag in tags:
        note_changes(session, StatementResult(tag=tag, count=int(tag.rpartition(" ")[2])))
    return session


def test_nothing_changed_is_rolled_back_without_a_word() -> None:
    roll_back(changed("error", "SELECT 3", "UPDATE 0", "INSERT 0 0", "SHOW 1"))


def test_changes_cannot_be_rolled_back() -> None:
    session = changed("error", "INSERT 0 2", "UPDATE 1")
    with pytest.raises(SqlNotSupported, match="ROLLBACK of 2 statements"):
        roll_back(session)
    roll_back(session)


def test_it_can_be_a_warning_or_nothing() -> None:
    with pytest.warns(UserWarning, match="ROLLBACK of 1 statement "):
        roll_back(changed("warn", "DELETE 1"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        roll_back(changed("ignore", "DELETE 1"))
