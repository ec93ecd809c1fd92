"""Tables that statements name outside FROM."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sqlglot import exp

from nestvec.milvus.catalog import Table
from nestvec.milvus.steps import Steps
from nestvec.sql.analysis.check import StatementCheck
from nestvec.sql.parse.construct_names import construct_name
from nestvec.sql.parse.source import SourceText, identifier_name, stray_parts
from nestvec.sql.session import Session
from nestvec_schemas.errors import NestvecError

T = TypeVar("T")


def plain_table(source: SourceText, node: exp.Expr, *allowed: str) -> str:
    """The name of a table. Raises SqlNotSupported for anything but a plain name."""
    if not isinstance(node, exp.Table) or not isinstance(node.this, exp.Identifier):
        raise source.not_supported(f"{construct_name(node)} as a table", node, "Name one collection.")
    for part in stray_parts(node, ("this", *allowed)):
        construct = "a schema-qualified table" if part in ("db", "catalog") else part.upper()
        raise source.not_supported(construct, node, "Name one collection.")
    return identifier_name(node.this)


def check_write(session: Session, source: SourceText, node: exp.Table, tree: exp.Expr) -> Steps[None]:
    """Raise SqlError for a statement that writes values whose types PostgreSQL refuses."""
    own = session.caller.tables

    def check(table: Table) -> None:
        others = (each for each in session.tables.values() if each.name not in (table.name, *own))
        StatementCheck(source, (table, *others)).check(tree)

    yield from with_table(session, source, node, check)


def with_table(session: Session, source: SourceText, node: exp.Table, bind: Callable[[Table], T]) -> Steps[T]:
    """The result of ``bind`` for a table, which is read again if it changed and binding failed."""
    remembered = frozenset(session.tables)
    table = yield from session.table(source, node)
    try:
        return bind(table)
    except NestvecError:
        if not (yield from session.refresh_changed(node, remembered)):
            raise
    return bind((yield from session.table(source, node)))
