"""PREPARE, EXECUTE and DEALLOCATE, which sqlglot does not parse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlglot import Token, TokenType, exp

from nestvec.sql.parse.source import SourceText
from nestvec.sql.parse.tokens import command_tokens

_WRITE: Final = {
    "PREPARE": "Write PREPARE name (int, text) AS SELECT $1, $2.",
    "EXECUTE": "Write EXECUTE name (1, 'a').",
    "DEALLOCATE": "Write DEALLOCATE name, or DEALLOCATE ALL.",
}
_OPENING: Final = (TokenType.L_PAREN, TokenType.L_BRACKET)
_CLOSING: Final = (TokenType.R_PAREN, TokenType.R_BRACKET)


def parse_prepared(source: SourceText, tokens: Sequence[Token]) -> exp.Command | None:
    """The statement as a command; None for any other statement. Raises SqlSyntaxError.

    Its ``expression`` is the name; ``items`` has the texts of the types or of the values in parentheses, and
    ``body`` the statement that is prepared.
    """
    first = tokens[0].text.upper()
    if tokens[0].token_type == TokenType.IDENTIFIER or first not in _WRITE:
        return None
    words = command_tokens(source.text, tokens[0])
    at = 2 if first == "DEALLOCATE" and len(words) > 2 and words[1].text.upper() == "PREPARE" else 1
    if len(words) <= at:
        raise source.syntax_error("the statement ends unexpectedly", len(source.text.rstrip()), _WRITE[first])
    quoted = words[at].token_type == TokenType.IDENTIFIER
    name = exp.Identifier(this=words[at].text, quoted=quoted).update_positions(words[at])
    items, rest = _items(source, words[at + 1 :], first)
    body = ""
    if first == "PREPARE":
        if not rest or rest[0].text.upper() != "AS" or len(rest) < 2:
            raise source.syntax_error("PREPARE has no AS", name, _WRITE[first])
        body, rest = source.text[rest[1].start : rest[-1].end + 1], []
    if rest or (items and first == "DEALLOCATE"):
        stray = rest[0] if rest else words[at + 1]
        raise source.syntax_error(f"'{stray.text[:40]}' is not valid here", stray.start, _WRITE[first])
    return exp.Command(this=first, expression=name, items=items, body=body)


def _items(source: SourceText, words: Sequence[Token], first: str) -> tuple[list[str], list[Token]]:
    """The texts in parentheses, and what follows them."""
    if not words or words[0].token_type != TokenType.L_PAREN:
        return [], list(words)
    depth, start, items = 0, 1, list[str]()
    for at, token in enumerate(words):
        depth += (token.token_type in _OPENING) - (token.token_type in _CLOSING)
        ends = depth == 0 or (depth == 1 and token.token_type == TokenType.COMMA)
        if ends and at >= start:
            if at == start:
                raise source.syntax_error("a value is missing", token.start, _WRITE[first])
            items.append(source.text[words[start].start : words[at - 1].end + 1])
            start = at + 1
        if depth == 0:
            return items, list(words[at + 1 :])
    raise source.syntax_error("the statement ends unexpectedly", len(source.text.rstrip()), _WRITE[first])
