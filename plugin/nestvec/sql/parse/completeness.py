"""Whether every name and constant of a statement is in its tree: sqlglot skips some that it does not know."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from sqlglot import Token, TokenType, exp

from nestvec.sql.parse.parse import explain_token_count
from nestvec.sql.parse.source import SourceText, tree_nodes

_CARRIERS = {TokenType.VAR, TokenType.IDENTIFIER, TokenType.STRING, TokenType.NUMBER}

_BEFORE_PARAMETERS = {TokenType.COLON, TokenType.PARAMETER, TokenType.PLACEHOLDER}

_POSITION_LOST_AFTER = {TokenType.DOT, TokenType.ARROW, TokenType.DARROW, TokenType.INTERVAL}
"""Tokens after which sqlglot loses the position: .5, -> 'key', ->> 'key', INTERVAL '1 day'."""

_WORDS = """
    CONCURRENTLY
    ADD ALWAYS AS BY CASCADE COLUMN CONFLICT CONSTRAINT COPY DEFAULT DO DROP EXISTS FORMAT FROM GENERATED
    HASH HEADER IDENTITY IF INDEX INTO KEY NOT NOTHING NULL ON PRECISION PRIMARY RENAME RESTRICT RETURNING
    STORED SYMMETRIC ASYMMETRIC TABLE TO USING VARYING WITH"""
_GRAMMAR_WORDS = frozenset(_WORDS.split())
"""Words of the grammar without a sqlglot token, or whose position its trees do not keep."""


_SELECT_NOISE: Final = frozenset({
    "ROW", "ROWS", "NULLS", "FIRST", "LAST", "BOTH", "LEADING", "TRAILING", "SYMMETRIC", "ASYMMETRIC",
})  # fmt: skip
"""Words that change nothing, or that the tree holds without a position: OFFSET 2 ROWS, NULLS FIRST."""

_CHECKED: Final = "read"
"""Marks a checked tree: it is bound once per execution, and does not change."""

_SELECT_POSITION_LOST_AFTER: Final = {
    TokenType.DOT, TokenType.COLON, TokenType.PARAMETER, TokenType.ARROW, TokenType.DARROW,
    TokenType.INTERVAL,
}  # fmt: skip
"""Tokens after which sqlglot loses the position: .5, :name, $1, -> 'key', ->> 'key', INTERVAL '1 day'."""


def check_consumed(source: SourceText, tree: exp.Expr) -> None:
    """Raise SqlSyntaxError for a name or a constant of DDL or DML that is missing from the tree.

    Names that the tree holds without their positions (an index method, an option) are matched by text.
    """
    nodes = list(tree.walk())
    read = {node.meta.get("start") for node in nodes}
    named = {
        str(node.name).upper() for node in nodes if isinstance(node, (exp.Var, exp.Anonymous, exp.Identifier))
    }
    # What a change computes has the words of a SELECT.
    grammar = _GRAMMAR_WORDS | _SELECT_NOISE if isinstance(tree, exp.DML) else _GRAMMAR_WORDS
    if any(isinstance(node, exp.AtTimeZone) for node in nodes):
        grammar |= {"AT"}
    if any(isinstance(node, exp.UnloggedProperty) for node in nodes):
        grammar |= {"UNLOGGED"}
    for before, token in pairwise(source.tokens):
        parameter = before.start in read and before.token_type in _BEFORE_PARAMETERS
        if token.token_type not in _CARRIERS or token.start in read or parameter or _of_zone(before, token):
            continue
        if before.token_type in _POSITION_LOST_AFTER:
            continue
        word = token.text.upper()
        if token.token_type != TokenType.VAR or (word not in grammar and word not in named):
            raise source.syntax_error(f"'{token.text[:40]}' is not valid here", token.start, "Remove it.")


def _of_zone(before: Token, token: Token) -> bool:
    """Whether a token belongs to WITH TIME ZONE or WITHOUT TIME ZONE, which are in the tree as a type."""
    word, previous = token.text.upper(), before.text.upper()
    is_timed = previous in ("TIME", "TIMESTAMP", ")")
    return (word == "ZONE" and previous == "TIME") or (word == "WITHOUT" and is_timed)


def mark_consumed(tree: exp.Expr) -> None:
    """Have ``check_select_consumed`` pass a tree, because the statement around it is checked as a whole."""
    tree.meta[_CHECKED] = True


def check_select_consumed(source: SourceText, tree: exp.Expr) -> None:
    """Raise SqlSyntaxError for a name or a constant of a SELECT that is missing from the tree."""
    if _CHECKED in tree.meta:
        return
    read = {node.meta.get("start") for node in tree_nodes(tree)}
    tokens = source.tokens[explain_token_count(source) :]
    for before, token in pairwise(tokens):
        if token.token_type not in _CARRIERS or token.start in read or _of_zone(before, token):
            continue
        if before.token_type in _SELECT_POSITION_LOST_AFTER or token.text.upper() in _SELECT_NOISE:
            continue
        raise source.syntax_error(f"'{token.text[:40]}' is not valid here", token.start, "Remove it.")
    tree.meta[_CHECKED] = True
