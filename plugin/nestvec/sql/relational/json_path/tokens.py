"""The tokens of a path of SQL/JSON."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NoReturn

from nestvec.sql.relational.json_path.numbers import read_number

_DIGITS: Final = "[0-9](?:_?[0-9])*"
_CHAR: Final = r"""[^?%$.\[\]{}()|&!=<>@#,*:\-+/\\" \t\n\r\f]"""
"""Characters of names."""
_WHOLE: Final = "(?:0|[1-9](?:_?[0-9])*)"
_TOKEN: Final = re.compile(
    rf"""(?P<blank>[ \t\n\r\f]+|/\*.*?\*/)
    |(?P<based>0[xX][0-9a-fA-F](?:_?[0-9a-fA-F])*|0[oO][0-7](?:_?[0-7])*|0[bB][01](?:_?[01])*)
    |(?P<number>(?:{_WHOLE}(?:\.(?:{_DIGITS})?)?|\.{_DIGITS})(?:[eE][-+]?{_DIGITS})?)
    |(?P<variable>\$(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<name>{_CHAR}+)))
    |"(?P<string>(?:[^"\\]|\\.)*)"
    |(?P<word>(?:{_CHAR}|\\.)+)
    |(?P<operator>\*\*|&&|\|\||==|!=|<>|<=|>=|[$@.*()\[\]{{}},?!<>=+\-/%])""",
    re.DOTALL | re.VERBOSE,
)
_ESCAPE: Final = re.compile(
    r"\\(?:x(?P<byte>[0-9a-fA-F]{2})|u(?P<short>[0-9a-fA-F]{4})|u\{(?P<long>[0-9a-fA-F]{1,6})\}"
    r"|(?P<letter>.))",
    re.DOTALL,
)
_LETTERS: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


class PathSyntaxError(ValueError):
    """A text that is no path of SQL/JSON."""


class PathNotSupported(ValueError):
    """A path that PostgreSQL understands, and nestvec does not."""


@dataclass(frozen=True)
class PathToken:
    """A part of a path: ``kind`` is number, string, variable, word, operator or end."""

    kind: str
    text: str
    start: int
    number: Decimal | None = None


def syntax_error(text: str, start: int) -> NoReturn:
    """Raise PathSyntaxError at a place of a path."""
    raise PathSyntaxError(f"syntax error in jsonpath at '{text[start : start + 20]}'")


def path_tokens(text: str) -> list[PathToken]:
    """The tokens of a path, the last of kind end. Raises PathSyntaxError."""
    tokens: list[PathToken] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            syntax_error(text, at)
        kind, value, number = str(match.lastgroup), match[0], None
        if kind in ("based", "number"):
            following = _TOKEN.match(text, match.end())
            if following is not None and following.lastgroup in ("word", "number", "based"):
                raise PathSyntaxError(f"trailing junk after numeric literal in jsonpath at '{value[:20]}'")
            digits = value.replace("_", "")
            number = Decimal(int(digits, 0)) if kind == "based" else read_number(digits.rstrip("."))
            kind = "number"
        elif kind == "variable":
            quoted = match["quoted"]
            value = match["name"] if quoted is None else _unescaped(quoted)
        elif kind in ("string", "word"):
            value = _unescaped(match[kind])
        if kind != "blank":
            tokens.append(PathToken(kind, value, at, number))
        at = match.end()
    tokens.append(PathToken("end", "", len(text)))
    return tokens


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    value = _ESCAPE.sub(_character, text)
    try:
        # Pairs of \\u are one character.
        return value.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise PathSyntaxError("a surrogate in jsonpath is not followed by its other half") from None


def _character(match: re.Match[str]) -> str:
    letter = match["letter"]
    if letter is None:
        code = int(match["byte"] or match["short"] or match["long"], 16)
        if not 0 < code <= 0x10FFFF:
            raise PathSyntaxError("jsonpath has an escape of no character")
        return chr(code)
    if letter in "xu":
        raise PathSyntaxError(f"invalid escape sequence in jsonpath: '{match[0]}'")
    return _LETTERS.get(letter, letter)
