"""Errors of statements that name a view where they need a table, in the words of PostgreSQL."""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from nestvec.sql.parse.source import SourceText
from nestvec_schemas.errors import SqlUnknownName

_QUERY: Final = "Name the table that the view reads."
_MESSAGES: Final[dict[str, tuple[str, str]]] = {
    "INSERT": ('cannot insert into view "{}"', _QUERY),
    "UPDATE": ('cannot update view "{}"', _QUERY),
    "DELETE": ('cannot delete from view "{}"', _QUERY),
    "CREATE": ('cannot create index on relation "{}"', "Create it on the table that the view reads."),
    "COPY": ('cannot copy from view "{}"', "Try the COPY (SELECT ...) TO variant."),
    "DROP": ('"{}" is not a table', "Use DROP VIEW to remove a view."),
}
"""By the first word of the statement: the cause and the next step."""


class SqlNamesView(SqlUnknownName):
    """There is no such table, but a view of this name."""


def view_error(source: SourceText, node: exp.Expr, name: str) -> SqlNamesView:
    """The error of a statement that needs a table where it names a view."""
    word = source.tokens[0].text.upper() if source.tokens else ""
    cause, next_step = _MESSAGES.get(word, ('"{}" is not a table', _QUERY))
    return SqlNamesView(
        cause.format(name), next_step=next_step, statement=source.text, position=source.position(node)
    )
