"""COPY … FROM STDIN and COPY … TO STDOUT."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from nestvec.pgwire.copying.options import CopyStreamOptions, parse_copy_options
from nestvec.pgwire.errors import PgError

_NAME: Final = r'(?:"(?:[^"]|"")+"|\w+)'
_TEXT: Final = r"(?:(?<!\w)[eE]'(?:[^'\\]|''|\\.)*+'|'(?:[^']|'')*+')"
_COPY: Final = re.compile(
    rf"copy\s+(?:(?P<query>\(.*\))\s+|(?P<table>{_NAME}(?:\s*\.\s*{_NAME})*)(?:\s*\((?P<columns>[^()]*)\)\s*|\s+))"
    rf"(?P<way>from\s+stdin|to\s+stdout)\b\s*(?P<options>(?:{_TEXT}|[^;'])*+);?\s*",
    re.I | re.S,
)


@dataclass(frozen=True)
class CopyStatement:
    """A COPY that reads from the client or writes to it."""

    from_client: bool
    """Whether rows come from the client."""
    table: str
    """The name of the table as it is in the statement; empty for a query."""
    columns: tuple[str, ...]
    """Names of columns as they are in the statement; none for all."""
    query: str
    """The SELECT in parentheses; empty for a table."""
    query_offset: int
    """Where the SELECT starts in the statement, in characters."""
    options: CopyStreamOptions
    table_offset: int = 0
    """Where the name of the table starts in the statement, in characters."""


def is_copy_stream(sql: str) -> bool:
    """Whether a statement is a COPY that reads from the client or writes to it."""
    return sql.lstrip()[:4].lower() == "copy" and _COPY.fullmatch(sql.strip()) is not None


def parse_copy(sql: str) -> CopyStatement:
    """A COPY of which ``is_copy_stream`` is true. Raises PgError for options that are wrong."""
    match = _COPY.fullmatch(sql.strip())
    if match is None:
        raise PgError("42601", "syntax error in COPY")
    names = match["columns"]
    columns = tuple(re.findall(_NAME, names)) if names is not None else ()
    from_client = match["way"].lower().startswith("from")
    inner = match["query"][1:-1] if match["query"] else ""
    query, query_offset = inner.strip(), match.start("query") + 1 + len(inner) - len(inner.lstrip())
    if from_client and query:
        raise PgError("42601", "COPY of a query can only write: use TO STDOUT")
    options = parse_copy_options(match["options"], from_client=from_client)
    return CopyStatement(
        from_client,
        match["table"] or "",
        columns,
        query=query,
        query_offset=query_offset,
        options=options,
        table_offset=match.start("table") if match["table"] else 0,
    )
