"""A statement's text and tokens: where things stand in it, and the errors that point there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sqlglot import Token, TokenType, exp

from nestvec_schemas.errors import SqlNotSupported, SqlSyntaxError, SqlTypeMismatch, SqlUnknownName

Position = exp.Expr | TokenType | int | None
"""Where an error points: at a node, at the first token of a type, at an offset, or nowhere."""

IGNORED_PARTS: Final = ("safe", "coalesce", "ignore_nulls", "only_json_types", "big_int", "_type")
"""Arguments by which sqlglot notes how other dialects differ: no statement spells them out."""

_FIRST = "first"


@dataclass(frozen=True)
class SourceText:
    """The text of one statement, with its tokens."""

    text: str
    tokens: tuple[Token, ...] = ()

    def position(self, place: Position) -> int | None:
        """The offset of a place in ``text``: for a node, of the leftmost thing in it or around it."""
        if isinstance(place, exp.Expr):
            # A tree is bound once an execution, and where its nodes stand stays the same.
            if _FIRST not in place.meta:
                starts = [node.meta["start"] for node in place.walk() if node.meta.get("start") is not None]
                place.meta[_FIRST] = min(starts) if starts else self.position(place.parent)
            first: int | None = place.meta[_FIRST]
            return first
        if isinstance(place, TokenType):
            return next((token.start for token in self.tokens if token.token_type == place), None)
        return place

    def syntax_error(self, cause: str, at: Position, next_step: str) -> SqlSyntaxError:
        """The statement does not parse."""
        place = self.position(at)
        return SqlSyntaxError(cause, next_step=next_step, statement=self.text, position=place)

    def not_supported(self, construct: str, at: Position, next_step: str) -> SqlNotSupported:
        """Valid SQL that is not done; ``construct`` names it in SQL's words."""
        return SqlNotSupported(
            f"{construct} is not supported yet",
            next_step=next_step,
            statement=self.text,
            position=self.position(at),
        )

    def unknown_name(self, cause: str, name: str, at: Position, next_step: str) -> SqlUnknownName:
        """A table or column that is not there."""
        return SqlUnknownName(
            cause, value=name, next_step=next_step, statement=self.text, position=self.position(at)
        )

    def type_mismatch(self, cause: str, value: object, at: Position, next_step: str) -> SqlTypeMismatch:
        """A value or operator that does not fit."""
        return SqlTypeMismatch(
            cause, value=value, next_step=next_step, statement=self.text, position=self.position(at)
        )


def stray_parts(node: exp.Expr, allowed: Iterable[str]) -> list[str]:
    """The names of what a node carries beyond ``allowed``: what would be lost if it were not refused."""
    expected = allowed if isinstance(allowed, tuple) else set(allowed)
    return [name for name, value in node.args.items() if value and name not in expected]


def identifier_name(identifier: exp.Expr) -> str:
    """An identifier's name as PostgreSQL reads it: in lower case unless it is quoted."""
    name = str(identifier.this)
    return name if identifier.args.get("quoted") else name.lower()
