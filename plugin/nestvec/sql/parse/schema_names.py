"""The schema ``public``, which all collections are in: clients write it before names of tables."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from sqlglot import Token, TokenType

_SCHEMA: Final = "public"


def without_schema(tokens: Sequence[Token]) -> tuple[Token, ...]:
    """The tokens without ``public.``, unless a table, column or alias of the statement has this name.

    It stays before the name of a common table expression, which would be read instead of the collection, and
    before an alias, which is in no schema.
    """
    places = [at for at, token in enumerate(tokens) if _is_schema(token)]
    if not places or not all(_qualifies(tokens, at) for at in places):
        return tuple(tokens)
    hiding = _cte_names(tokens)
    places = [at for at in places if at + 2 >= len(tokens) or _name(tokens[at + 2]) not in hiding]
    aliases = _aliases(tokens)
    places = [at for at in places if not (_has_column(tokens, at) and _name(tokens[at + 2]) in aliases)]
    dropped = {at + step for at in places for step in (0, 1)}
    return tuple(token for at, token in enumerate(tokens) if at not in dropped)


def _cte_names(tokens: Sequence[Token]) -> set[str]:
    """The names before ``AS (`` or ``(columns) AS (`` of a statement with WITH, folded."""
    if all(token.token_type != TokenType.WITH for token in tokens):
        return set()
    names, opening = set(), 0
    for at, token in enumerate(tokens):
        if token.token_type == TokenType.L_PAREN:
            opening = at
        if token.token_type != TokenType.ALIAS or at == 0:
            continue
        place = (opening if tokens[at - 1].token_type == TokenType.R_PAREN else at) - 1
        if place >= 0:
            names.add(_name(tokens[place]))
    return names


def _aliases(tokens: Sequence[Token]) -> set[str]:
    """The names behind AS, or directly behind another name, folded."""
    names = (TokenType.VAR, TokenType.IDENTIFIER)
    return {
        _name(token)
        for before, token in pairwise(tokens)
        if token.token_type in names and before.token_type in (TokenType.ALIAS, *names)
    }


def _has_column(tokens: Sequence[Token], at: int) -> bool:
    """Whether a schema is the first of three parts, which name a column."""
    return at + 3 < len(tokens) and tokens[at + 3].token_type == TokenType.DOT


def _name(token: Token) -> str:
    return token.text if token.token_type == TokenType.IDENTIFIER else token.text.lower()


def _is_schema(token: Token) -> bool:
    if token.token_type == TokenType.IDENTIFIER:
        return token.text == _SCHEMA
    return token.token_type != TokenType.STRING and token.text.lower() == _SCHEMA


def _qualifies(tokens: Sequence[Token], at: int) -> bool:
    """Whether a token is the first part of a name of several."""
    before = tokens[at - 1].token_type if at else None
    after = tokens[at + 1].token_type if at + 1 < len(tokens) else None
    return after == TokenType.DOT and before != TokenType.DOT
