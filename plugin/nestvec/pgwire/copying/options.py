"""The options of COPY between a client and Milvus, in the old and the new grammar."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NoReturn, cast

from nestvec.pgwire.errors import PgError

CopyFormat = Literal["text", "csv", "binary"]

_TOKEN: Final = re.compile(
    r"\s*(?:(?P<text>[eE]'(?:[^'\\]|''|\\.)*'|'(?:[^']|'')*')|(?P<word>\w+|\"(?:[^\"]|\"\")+\")|(?P<mark>[(),*]))"
)
_ESCAPES: Final = {"t": "\t", "n": "\n", "r": "\r", "b": "\b", "f": "\f"}
_SINGLE: Final = ("delimiter", "null", "quote", "escape", "encoding")
"""Options with a text in quotes."""
_FORCED: Final = ("force_quote", "force_not_null", "force_null")
_NAMES: Final = {"format", "header", *_SINGLE, *_FORCED}
_TRUE: Final = ("true", "on", "1")
_FALSE: Final = ("false", "off", "0")
_TEXT_DELIMITERS: Final = frozenset("\\.abcdefghijklmnopqrstuvwxyz0123456789")
"""What cannot separate the fields of the text format."""

Token = tuple[str, str]
"""``text``, ``word`` or ``mark``, and what is written."""


@dataclass(frozen=True)
class ForcedColumns:
    """Columns of CSV that are quoted always, or read as NULL or as a text where others are not.

    Each is names of columns as they are in the statement, ``*`` for all.
    """

    quote: tuple[str, ...] = ()
    not_null: tuple[str, ...] = ()
    null: tuple[str, ...] = ()


@dataclass(frozen=True)
class CopyStreamOptions:
    """How rows are written."""

    format: CopyFormat = "text"
    header: bool = False
    match_header: bool = False
    """Whether the header must have the names of the columns."""
    delimiter: str = "\t"
    null: str = "\\N"
    quote: str = '"'
    escape: str = '"'
    forced: ForcedColumns = field(default_factory=ForcedColumns)


def parse_copy_options(text: str, *, from_client: bool) -> CopyStreamOptions:
    """What follows STDIN or STDOUT. Raises PgError for options that are wrong, as PostgreSQL does."""
    tokens, at = list[Token](), 0
    text = text.strip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            _syntax(text[at : at + 20])
        tokens.append((str(match.lastgroup), match[str(match.lastgroup)]))
        at = match.end()
    if tokens and tokens[0][1].lower() == "with":
        tokens = tokens[1:]
    in_list = bool(tokens) and tokens[0][1] == "("
    pairs = _new_style(tokens) if in_list else _old_style(tokens)
    return _checked(pairs, from_client)


def _syntax(near: str) -> NoReturn:
    raise PgError("42601", f'syntax error at or near "{near[:40]}"')


class _Pairs(dict[str, tuple[str, ...]]):
    """The values of options by their names, each of which is written once."""

    def add(self, name: str, values: Sequence[str]) -> None:
        if name in self:
            raise PgError("42601", f"conflicting or redundant options: {name} occurs twice")
        self[name] = tuple(values)

    def text(self, name: str, default: str) -> str:
        return self[name][0] if name in self else default


def _new_style(tokens: Sequence[Token]) -> _Pairs:
    """``FORMAT csv, HEADER, NULL '', FORCE_QUOTE (a, b)``."""
    pairs, words = _Pairs(), list[str]()
    depth = 0
    for number, (kind, part) in enumerate(tokens):
        opens, closes = kind == "mark" and part == "(", kind == "mark" and part == ")"
        depth += opens - closes
        if depth == 0 and number < len(tokens) - 1:
            _syntax(tokens[number + 1][1])
        if (depth == 1 and kind == "mark" and part == ",") or depth == 0:
            if not words:
                raise PgError("42601", "an option of COPY has no name")
            pairs.add(words[0].lower(), words[1:] or ("true",))
            words = []
        elif kind == "word" and words and words[0].lower() not in _FORCED:
            words.append(part.strip('"'))  # a value, as in FORMAT "binary"
        elif kind != "mark" or part == "*":
            words.append(_value(part) if kind == "text" else part)
    if depth:
        raise PgError("42601", "syntax error at end of input")
    return pairs


def _old_style(tokens: Sequence[Token]) -> _Pairs:
    """``CSV HEADER DELIMITER AS ';' FORCE QUOTE a, b``."""
    pairs, at = _Pairs(), 0
    while at < len(tokens):
        word = tokens[at][1].lower()
        at += 1
        if word in ("csv", "binary"):
            pairs.add("format", (word,))
        elif word == "header":
            pairs.add("header", ("true",))
        elif word == "force":
            name, at = _forced_name(tokens, at)
            values, at = _column_list(tokens, at)
            pairs.add(name, values)
        elif word in (*_SINGLE, "delimiters"):
            at += at < len(tokens) and tokens[at][1].lower() == "as"
            if at >= len(tokens) or tokens[at][0] != "text":
                raise PgError("42601", f"the option {word} of COPY takes a string in quotes")
            pairs.add("delimiter" if word == "delimiters" else word, (_value(tokens[at][1]),))
            at += 1
        elif word == "where":
            raise PgError("0A000", "COPY FROM … WHERE is not supported", hint="Copy all rows, then DELETE.")
        else:
            _syntax(word)
    return pairs


def _forced_name(tokens: Sequence[Token], at: int) -> tuple[str, int]:
    """``force_quote`` of the words that follow FORCE, and where they end."""
    words = [part.lower() for _, part in tokens[at : at + 2]]
    if words == ["not", "null"]:
        return "force_not_null", at + 2
    if words[:1] in (["quote"], ["null"]):
        return f"force_{words[0]}", at + 1
    _syntax(words[0] if words else "force")


def _column_list(tokens: Sequence[Token], at: int) -> tuple[list[str], int]:
    """``a, b`` or ``*``, and where it ends."""
    names = list[str]()
    while at < len(tokens) and (tokens[at][0] == "word" or (tokens[at][1] == "*" and not names)):
        names.append(tokens[at][1])
        at += 1
        if names == ["*"] or at >= len(tokens) or tokens[at][1] != ",":
            return names, at
        at += 1
    _syntax(tokens[at][1] if at < len(tokens) else "end of input")


def _value(token: str) -> str:
    if token[0] in "eE":
        return re.sub(
            r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), token[2:-1].replace("''", "'")
        )
    return token[1:-1].replace("''", "'")


def _checked(pairs: _Pairs, from_client: bool) -> CopyStreamOptions:
    unknown = pairs.keys() - _NAMES
    if unknown:
        raise PgError(
            "0A000",
            f'the option "{sorted(unknown)[0][:40]}" of COPY is not supported',
            hint=f"Available: {', '.join(sorted(_NAMES))}.",
        )
    several = [name for name in pairs if len(pairs[name]) > 1 and name not in _FORCED]
    if several:
        raise PgError("42601", f"the option {several[0]} of COPY takes one value")
    format_ = pairs.text("format", "text").lower()
    if format_ not in ("text", "csv", "binary"):
        raise PgError(
            "22023", f'COPY format "{format_[:40]}" not recognized', hint="Use text, csv or binary."
        )
    if pairs.text("encoding", "utf8").lower().replace("-", "") not in ("utf8", "unicode"):
        raise PgError(
            "0A000",
            f'COPY does not support the encoding "{pairs["encoding"][0][:40]}"',
            hint="Convert the data to UTF8.",
        )
    csv = format_ == "csv"
    header = pairs.text("header", "false").lower()
    if header not in (*_TRUE, *_FALSE, "match"):
        raise PgError("42601", 'header requires a Boolean value or "match"')
    if header == "match" and not from_client:
        raise PgError("0A000", 'cannot use "match" with HEADER in COPY TO')
    options = CopyStreamOptions(
        cast(CopyFormat, format_),
        header=header not in _FALSE,
        match_header=header == "match",
        delimiter=pairs.text("delimiter", "," if csv else "\t"),
        null=pairs.text("null", "" if csv else "\\N"),
        quote=pairs.text("quote", '"'),
        escape=pairs.text("escape", pairs.text("quote", '"')),
        forced=ForcedColumns(*(pairs.get(name, ()) for name in _FORCED)),
    )
    _check_fields(pairs, options)
    _check_quotes(pairs, options)
    _check_forced(pairs, options, from_client)
    if options.delimiter in options.null:
        raise PgError("22023", "COPY delimiter character must not appear in the NULL specification")
    if csv and options.quote in options.null:
        raise PgError("22023", "CSV quote character must not appear in the NULL specification")
    return options


def _check_fields(pairs: _Pairs, options: CopyStreamOptions) -> None:
    """Refuse what rows could not be divided into fields by."""
    binary = options.format == "binary"
    for name in ("delimiter", "null"):
        if name in pairs and binary:
            raise PgError("42601", f"cannot specify {name.upper()} in BINARY mode")
    _check_one_byte("delimiter", options.delimiter)
    if options.delimiter in "\r\n":
        raise PgError("22023", "COPY delimiter cannot be newline or carriage return")
    if any(mark in options.null for mark in "\r\n"):
        raise PgError("22023", "COPY null representation cannot use newline or carriage return")
    if options.format != "csv" and options.delimiter in _TEXT_DELIMITERS:
        raise PgError("22023", f'COPY delimiter cannot be "{options.delimiter}"')
    if binary and options.header:
        raise PgError("0A000", "cannot specify HEADER in BINARY mode")


def _check_quotes(pairs: _Pairs, options: CopyStreamOptions) -> None:
    csv = options.format == "csv"
    for name, character in (("quote", options.quote), ("escape", options.escape)):
        if name in pairs and not csv:
            raise PgError("0A000", f"COPY {name} available only in CSV mode")
        _check_one_byte(name, character)
        if csv and options.quote == options.delimiter:
            raise PgError("22023", "COPY delimiter and quote must be different")


def _check_one_byte(name: str, character: str) -> None:
    if len(character.encode()) != 1:
        raise PgError("0A000", f"COPY {name} must be a single one-byte character")


def _check_forced(pairs: _Pairs, options: CopyStreamOptions, from_client: bool) -> None:
    for name in _FORCED:
        shown = name.replace("_", " ")
        if name in pairs and options.format != "csv":
            raise PgError("0A000", f"COPY {shown} available only in CSV mode")
        if name in pairs and from_client == (name == "force_quote"):
            way = "COPY TO" if from_client else "COPY FROM"
            raise PgError("0A000", f"COPY {shown} only available using {way}")
