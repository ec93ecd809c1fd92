"""COPY … FROM STDIN and COPY … TO STDOUT, with their options, old and new."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from nestvec.pgwire.errors import PgError

CopyFormat = Literal["text", "csv", "binary"]

_NAME: Final = r'(?:"(?:[^"]|"")+"|\w+)'
_COPY: Final = re.compile(
    rf"copy\s+(?:(?P<query>\(.*\))\s+|(?P<table>{_NAME}(?:\.{_NAME})*)(?:\s*\((?P<columns>[^()]*)\)\s*|\s+))"
    r"(?P<way>from\s+stdin|to\s+stdout)\b\s*(?P<options>(?:[^;']|'(?:[^'\\]|''|\\.)*+')*+);?\s*",
    re.I | re.S,
)
_TOKEN: Final = re.compile(r"\s*(?:(?P<text>[eE]?'(?:[^'\\]|''|\\.)*')|(?P<word>\w+)|(?P<mark>[(),*]))")
_ESCAPES: Final = {"t": "\t", "n": "\n", "r": "\r", "b": "\b", "f": "\f"}


@dataclass(frozen=True)
class CopyStreamOptions:
    """How rows are written."""

    format: CopyFormat = "text"
    header: bool = False
    delimiter: str = "\t"
    null: str = "\\N"
    quote: str = '"'
    escape: str = '"'


@dataclass(frozen=True)
class CopyStatement:
    """A COPY that reads from the client or writes to it."""

    from_client: bool
    """Whether rows come from the client."""
    table: str
    """The name of the table as it is in the statement; empty for a query."""
    columns: tuple[str, ...]
    """Names of columns as they are in the statement; none for all."""
    query: str
    """The SELECT in parentheses; empty for a table."""
    query_offset: int
    """Where the SELECT starts in the statement, in characters."""
    options: CopyStreamOptions


def is_copy_stream(sql: str) -> bool:
    """Whether a statement is a COPY that reads from the client or writes to it."""
    return sql.lstrip()[:4].lower() == "copy" and _COPY.fullmatch(sql.strip()) is not None


def parse_copy(sql: str) -> CopyStatement:
    """A COPY of which ``is_copy_stream`` is true. Raises PgError for options that are wrong."""
    match = _COPY.fullmatch(sql.strip())
    if match is None:
        raise PgError("42601", "syntax error in COPY")
    names = match["columns"]
    columns = tuple(re.findall(_NAME, names)) if names is not None else ()
    from_client = match["way"].lower().startswith("from")
    inner = match["query"][1:-1] if match["query"] else ""
    query, query_offset = inner.strip(), match.start("query") + 1 + len(inner) - len(inner.lstrip())
    if from_client and query:
        raise PgError("42601", "COPY of a query can only write: use TO STDOUT")
    options = _options(match["options"])
    return CopyStatement(
        from_client,
        match["table"] or "",
        columns,
        query=query,
        query_offset=query_offset,
        options=options,
    )


def _options(text: str) -> CopyStreamOptions:
    tokens, at = list[tuple[str, str]](), 0
    text = text.strip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise PgError("42601", f'syntax error at or near "{text[at : at + 20]}"')
        tokens.append((str(match.lastgroup), match[str(match.lastgroup)]))
        at = match.end()
    if tokens and tokens[0][1].lower() == "with":
        tokens = tokens[1:]
    in_list = bool(tokens) and tokens[0][1] == "("
    pairs = _new_style(tokens[1:-1]) if in_list else _old_style(tokens)
    return _checked(pairs)


def _new_style(tokens: Sequence[tuple[str, str]]) -> dict[str, str]:
    """``FORMAT csv, HEADER, NULL ''``."""
    pairs, words = dict[str, str](), list[str]()
    depth = 0
    for kind, part in (*tokens, ("mark", ",")):
        depth += (part == "(") - (part == ")")
        if kind == "mark" and part == "," and depth == 0:
            if not words:
                raise PgError("42601", "an option of COPY has no name")
            pairs[words[0].lower()] = words[1] if len(words) > 1 else "true"
            words = []
        else:
            words.append(_value(part) if kind == "text" else part)
    return pairs


def _old_style(tokens: Sequence[tuple[str, str]]) -> dict[str, str]:
    """``CSV HEADER DELIMITER AS ';'``."""
    pairs, at = dict[str, str](), 0
    while at < len(tokens):
        word = tokens[at][1].lower()
        at += 1
        if word in ("csv", "binary"):
            pairs["format"] = word
        elif word == "header":
            pairs["header"] = "true"
        elif word in ("delimiter", "delimiters", "null", "quote", "escape", "encoding"):
            at += at < len(tokens) and tokens[at][1].lower() == "as"
            if at >= len(tokens) or tokens[at][0] != "text":
                raise PgError("42601", f"the option {word} of COPY takes a text in quotes")
            pairs[word.removesuffix("s") if word == "delimiters" else word] = _value(tokens[at][1])
            at += 1
        else:
            raise PgError("42601", f'syntax error at or near "{word[:40]}"')
    return pairs


def _value(token: str) -> str:
    if token[0] in "eE":
        return re.sub(
            r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), token[2:-1].replace("''", "'")
        )
    return token[1:-1].replace("''", "'")


def _checked(pairs: dict[str, str]) -> CopyStreamOptions:
    unknown = pairs.keys() - {"format", "header", "delimiter", "null", "quote", "escape", "encoding"}
    if unknown:
        raise PgError("0A000", f'the option "{sorted(unknown)[0][:40]}" of COPY is not supported')
    format_ = pairs.get("format", "text").lower()
    if format_ not in ("text", "csv", "binary"):
        raise PgError(
            "22023", f'COPY format "{format_[:40]}" not recognized', hint="Use text, csv or binary."
        )
    if pairs.get("encoding", "utf8").lower().replace("-", "") not in ("utf8", "unicode"):
        raise PgError("0A000", "COPY reads and writes UTF8 only")
    csv = format_ == "csv"
    header = pairs.get("header", "false").lower()
    options = CopyStreamOptions(
        header=header in ("true", "on", "1", "match"),
        delimiter=pairs.get("delimiter", "," if csv else "\t"),
        null=pairs.get("null", "" if csv else "\\N"),
        quote=pairs.get("quote", '"'),
        escape=pairs.get("escape", pairs.get("quote", '"')),
    )
    single: dict[str, Any] = {
        "delimiter": options.delimiter,
        "quote": options.quote,
        "escape": options.escape,
    }
    for name, character in single.items():
        if len(character.encode()) != 1 or character in "\r\n":
            raise PgError("0A000", f"COPY {name} must be a single one-byte character")
    if options.quote == options.delimiter or any(mark in options.null for mark in "\r\n"):
        raise PgError("22023", "the options of COPY contradict each other")
    if csv:
        return replace(options, format="csv")
    return replace(options, format="binary") if format_ == "binary" else options
