"""The statements of transactions that sqlglot does not parse: savepoints, and other words for COMMIT."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlglot import Token, TokenType, exp

from nestvec.sql.parse.source import SourceText

_NAMED: Final = {"SAVEPOINT": ("SAVEPOINT",), "RELEASE": ("RELEASE", "SAVEPOINT")}
_SYNONYMS: Final[dict[str, type[exp.Expr]]] = {
    "END": exp.Commit,
    "ABORT": exp.Rollback,
    "START": exp.Transaction,
}
_OPTIONAL: Final = ("WORK", "TRANSACTION")


def parse_transaction(source: SourceText, tokens: Sequence[Token]) -> exp.Expr | None:
    """The statement as a tree, a savepoint as a command with its name; None for any other statement.

    Raises SqlSyntaxError.
    """
    words = [token for token in tokens if token.token_type != TokenType.SEMICOLON]
    first = words[0].text.upper()
    if words[0].token_type == TokenType.IDENTIFIER or first not in (*_NAMED, *_SYNONYMS):
        return None
    if first in _SYNONYMS:
        rest = words[1:2] if words[1:] and words[1].text.upper() in _OPTIONAL else []
        if len(words) > len(rest) + 1 or (first == "START" and not rest):
            raise _stray(source, words, len(rest) + 1, "Write START TRANSACTION, END or ABORT alone.")
        return _SYNONYMS[first]()
    at = 2 if first == "RELEASE" and words[1:] and words[1].text.upper() == "SAVEPOINT" else 1
    if len(words) != at + 1:
        raise _stray(
            source, words, at + 1 if len(words) > at else at, f"Write {' '.join(_NAMED[first])} name."
        )
    quoted = words[at].token_type == TokenType.IDENTIFIER
    name = exp.Identifier(this=words[at].text, quoted=quoted).update_positions(words[at])
    return exp.Command(this=first, expression=name)


def _stray(source: SourceText, words: Sequence[Token], at: int, write: str) -> Exception:
    if at < len(words):
        return source.syntax_error(f"'{words[at].text[:40]}' is not valid here", words[at].start, write)
    return source.syntax_error("the statement ends unexpectedly", len(source.text.rstrip()), write)
