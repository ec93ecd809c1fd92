"""BEGIN, COMMIT and savepoints, which do nothing, and ROLLBACK, which is an error after changes."""

from __future__ import annotations

import warnings
from typing import Final

from sqlglot import exp

from nestvec.milvus.steps import Steps
from nestvec.sql.bind.params import Params
from nestvec.sql.parse.parse import ParsedStatement
from nestvec.sql.parse.source import SourceText, identifier_name, stray_parts
from nestvec.sql.result import StatementResult
from nestvec.sql.session import Session
from nestvec_schemas.errors import NestvecError, SqlNotSupported

_CHANGES: Final = ("INSERT", "UPDATE", "DELETE", "COPY", "CREATE", "DROP", "ALTER", "TRUNCATE")
"""First words of the tags of statements that change rows or tables."""

_MAX_SAVEPOINTS: Final = 1_000


def run_transaction(session: Session, parsed: ParsedStatement, params: Params) -> Steps[StatementResult]:
    """BEGIN, COMMIT and ROLLBACK. Raises SqlNotSupported for a ROLLBACK of changes."""
    yield from ()
    source, tree = parsed.source, parsed.tree
    if isinstance(tree, exp.Rollback):
        savepoint = tree.args.get("savepoint")
        if savepoint is not None:
            _roll_back_to(session, source, savepoint)
        else:
            roll_back(session, statement=source.text)
        return StatementResult(tag="ROLLBACK")
    for part in stray_parts(tree, ("this",)):
        raise source.not_supported(f"{part.upper()} of a transaction", 0, "Write BEGIN or COMMIT alone.")
    if isinstance(tree, exp.Commit):
        commit(session)
        return StatementResult(tag="COMMIT")
    session.writes.changes = 0
    session.writes.savepoints.clear()
    return StatementResult(tag="BEGIN")


def run_savepoint(session: Session, parsed: ParsedStatement, params: Params) -> Steps[StatementResult]:
    """SAVEPOINT and RELEASE. Raises SqlUnknownName if there is no savepoint to release."""
    yield from ()
    name, savepoints = parsed.tree.args["expression"], session.writes.savepoints
    if parsed.tree.name.upper() == "SAVEPOINT":
        if len(savepoints) >= _MAX_SAVEPOINTS:
            raise parsed.source.not_supported(
                f"more than {_MAX_SAVEPOINTS:,} savepoints", name, "Release some, or write COMMIT."
            )
        savepoints.append((identifier_name(name), session.writes.changes))
        return StatementResult(tag="SAVEPOINT")
    del savepoints[_savepoint(session, parsed.source, name) :]
    return StatementResult(tag="RELEASE")


def _savepoint(session: Session, source: SourceText, name: exp.Expr) -> int:
    """The position of the last savepoint of a name."""
    names = [saved for saved, _ in session.writes.savepoints]
    if identifier_name(name) not in names:
        raise source.unknown_name(
            "there is no savepoint of this name",
            identifier_name(name),
            name,
            f"Available: {', '.join(names)}.",
        )
    return len(names) - 1 - names[::-1].index(identifier_name(name))


def changes_since(session: Session, name: str) -> int:
    """The statements that changed something since the last savepoint of a name; 0 if there is none."""
    before = [changes for saved, changes in session.writes.savepoints if saved == name]
    return session.writes.changes - before[-1] if before else 0


def _roll_back_to(session: Session, source: SourceText, name: exp.Expr) -> None:
    """Raises SqlNotSupported if something was changed since the savepoint: the changes stay, and count."""
    at = _savepoint(session, source, name)
    before = session.writes.savepoints[at][1]
    del session.writes.savepoints[at + 1 :]
    _refuse(session, session.writes.changes - before, source.text, f"ROLLBACK TO {identifier_name(name)}")


def commit(session: Session) -> None:
    """Accept what was changed, and end what ``SET LOCAL`` set."""
    _end_local(session)
    session.writes.changes = 0
    session.writes.savepoints.clear()


def _end_local(session: Session) -> None:
    if session.writes.settings_before_local is not None:
        session.settings, session.writes.settings_before_local = session.writes.settings_before_local, None


def noting_changes(session: Session, steps: Steps[StatementResult]) -> Steps[StatementResult]:
    """Run the steps of a statement, and count it for a rollback if it changed something."""
    try:
        result = yield from steps
    except NestvecError as error:
        session.writes.changes += error.has_written or error.has_replaceable_rows
        raise
    return note_changes(session, result)


def note_changes(session: Session, result: StatementResult) -> StatementResult:
    """Count a statement that changed something, for a rollback."""
    # The one extension is built in: CREATE EXTENSION changes nothing.
    if result.tag.startswith(_CHANGES) and not result.tag.endswith("EXTENSION") and result.count != 0:
        session.writes.changes += 1
    return result


def roll_back(session: Session, statement: str = "") -> None:
    """Forget what was changed, and end what ``SET LOCAL`` set.

    Raises SqlNotSupported if something was changed, as ``nestvec.rollback`` says.
    """
    _end_local(session)
    session.writes.savepoints.clear()
    changes, session.writes.changes = session.writes.changes, 0
    _refuse(session, changes, statement, "ROLLBACK")


def _refuse(session: Session, changes: int, statement: str, what: str) -> None:
    """Raise or warn of changes that are not undone, as ``nestvec.rollback`` says."""
    policy = session.settings.rollback
    if not changes or policy == "ignore":
        return
    counted = "1 statement" if changes == 1 else f"{changes:,} statements"
    error = SqlNotSupported(
        f"{what} of {counted} is not supported: Milvus has no transactions",
        next_step="Undo the changes with further statements, and COMMIT where they are to stay.",
        statement=statement,
        position=0 if statement else None,
    )
    if policy == "error":
        raise error
    warnings.warn(str(error), UserWarning, stacklevel=2)
