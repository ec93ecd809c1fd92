"""BEGIN and COMMIT, which do nothing, and ROLLBACK, which is an error after changes."""

from __future__ import annotations

import warnings
from typing import Final

from sqlglot import exp

from nestvec.milvus.steps import Steps
from nestvec.sql.bind.params import Params
from nestvec.sql.parse.parse import ParsedStatement
from nestvec.sql.parse.source import stray_parts
from nestvec.sql.result import StatementResult
from nestvec.sql.session import Session
from nestvec_schemas.errors import SqlNotSupported

_CHANGES: Final = ("INSERT", "UPDATE", "DELETE", "COPY", "CREATE", "DROP", "ALTER", "TRUNCATE")
"""First words of the tags of statements that change rows or tables."""


def run_transaction(session: Session, parsed: ParsedStatement, params: Params) -> Steps[StatementResult]:
    """BEGIN, COMMIT and ROLLBACK. Raises SqlNotSupported for a ROLLBACK of changes."""
    yield from ()
    source, tree = parsed.source, parsed.tree
    if isinstance(tree, exp.Rollback):
        roll_back(session, statement=source.text)
        return StatementResult(tag="ROLLBACK")
    for part in stray_parts(tree, ("this",)):
        raise source.not_supported(f"{part.upper()} of a transaction", 0, "Write BEGIN or COMMIT alone.")
    if isinstance(tree, exp.Commit):
        commit(session)
        return StatementResult(tag="COMMIT")
    session.writes.changes = 0
    return StatementResult(tag="BEGIN")


def commit(session: Session) -> None:
    """Accept what was changed, and end what ``SET LOCAL`` set."""
    _end_local(session)
    session.writes.changes = 0


def _end_local(session: Session) -> None:
    if session.writes.settings_before_local is not None:
        session.settings, session.writes.settings_before_local = session.writes.settings_before_local, None


def note_changes(session: Session, result: StatementResult) -> StatementResult:
    """Count a statement that changed something, for a rollback."""
    if result.tag.startswith(_CHANGES) and result.count != 0:
        session.writes.changes += 1
    return result


def roll_back(session: Session, statement: str = "") -> None:
    """Forget what was changed, and end what ``SET LOCAL`` set.

    Raises SqlNotSupported if something was changed, as ``nestvec.rollback`` says.
    """
    _end_local(session)
    changes, session.writes.changes = session.writes.changes, 0
    policy = session.settings.rollback
    if not changes or policy == "ignore":
        return
    counted = "1 statement" if changes == 1 else f"{changes:,} statements"
    error = SqlNotSupported(
        f"ROLLBACK of {counted} is not supported: Milvus has no transactions",
        next_step="Undo the changes with further statements, and COMMIT where they are to stay.",
        statement=statement,
        position=0 if statement else None,
    )
    if policy == "error":
        raise error
    warnings.warn(str(error), UserWarning, stacklevel=2)
