"""Cursors of SQL: DECLARE, FETCH, MOVE and CLOSE, over the rows that a query returned."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from nestvec.pgwire.errors import PgError
from nestvec.pgwire.outcome import StatementOutcome
from nestvec.pgwire.protocol.responses import Field
from nestvec.pgwire.row_memory import memory_of
from nestvec.pgwire.settings import DEFAULT_CURSOR_BYTES
from nestvec.pgwire.statement import Statement
from nestvec.sql.result import Row

CURSOR_WORDS: Final = frozenset({"DECLARE", "FETCH", "MOVE", "CLOSE"})
MAX_CURSORS: Final = 200
"""Cursors of one connection."""

_ALL: Final = 1 << 62
"""More rows than there are."""

_NAME: Final = r'(?P<name>"(?:[^"]|"")+"|\w+)'
_END: Final = r"\s*(?:;\s*)?"
"""Unlike ``\\s*;?\\s*``, which tries every pair of places in a long row of blanks."""
_DECLARE: Final = re.compile(
    rf"\s*declare\s+{_NAME}\s+(?P<kinds>(?:(?:binary|asensitive|insensitive|no\s+scroll|scroll)\s+)*)cursor\s+"
    r"(?:(?P<hold>with|without)\s+hold\s+)?for\s+(?P<query>.+)",
    re.I | re.S,
)
_FETCH: Final = re.compile(
    r"\s*(?P<word>fetch|move)\s+(?:(?P<way>next|prior|first|last|(?P<kind>absolute|relative|forward|backward)"
    r"(?:\s+(?P<count>[+-]?\d{1,18}|all))?|(?P<alone>[+-]?\d{1,18}|all))\s+)?(?:(?:from|in)\s+)?"
    rf"{_NAME}{_END}",
    re.I,
)
_CLOSE: Final = re.compile(rf"\s*close\s+{_NAME}{_END}", re.I)


@dataclass
class OpenCursor:
    """The rows of a query, and where in them a client is."""

    fields: tuple[Field, ...]
    rows: Sequence[Row]
    hold: bool
    """Whether it outlives its transaction."""
    scroll: bool
    """Whether it can go back."""
    size: int = 0
    """The memory of the rows, in bytes."""
    in_block: bool = False
    """Whether the transaction that declared it still runs."""
    position: int = 0
    """The current row, from 1; 0 before the first, one more than there are after the last."""

    def fetch(self, direction: str, count: int, *, move: bool = False) -> Sequence[Row]:
        """The rows in one direction, and the new position. Raises PgError where it cannot go back."""
        before, end = self.position, len(self.rows) + 1
        if direction == "backward":
            direction, count = "forward", -count
        if not self.scroll and self._goes_back(direction, count, move):
            raise PgError("55000", "cursor can only scan forward", hint="Declare it with SCROLL option.")
        if direction == "forward" and count > 0:
            self.position = min(before + count, end)
            return self.rows[before : self.position]
        origin = before if direction != "absolute" else 0 if count >= 0 else end
        target = self.position = max(0, min(origin + count, end))
        if direction == "forward" and count < 0:
            return self.rows[max(target - 1, 0) : max(before - 1, 0)][::-1]
        return self.rows[target - 1 : target] if 0 < target < end else ()

    def _goes_back(self, direction: str, count: int, move: bool) -> bool:
        """Whether PostgreSQL goes back for it, as it does to count from the end, and to read a row again."""
        before, end = self.position, len(self.rows) + 1
        if direction == "absolute":
            return count < 0 or (before > 0 and count <= before)
        if count == 0:
            return not move and 0 < before < end
        stays_at_start = move and direction == "forward" and count == -_ALL and before == 0
        return count < 0 and not stays_at_start


@dataclass(frozen=True)
class DeclareStatement:
    """A DECLARE."""

    name: str
    query: Statement
    hold: bool
    scroll: bool


class Cursors:
    """The cursors of one connection, by name."""

    def __init__(self, max_bytes: int = DEFAULT_CURSOR_BYTES) -> None:
        self._cursors = dict[str, OpenCursor]()
        self._max_bytes = max_bytes

    def declare(
        self, declaration: DeclareStatement, outcome: StatementOutcome, *, in_block: bool
    ) -> StatementOutcome:
        """Keep the rows of a query. Raises PgError if all cursors would take too much memory."""
        size = memory_of(outcome.rows)
        total = size + sum(cursor.size for cursor in self._cursors.values())
        if total > self._max_bytes:
            raise PgError(
                "53400",
                f"the rows of this connection's cursors would take {total >> 20:,} MiB, more than the "
                f"{self._max_bytes >> 20:,} that the server allows",
                hint="Close cursors, select fewer rows or columns, or start nestvec pg with a larger "
                "--cursor-memory.",
            )
        self._cursors[declaration.name] = OpenCursor(
            outcome.fields,
            outcome.rows,
            declaration.hold,
            scroll=declaration.scroll,
            size=size,
            in_block=in_block,
        )
        return StatementOutcome("DECLARE CURSOR", notices=outcome.notices, closing_tag=True)

    def check_new(self, name: str) -> None:
        """Raise PgError if a cursor of this name exists, or if there are too many."""
        if name in self._cursors:
            raise PgError("42P03", f'cursor "{name[:100]}" already exists')
        if len(self._cursors) >= MAX_CURSORS:
            raise PgError("53400", f"the connection has {MAX_CURSORS} open cursors", hint="Close some.")

    def fields(self, name: str) -> tuple[Field, ...] | None:
        """The columns of a cursor; None if there is none of this name."""
        cursor = self._cursors.get(name)
        return None if cursor is None else cursor.fields

    def fetched_fields(self, statement: Statement) -> tuple[Field, ...]:
        """The columns that a FETCH returns, none for a MOVE or CLOSE. Raises PgError."""
        match = _FETCH.fullmatch(statement.sql)
        if match is None or match["word"].lower() == "move":
            return ()
        return self._cursor(_name(match)).fields

    def run(self, statement: Statement) -> StatementOutcome:
        """FETCH, MOVE or CLOSE. Raises PgError."""
        if statement.word == "CLOSE":
            return self._close(statement)
        match = _FETCH.fullmatch(statement.sql)
        if match is None:
            raise PgError("42601", f"syntax error in {statement.word}")
        cursor = self._cursor(_name(match))
        rows = cursor.fetch(*_direction(match), move=statement.word == "MOVE")
        if statement.word == "MOVE":
            return StatementOutcome(f"MOVE {len(rows)}", closing_tag=True)
        return StatementOutcome(f"FETCH {len(rows)}", cursor.fields, rows, closing_tag=True)

    def end_block(self, *, committed: bool) -> None:
        """Cursors end with their transaction, unless they were declared WITH HOLD and it is committed."""
        self._cursors = {
            name: replace(cursor, in_block=False)
            for name, cursor in self._cursors.items()
            if cursor.hold and (committed or not cursor.in_block)
        }

    def clear(self) -> None:
        """DISCARD ALL."""
        self._cursors.clear()

    def _close(self, statement: Statement) -> StatementOutcome:
        match = _CLOSE.fullmatch(statement.sql)
        if match is None:
            raise PgError("42601", "syntax error in CLOSE")
        name = _name(match)
        if name == "all" and not match["name"].startswith('"'):
            self._cursors.clear()
        else:
            self._cursor(name)
            del self._cursors[name]
        return StatementOutcome("CLOSE CURSOR", closing_tag=True)

    def _cursor(self, name: str) -> OpenCursor:
        cursor = self._cursors.get(name)
        if cursor is None:
            raise PgError("34000", f'cursor "{name[:100]}" does not exist')
        return cursor


def parse_declare(statement: Statement) -> DeclareStatement:
    """A DECLARE. Raises PgError."""
    match = _DECLARE.fullmatch(statement.sql)
    if match is None:
        raise PgError(
            "42601",
            "syntax error in DECLARE",
            hint="Write DECLARE name [SCROLL] CURSOR [WITH HOLD] FOR SELECT …",
        )
    kinds = match["kinds"].lower().split()
    if "binary" in kinds:
        raise PgError(
            "0A000", "DECLARE … BINARY is not supported", hint="Ask for binary results in the protocol."
        )
    query = Statement(match["query"], statement.offset + match.start("query"))
    if query.word not in ("SELECT", "WITH", "VALUES", "TABLE") or query.writes:
        raise PgError("42601", "DECLARE CURSOR takes a SELECT or VALUES")
    hold = (match["hold"] or "").lower() == "with"
    return DeclareStatement(_name(match), query, hold, scroll="no" not in kinds)


def _name(match: re.Match[str]) -> str:
    name = match["name"]
    return name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()


def _direction(match: re.Match[str]) -> tuple[str, int]:
    """``forward``, ``backward``, ``absolute`` or ``relative``, and how far."""
    way = (match["way"] or "next").lower()
    simple = {
        "next": ("forward", 1),
        "prior": ("backward", 1),
        "first": ("absolute", 1),
        "last": ("absolute", -1),
    }
    if way in simple:
        return simple[way]
    direction, count = (match["kind"] or "forward").lower(), (match["count"] or match["alone"] or "1").lower()
    if count == "all" and direction in ("absolute", "relative"):
        raise PgError("42601", f"syntax error in {match['word'].upper()}", hint="Write a number.")
    return direction, _ALL if count == "all" else int(count)
