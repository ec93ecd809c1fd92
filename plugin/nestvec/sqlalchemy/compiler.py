"""Statements as nestvec's SQL: PostgreSQL's, without what Milvus does not have."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Table, types
from sqlalchemy.dialects.postgresql.base import (
    PGCompiler,
    PGDDLCompiler,
    PGIdentifierPreparer,
    PGTypeCompiler,
)

_REAL_BITS: Final = 24
"""Bits of a float's fraction that REAL has."""


class NestvecCompiler(PGCompiler):
    """PostgreSQL's statements."""

    def limit_clause(self, select: Any, **kw: Any) -> str:
        """``LIMIT n OFFSET m``, either of them alone too: PostgreSQL's compiler writes LIMIT ALL."""
        clauses = (("LIMIT", select._limit_clause), ("OFFSET", select._offset_clause))
        return "".join(f"\n {word} {self.process(x, **kw)}" for word, x in clauses if x is not None)

    def visit_slice(self, element: Any, **kw: Any) -> str:
        """``2 : 3`` of an array, with spaces: two colons in a row are a cast."""
        return f"{self.process(element.start, **kw)} : {self.process(element.stop, **kw)}"


class NestvecDdlCompiler(PGDDLCompiler):
    """PostgreSQL's CREATE and DROP."""

    def post_create_table(self, table: Table) -> str:
        """``WITH (service = 'http://…')`` of ``Table(…, nestvec_with={"service": "http://…"})``."""
        options: dict[str, Any] = table.dialect_options["nestvec"]["with"] or {}
        if not options:
            return str(super().post_create_table(table))  # type: ignore[no-untyped-call]
        return f"\n WITH ({', '.join(f'{name} = {_literal(value)}' for name, value in options.items())})"


class NestvecTypeCompiler(PGTypeCompiler):
    """PostgreSQL's types, by the names that CREATE TABLE takes."""

    def visit_FLOAT(self, type_: types.Float[Any], **kw: Any) -> str:
        """PostgreSQL's choice between its two types of floats."""
        return "REAL" if type_.precision and type_.precision <= _REAL_BITS else "DOUBLE PRECISION"

    def visit_TIMESTAMP(self, type_: types.DateTime, **kw: Any) -> str:
        """Microseconds always."""
        return "TIMESTAMPTZ" if type_.timezone else "TIMESTAMP"

    def visit_TIME(self, type_: types.Time, **kw: Any) -> str:
        """Without a zone."""
        return "TIMETZ" if type_.timezone else "TIME"

    def visit_VARCHAR(self, type_: types.String, **kw: Any) -> str:
        """TEXT where no length is set."""
        return f"VARCHAR({type_.length})" if type_.length else "TEXT"


class NestvecIdentifierPreparer(PGIdentifierPreparer):
    """Names are quoted as in PostgreSQL."""


def _literal(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else "'" + str(value).replace("'", "''") + "'"
