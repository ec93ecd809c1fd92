"""DROP TABLE of SQLAlchemy in a transaction: the collection is kept until COMMIT under another name.

Milvus has no transactions, but it renames collections. So a replacement that fails, such as
``to_sql(if_exists="replace")`` with columns that Milvus does not have, leaves the old table and its rows.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from sqlalchemy import Delete, Insert, Table, Update
from sqlalchemy.engine import ExecutionContext
from sqlalchemy.schema import CreateTable, DropTable

from nestvec.dbapi.connection import Connection
from nestvec.dbapi.errors import Error
from nestvec.milvus.steps import Steps, call
from nestvec.sql.session import Session

_PREFIX = "nestvec_dropped_"


@dataclass
class DroppedTables:
    """The tables that a connection dropped since its last commit."""

    renamed: dict[str, str] = field(default_factory=dict)
    """The name of each that it has until then."""
    replaced: set[str] = field(default_factory=set)
    """Those that were created again."""
    undoable: int = 0
    """Statements that changed nothing but the tables created again."""
    failed: bool = False
    """Whether the last statement failed."""


_OF_CONNECTION: WeakKeyDictionary[Connection, DroppedTables] = WeakKeyDictionary()


def execute_statement(
    connection: Connection, context: ExecutionContext | None, run: Callable[[], None]
) -> None:
    """Run a statement. A DROP TABLE that SQLAlchemy wrote renames; what it replaces with is noted."""
    session = connection.session
    element = getattr(getattr(context, "compiled", None), "statement", None)
    target: object = element.element if isinstance(element, (CreateTable, DropTable)) else None
    if isinstance(element, (Insert, Update, Delete)):
        target = element.table
    name = target.name if isinstance(target, Table) else ""
    dropped = _OF_CONNECTION.setdefault(connection, DroppedTables())
    if (
        isinstance(element, DropTable)
        and name not in dropped.renamed
        and _set_aside(connection, dropped, name)
    ):
        return
    before, dropped.failed = session.writes.changes, True
    run()
    dropped.failed = False
    if isinstance(element, CreateTable) and name in dropped.renamed:
        dropped.replaced.add(name)
    if name in dropped.replaced:
        dropped.undoable += session.writes.changes - before


def drop_set_aside(connection: Connection) -> None:
    """At COMMIT: drop what was only renamed. Raises OperationalError.

    A COMMIT right after a statement that failed is a ROLLBACK, as in PostgreSQL: pandas does so.
    """
    dropped = _OF_CONNECTION.get(connection, DroppedTables())
    if dropped.failed:
        restore_dropped(connection)
        return
    _OF_CONNECTION.pop(connection, None)
    for aside in dropped.renamed.values():
        connection.run(_steps(connection.session, "drop_collection", aside))


def restore_dropped(connection: Connection) -> None:
    """Before ROLLBACK: drop the replacements, and give the tables their names again.

    Raises OperationalError. The statements that this undoes are no longer counted as changes.
    """
    session = connection.session
    dropped = _OF_CONNECTION.pop(connection, DroppedTables())
    for name, aside in dropped.renamed.items():
        if name in dropped.replaced:
            connection.run(_steps(session, "drop_collection", name))
        connection.run(_steps(session, "rename_collection", aside, name))
        session.forget(name)
    session.note_schema_change()
    session.writes.changes = max(session.writes.changes - dropped.undoable, 0)


def _set_aside(connection: Connection, dropped: DroppedTables, name: str) -> bool:
    """Rename a table that is to be dropped; False if Milvus does not, and it is dropped at once instead."""
    aside = f"{_PREFIX}{secrets.token_hex(4)}_{name}"[:255]
    try:
        if connection.run(_has_aliases(name)):
            # Milvus would refuse to drop it at COMMIT, once there is another of its name.
            return False
        connection.run(_steps(connection.session, "rename_collection", name, aside))
    except Error:
        return False
    dropped.renamed[name] = aside
    connection.session.forget(name)
    connection.session.note_schema_change()
    return True


def _has_aliases(name: str) -> Steps[bool]:
    """Whether aliases lead to a collection, or the name is one itself."""
    described = yield call(f"describing {name}", "describe_collection", name)
    listed = yield call(f"listing the aliases of {name}", "list_aliases", name)
    return bool(listed.get("aliases")) or described.get("collection_name", name) != name


def _steps(session: Session, method: str, *arguments: str) -> Steps[None]:
    yield call(f"{method.replace('_', ' ')} {arguments[0]}", method, *arguments)
    session.forget(arguments[0])
