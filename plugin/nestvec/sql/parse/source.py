"""The text and tokens of a statement: positions in it, and errors that point at them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sqlglot import Token, TokenType, exp

from nestvec_schemas.base_error import ABSENT
from nestvec_schemas.errors import (
    SqlDataError,
    SqlNotSupported,
    SqlSyntaxError,
    SqlTypeMismatch,
    SqlUnknownName,
)

Position = exp.Expr | TokenType | int | None
"""Where an error points: a node, the first token of a type, an offset, or nowhere."""

IGNORED_PARTS: Final = ("safe", "coalesce", "ignore_nulls", "only_json_types", "big_int", "_type")
"""Arguments by which sqlglot notes how other dialects differ: no statement spells them out."""

_FIRST = "first"


@dataclass(frozen=True)
class SourceText:
    """The text of one statement and its tokens."""

    text: str
    tokens: tuple[Token, ...] = ()

    def position(self, place: Position) -> int | None:
        """The offset in ``text``: for a node, that of its leftmost part, or of its parent's."""
        if isinstance(place, exp.Expr):
            # A tree is bound once per execution, and the positions of its nodes do not change.
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
        """Valid SQL that is not supported; ``construct`` names it in SQL's words."""
        return SqlNotSupported(
            f"{construct} is not supported",
            next_step=next_step,
            statement=self.text,
            position=self.position(at),
        )

    def unknown_name(self, cause: str, name: str, at: Position, next_step: str) -> SqlUnknownName:
        """A table, column or option that does not exist."""
        return SqlUnknownName(
            cause, value=name, next_step=next_step, statement=self.text, position=self.position(at)
        )

    def type_mismatch(self, cause: str, value: object, at: Position, next_step: str) -> SqlTypeMismatch:
        """A value or operator of the wrong type."""
        return SqlTypeMismatch(
            cause, value=value, next_step=next_step, statement=self.text, position=self.position(at)
        )

    def data_error(self, cause: str, value: object, at: Position, next_step: str) -> SqlDataError:
        """A value that is out of range or not of its type; None or an empty string is not shown."""
        is_shown = value is not None and not (isinstance(value, str) and not value)
        return SqlDataError(
            cause,
            value=value if is_shown else ABSENT,
            next_step=next_step,
            statement=self.text,
            position=self.position(at),
        )


def stray_parts(node: exp.Expr, allowed: Iterable[str]) -> list[str]:
    """The arguments that a node has beyond ``allowed``: those would be lost if they were not refused."""
    expected = allowed if isinstance(allowed, tuple) else set(allowed)
    return [name for name, value in node.args.items() if value and name not in expected]


def identifier_name(identifier: exp.Expr) -> str:
    """The name of an identifier, folded as in PostgreSQL: to lower case unless it is quoted."""
    name = str(identifier.this)
    return name if identifier.args.get("quoted") else name.lower()


def target_name(source: SourceText, target: exp.Expr) -> str:
    """The name of a table that is written to, or its alias. Raises SqlSyntaxError for columns of an alias."""
    alias = target.args.get("alias")
    if alias is None:
        return identifier_name(target.this)
    if alias.this is None or alias.args.get("columns"):
        raise source.syntax_error("the alias of a table that is written to is one name", target, "Name it.")
    return identifier_name(alias.this)


def tree_nodes(tree: exp.Expr) -> list[exp.Expr]:
    """Every node of a tree in the order of ``walk``, in a fraction of its time."""
    nodes = [tree]
    for node in nodes:
        for value in node.args.values():
            if isinstance(value, exp.Expr):
                nodes.append(value)
            elif isinstance(value, list):
                nodes += [item for item in value if isinstance(item, exp.Expr)]
    return nodes


def without_parens(node: exp.Expr) -> exp.Expr:
    """A node without the parentheses around it."""
    while isinstance(node, exp.Paren):
        node = node.this
    return node


def chain_operands(node: exp.Expr) -> list[exp.Expr]:
    """The operands of ``a AND b AND c``, in order: it parses as a left-deep tree, too deep for recursion."""
    kind, operands = type(node), []
    while type(node) is kind:
        operands.append(node.args["expression"])
        node = node.this
    return [node, *reversed(operands)]


def select_lists(query: exp.Expr) -> list[exp.Select]:
    """The queries of a set operation, the first one first; of another query itself."""
    query = query.unnest()
    if isinstance(query, exp.SetOperation):
        return [*select_lists(query.this), *select_lists(query.expression)]
    return [query] if isinstance(query, exp.Select) else []


def first_select(query: exp.Expr) -> exp.Select | None:
    """The query that names the columns of a set operation; of another query itself. None for VALUES."""
    query = query.unnest()
    while isinstance(query, exp.SetOperation):
        query = query.this.unnest()
    return query if isinstance(query, exp.Select) else None
