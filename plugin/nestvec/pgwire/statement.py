"""Statements of a client's query: where each starts, and what it is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from sqlglot import exp

from nestvec.pgwire.errors import PgError
from nestvec.shell.split import script_pieces
from nestvec.sql.parse.parse import parse
from nestvec_schemas.errors import NestvecError

MAX_STATEMENTS: Final = 10_000
"""Statements of one query."""

_SPACE: Final = re.compile(r"(?:\s+|--[^\n]*(?:\n|\Z)|/\*.*?\*/|[(;])*", re.S)
_WORD: Final = re.compile(r"\w+")

_CHANGE: Final = re.compile(r"\b(?:INSERT|UPDATE|DELETE|MERGE)\b", re.I)
_EXTENSION: Final = re.compile(r"\b(?:CREATE|DROP)\s+EXTENSION\b", re.I)

_READERS: Final = """
    SELECT WITH VALUES TABLE SHOW EXPLAIN DESCRIBE DESC SET RESET BEGIN START COMMIT END ROLLBACK ABORT
    DECLARE FETCH MOVE CLOSE"""
_READ_WORDS: Final = frozenset(_READERS.split())
_DEFINING: Final = frozenset({"CREATE", "DROP", "ALTER"})
_MODIFYING: Final = _DEFINING | {"INSERT", "UPDATE", "DELETE", "MERGE", "TRUNCATE", "WITH"}
_COPY_FROM: Final = re.compile(r"copy\b(?:[^'(]|\([^()]*\))*?\bfrom\b", re.I)


@dataclass(frozen=True)
class Statement:
    """One statement of a query."""

    sql: str
    offset: int = 0
    """Where it starts in the query, in characters."""

    @cached_property
    def word(self) -> str:
        """Its first word, in upper case; empty for a statement of nothing."""
        start = _SPACE.match(self.sql)
        match = _WORD.match(self.sql, start.end() if start else 0)
        return match[0].upper()[:40] if match else ""

    @property
    def empty(self) -> bool:
        """Whether there is nothing but space and comments."""
        start = _SPACE.match(self.sql)
        return start is not None and start.end() == len(self.sql)

    @cached_property
    def writes(self) -> bool:
        """Whether it may change data, judged by its first word, and after a WITH by its tree."""
        if self.word == "WITH" and _CHANGE.search(self.sql):
            try:
                return not isinstance(parse(self.sql).tree, exp.Query)
            except NestvecError:
                return False  # it will not run
        if self.word in ("CREATE", "DROP") and _EXTENSION.search(self.sql):
            return False  # the extension is built in
        return bool(self.word) and self.word not in _READ_WORDS

    @property
    def modification(self) -> str:
        """What it does that a read-only transaction refuses, as PostgreSQL names it; empty for nothing."""
        if self.word == "COPY":
            return "COPY FROM" if _COPY_FROM.match(self.sql.strip()) else ""
        if self.word not in _MODIFYING or not self.writes:
            return ""
        words = _WORD.findall(self.sql[:200])
        return f"{self.word} {words[1].upper()}" if self.word in _DEFINING and len(words) > 1 else self.word


def split_query(sql: str) -> list[Statement]:
    """The statements of a query of the simple protocol. Raises PgError for too many."""
    statements, at = list[Statement](), 0
    for piece in script_pieces(sql):
        offset = max(sql.find(piece, at), at)
        at = offset + len(piece)
        statements.append(Statement(piece, offset))
        if len(statements) > MAX_STATEMENTS:
            raise PgError("54001", f"a query has more than {MAX_STATEMENTS} statements")
    return statements


def single_statement(sql: str) -> Statement:
    """The statement of a Parse message. Raises PgError for several."""
    statements = split_query(sql)
    if len(statements) > 1:
        raise PgError("42601", "cannot insert multiple commands into a prepared statement")
    return statements[0] if statements else Statement("")
