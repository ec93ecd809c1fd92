"""CREATE EXTENSION and DROP EXTENSION, which sqlglot does not parse."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import Token, TokenType, exp

from nestvec.sql.parse.source import SourceText

_WRITE = "Write CREATE EXTENSION IF NOT EXISTS vector."
_OPTIONS = ("WITH", "SCHEMA", "VERSION", "CASCADE", "RESTRICT", "PUBLIC")


def parse_extension(source: SourceText, tokens: Sequence[Token]) -> exp.Command | None:
    """The statement as a command with the extension's name; None for any other. Raises SqlSyntaxError."""
    words = [token.text.upper() for token in tokens if token.token_type != TokenType.SEMICOLON]
    if len(words) < 2 or words[0] not in ("CREATE", "DROP") or words[1] != "EXTENSION":
        return None
    at = 2
    if words[at : at + 1] == ["IF"]:
        at += 2 if words[0] == "DROP" else 3
    if at >= len(words):
        raise source.syntax_error("the name of the extension is missing", len(source.text.rstrip()), _WRITE)
    for token in tokens[at + 1 : len(words)]:
        if token.text.upper() not in _OPTIONS and token.token_type != TokenType.STRING:
            raise source.syntax_error(f"'{token.text[:40]}' is not valid here", token.start, _WRITE)
    name = exp.Identifier(this=tokens[at].text).update_positions(tokens[at])
    return exp.Command(this=words[0], expression=name)
