"""VACUUM and REINDEX, which sqlglot does not parse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlglot import Token, TokenType, exp

from nestvec.sql.parse.schema_names import without_schema
from nestvec.sql.parse.source import SourceText
from nestvec.sql.parse.tokens import command_tokens

_WRITE: Final = {
    "VACUUM": "Write VACUUM name, or VACUUM ANALYZE name.",
    "REINDEX": "Write REINDEX INDEX name, or REINDEX TABLE name.",
}
_OPTIONS: Final = {
    "VACUUM": (
        *("FULL", "FREEZE", "VERBOSE", "ANALYZE", "DISABLE_PAGE_SKIPPING", "SKIP_LOCKED", "INDEX_CLEANUP"),
        *("PROCESS_MAIN", "PROCESS_TOAST", "TRUNCATE", "PARALLEL", "SKIP_DATABASE_STATS"),
        *("ONLY_DATABASE_STATS", "BUFFER_USAGE_LIMIT"),
    ),
    "REINDEX": ("CONCURRENTLY", "TABLESPACE", "VERBOSE"),
}
_BARE_OPTIONS: Final = ("FULL", "FREEZE", "VERBOSE", "ANALYZE")
_KINDS: Final = ("INDEX", "TABLE", "SCHEMA", "DATABASE", "SYSTEM")
_OFF: Final = ("FALSE", "OFF", "0")


class _Words:
    """The tokens of a statement, read from left to right."""

    def __init__(self, source: SourceText, tokens: Sequence[Token]) -> None:
        self.source, self.tokens, self.at = source, tokens, 1
        self.first = tokens[0].text.upper()

    def peek(self) -> str:
        """The next word in capitals; empty at the end and for a quoted name."""
        token = self.tokens[self.at] if self.at < len(self.tokens) else None
        return "" if token is None or token.token_type == TokenType.IDENTIFIER else token.text.upper()

    def takes(self, *words: str) -> str:
        """The next word, if it is one of these, which is passed over."""
        word = self.peek()
        if word not in words:
            return ""
        self.at += 1
        return word

    def token(self) -> Token:
        """The next token, which is passed over. Raises SqlSyntaxError at the end."""
        if self.at >= len(self.tokens):
            end = len(self.source.text.rstrip())
            raise self.source.syntax_error("the statement ends unexpectedly", end, _WRITE[self.first])
        self.at += 1
        return self.tokens[self.at - 1]

    def name(self) -> exp.Identifier:
        """The next name. Raises SqlSyntaxError."""
        token = self.token()
        quoted = token.token_type == TokenType.IDENTIFIER
        if not quoted and (token.token_type == TokenType.STRING or not token.text.isidentifier()):
            raise self.misplaced(token)
        return exp.Identifier(this=token.text, quoted=quoted).update_positions(token)

    def misplaced(self, token: Token) -> Exception:
        """The error of a token that is not valid."""
        return self.source.syntax_error(
            f"'{token.text[:40]}' is not valid here", token.start, _WRITE[self.first]
        )


def parse_maintenance(source: SourceText, tokens: Sequence[Token]) -> exp.Command | None:
    """The statement as a command; None for any other statement. Raises SqlSyntaxError.

    Its ``names`` are the tables or the index; ``kind`` is INDEX, TABLE and so on of REINDEX; ``analyzes``
    says whether VACUUM has ANALYZE.
    """
    first = tokens[0].text.upper()
    if tokens[0].token_type == TokenType.IDENTIFIER or first not in _WRITE:
        return None
    words = _Words(source, without_schema(command_tokens(source.text, tokens[0])))
    options = _listed_options(words) if words.takes("(") else set[str]()
    kind = ""
    if first == "REINDEX":
        kind = words.takes(*_KINDS)
        if not kind:
            raise words.misplaced(words.token())
        words.takes("CONCURRENTLY")
    else:
        while option := words.takes(*_BARE_OPTIONS):
            options.add(option)
    names = list[exp.Identifier]()
    if kind not in ("", "DATABASE", "SYSTEM") or words.at < len(words.tokens):
        names.append(_name_with_columns(words))
        while first == "VACUUM" and words.takes(","):
            names.append(_name_with_columns(words))
    if words.at < len(words.tokens):
        raise words.misplaced(words.token())
    return exp.Command(this=first, names=names, kind=kind, analyzes="ANALYZE" in options)


def _listed_options(words: _Words) -> set[str]:
    """The options in parentheses that are not switched off."""
    options = set[str]()
    while True:
        option = words.takes(*_OPTIONS[words.first])
        if not option:
            raise words.misplaced(words.token())
        value = "" if words.peek() in (",", ")") else words.token().text.upper()
        if value not in _OFF:
            options.add(option)
        if words.takes(")"):
            return options
        if not words.takes(","):
            raise words.misplaced(words.token())


def _name_with_columns(words: _Words) -> exp.Identifier:
    """A name; the columns behind it, which only limit what ANALYZE reads, are passed over."""
    name = words.name()
    if words.first == "VACUUM" and words.takes("("):
        words.name()
        while words.takes(","):
            words.name()
        if not words.takes(")"):
            raise words.misplaced(words.token())
    return name
