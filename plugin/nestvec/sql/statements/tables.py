"""Tables as statements name them, beside FROM."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sqlglot import exp

from nestvec.milvus.catalog import Table
from nestvec.milvus.steps import Steps
from nestvec.sql.parse.construct_names import words
from nestvec.sql.parse.source import Source, folded, stray_parts
from nestvec.sql.session import Session
from nestvec_schemas.errors import NestvecError

T = TypeVar("T")


def plain_table(source: Source, node: exp.Expr, *allowed: str) -> str:
    """The name of a table that stands alone. Raises SqlNotSupported for more than a name."""
    if not isinstance(node, exp.Table) or not isinstance(node.this, exp.Identifier):
        raise source.not_supported(f"{words(node)} as a table", node, "Name one collection.")
    for part in stray_parts(node, ("this", *allowed)):
        construct = "a schema-qualified table" if part in ("db", "catalog") else part.upper()
        raise source.not_supported(construct, node, "Name one collection.")
    return folded(node.this)


def with_table(session: Session, source: Source, node: exp.Table, bind: Callable[[Table], T]) -> Steps[T]:
    """What ``bind`` makes of a table; tried again where that has changed since it was read."""
    remembered = frozenset(session.tables)
    table = yield from session.table(source, node)
    try:
        return bind(table)
    except NestvecError:
        if not (yield from session.refresh_changed(node, remembered)):
            raise
    return bind((yield from session.table(source, node)))
