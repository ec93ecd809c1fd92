"""Savepoints, and the other words for BEGIN, COMMIT and ROLLBACK."""

from __future__ import annotations

import pytest

from nestvec.milvus.steps import Steps, drive
from nestvec.sql import Session
from nestvec.sql.result import StatementResult
from nestvec.sql.session import WriteState
from nestvec.sql.settings import SessionSettings
from nestvec.sql.statements import execute_steps
from nestvec.sql.statements.transaction import noting_changes
from nestvec_schemas.errors import SqlNotSupported, SqlSyntaxError, SqlUnknownName, StoreRefused


def run(session: Session, *statements: str) -> StatementResult:
    for statement in statements:
        result = drive(None, execute_steps(session, statement))  # type: ignore[arg-type] - asks nothing
    return result


def test_words_of_transactions_have_the_tags_of_postgresql() -> None:
    session = Session()
    for statement, tag in (
        ("START TRANSACTION", "BEGIN"),
        ("SAVEPOINT a", "SAVEPOINT"),
        ("ROLLBACK TO a", "ROLLBACK"),
        ("ROLLBACK TO SAVEPOINT a;", "ROLLBACK"),
        ("RELEASE a", "RELEASE"),
        ("END", "COMMIT"),
        ("ABORT", "ROLLBACK"),
        ("END WORK;", "COMMIT"),
        ("ABORT TRANSACTION", "ROLLBACK"),
    ):
        assert run(session, statement).tag == tag


def test_only_changes_since_the_savepoint_refuse_a_rollback_to_it() -> None:
    session = Session(writes=WriteState(changes=2))
    run(session, "SAVEPOINT a", "ROLLBACK TO a")
    session.writes.changes += 1
    run(session, "SAVEPOINT b", "ROLLBACK TO b")
    for _ in range(2):
        with pytest.raises(SqlNotSupported, match="ROLLBACK TO a of 1 statement is not supported"):
            run(session, "ROLLBACK TO a")
    with pytest.raises(SqlUnknownName, match="no savepoint of this name: b"):
        run(session, "ROLLBACK TO b")
    with pytest.raises(SqlNotSupported, match="ROLLBACK of 3 statements"):
        run(session, "ROLLBACK")


@pytest.mark.parametrize("attribute", ["has_written", "has_replaceable_rows"])
def test_a_statement_that_failed_after_writing_counts(attribute: str) -> None:
    """A COPY, of rows with keys or without."""
    session, failed = Session(), StoreRefused("disk full", next_step="Free some.")
    setattr(failed, attribute, True)

    def steps() -> Steps[StatementResult]:
        yield from ()
        raise failed

    with pytest.raises(StoreRefused):
        drive(None, noting_changes(session, steps()))  # type: ignore[arg-type] - asks nothing
    with pytest.raises(SqlNotSupported, match="ROLLBACK of 1 statement"):
        run(session, "ROLLBACK")


def test_the_last_savepoint_of_a_name_counts() -> None:
    session = Session()
    run(session, "SAVEPOINT a")
    session.writes.changes += 1
    run(session, 'SAVEPOINT "a"', "ROLLBACK TO A", "RELEASE SAVEPOINT a")
    with pytest.raises(SqlNotSupported, match="1 statement"):
        run(session, "ROLLBACK TO a")
    session.settings = SessionSettings(rollback="ignore")
    assert run(session, "ROLLBACK TO a").tag == "ROLLBACK"


@pytest.mark.parametrize("end", ["COMMIT", "END", "BEGIN", "START TRANSACTION", "ROLLBACK"])
def test_savepoints_end_with_the_transaction(end: str) -> None:
    session = Session()
    run(session, "SAVEPOINT a", end)
    with pytest.raises(SqlUnknownName):
        run(session, "RELEASE a")


@pytest.mark.parametrize(
    "statement",
    [
        "SAVEPOINT",
        "SAVEPOINT a b",
        "RELEASE",
        "RELEASE SAVEPOINT",
        "START",
        "END a",
        "ABORT WORK a",
        "START WORK a",
    ],
)
def test_incomplete_ones_are_errors_at_their_place(statement: str) -> None:
    with pytest.raises(SqlSyntaxError) as caught:
        run(Session(), statement)
    assert caught.value.position is not None


def test_savepoints_are_limited() -> None:
    session = Session()
    session.writes.savepoints = [("a", 0)] * 1_000
    with pytest.raises(SqlNotSupported, match="more than 1,000 savepoints"):
        run(session, "SAVEPOINT b")
