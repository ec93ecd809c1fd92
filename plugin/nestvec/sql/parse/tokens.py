"""The tokens of a statement: numbers in every notation of PostgreSQL 16, and strings in dollars."""

from __future__ import annotations

import re
from bisect import bisect_left
from itertools import pairwise
from typing import ClassVar, Final

from sqlglot import Token, TokenType

from nestvec.sql.parse.dialect import NestvecSql

_NUMBER: Final = re.compile(
    r"0[xX](?:_?[0-9a-fA-F])+|0[oO](?:_?[0-7])+|0[bB](?:_?[01])+"
    r"|[0-9](?:_?[0-9])*(?:\.(?:[0-9](?:_?[0-9])*)?)?(?:[eE][+-]?[0-9](?:_?[0-9])*)?"
)
_OTHER_BASE: Final = re.compile("0[xXoObB]")
_MOST_PARTS: Final = 8
"""Tokens that sqlglot makes of one number, at most: 1_000.5_0e1_0."""
_OPENING_DOLLARS: Final = re.compile(r"\$(?:[^\W\d]\w*)?\$")


class _WithDollarStrings(NestvecSql):
    class Tokenizer(NestvecSql.Tokenizer):
        HEREDOC_STRINGS: ClassVar[list[str | tuple[str, str]]] = ["$"]
        HEREDOC_TAG_IS_IDENTIFIER = True
        HEREDOC_STRING_ALTERNATIVE = TokenType.PARAMETER


def tokenize(statement: str) -> list[Token]:
    """The tokens of a statement. Raises sqlglot's TokenError for a string that is not closed."""
    # With dollars, sqlglot reads ($1,$2) as a string that is not closed.
    dialect = _WithDollarStrings() if _OPENING_DOLLARS.search(statement) else NestvecSql()
    tokens = dialect.tokenize(statement)
    if signs := _swallowed_signs(statement, tokens):
        tokens = _tokens_with_spaces(dialect, statement, signs)
    kinds = {token.token_type for token in tokens}
    if TokenType.HEREDOC_STRING in kinds:
        tokens = [_as_string(token) for token in tokens]
    if kinds & {TokenType.HEX_STRING, TokenType.BIT_STRING} or _has_split_number(tokens):
        tokens = _with_whole_numbers(statement, tokens)
    return _with_varbit(tokens) if TokenType.BIT in kinds else tokens


def _swallowed_signs(statement: str, tokens: list[Token]) -> list[int]:
    """Where a sign after an exponent is an operator, 1e2+1, which sqlglot takes for a part of the number."""
    signs: list[int] = []
    for token in tokens:
        if token.token_type != TokenType.NUMBER or (signs and token.start < signs[-1]):
            continue
        number = _NUMBER.match(statement, token.start)
        if number is None or number.end() > token.end or statement[number.end()] not in "+-":
            continue
        while number is not None and statement[number.end() : number.end() + 1] in ("+", "-"):
            signs.append(number.end())
            number = _NUMBER.match(statement, number.end() + 1)
    return signs


def _tokens_with_spaces(dialect: NestvecSql, statement: str, places: list[int]) -> list[Token]:
    """The tokens of a statement with a space before each of these places, at the places that they have."""
    bounds = [0, *places, len(statement)]
    spaced = " ".join(statement[start:end] for start, end in pairwise(bounds))
    shifted = [place + number for number, place in enumerate(places)]
    return [_moved(token, bisect_left(shifted, token.start)) for token in dialect.tokenize(spaced)]


def _moved(token: Token, places: int) -> Token:
    return Token(
        token.token_type,
        token.text,
        line=token.line,
        col=token.col,
        start=token.start - places,
        end=token.end - places,
        comments=token.comments,
    )


def _with_varbit(tokens: list[Token]) -> list[Token]:
    """``bit varying`` by its other name: sqlglot would take the second word for the name of a column."""
    merged: list[Token] = []
    for token in tokens:
        last = merged[-1] if merged else token
        if token.text.upper() == "VARYING" and last.token_type == TokenType.BIT:
            merged[-1] = _copied(last, TokenType.VAR, "varbit", token)
        else:
            merged.append(token)
    return merged


def _as_string(token: Token) -> Token:
    return _copied(token, TokenType.STRING) if token.token_type == TokenType.HEREDOC_STRING else token


def _copied(token: Token, kind: TokenType, text: str | None = None, end: Token | None = None) -> Token:
    last = end or token
    return Token(
        kind,
        token.text if text is None else text,
        line=last.line,
        col=last.col,
        start=token.start,
        end=last.end,
        comments=token.comments,
    )


def _has_split_number(tokens: list[Token]) -> bool:
    """Whether a word follows a number without a space, as in 1_000 and 0o17."""
    return any(
        token.token_type == TokenType.NUMBER and following.start == token.end + 1
        for token, following in pairwise(tokens)
        if following.token_type == TokenType.VAR
    )


def _with_whole_numbers(statement: str, tokens: list[Token]) -> list[Token]:
    """The tokens with 0x1F, 0o17, 0b11 and 1_000 as numbers, which sqlglot takes for bytes or for two."""
    merged: list[Token] = []
    covered = -1
    for at, token in enumerate(tokens):
        if token.start <= covered:
            continue
        number = _NUMBER.match(statement, token.start) if statement[token.start].isdecimal() else None
        end = number.end() - 1 if number is not None and _is_odd(number[0]) else -1
        # 1_000_ is no number: its last token goes on after it.
        last = next((each for each in tokens[at : at + _MOST_PARTS] if each.end == end), None)
        if number is None or last is None:
            merged.append(token)
            continue
        covered = end
        text = number[0].replace("_", "")
        digits = str(int(text, 0)) if _OTHER_BASE.match(text) else text
        merged.append(_copied(token, TokenType.NUMBER, digits, last))
    return merged


def _is_odd(number: str) -> bool:
    return "_" in number or _OTHER_BASE.match(number) is not None


def command_tokens(text: str, first: Token) -> list[Token]:
    """The tokens of a statement without semicolons, where sqlglot reads what follows the first as one text.

    Raises TokenError.
    """
    start = first.end + 1
    tokens = tokenize(" " * start + text[start:])
    return [first, *(token for token in tokens if token.token_type != TokenType.SEMICOLON)]
