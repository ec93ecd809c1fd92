"""Splits a script into statements, each with its ``;``, and backslash commands, one per line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_MARK: Final = re.compile(
    r"""[eE]?'|"|--|/\*|\$(?:[^\W\d]\w*)?\$|;|\\(?:g(?:x|set|exec|desc)?|watch|crosstabview)\b[^\n]*"""
)
"""What ends a statement, and what opens a string, name or comment, inside which a semicolon does not."""

ARGUMENT_MARK: Final = "\x1f"
"""What is between a statement and the argument of the command that takes it."""

_TAKE_STATEMENTS: Final = ("\\g", "\\gx", "\\gset", "\\gexec")

_ENDS: Final = {
    # A quotation mark inside is doubled; E'…' has backslash escapes, too.
    "'": re.compile(r"(?:[^']|'')*+'"),
    '"': re.compile(r'(?:[^"]|"")*+"'),
    "e'": re.compile(r"(?:\\.|''|[^'\\])*+'", re.S),
    "--": re.compile(r"[^\n]*"),
}
_COMMAND: Final = re.compile(r"\s*\\([^\n]*)(?:\n|\Z)")
_COMMENT: Final = re.compile(r"/\*|\*/")


@dataclass(frozen=True)
class SplitScript:
    """A script, split."""

    pieces: tuple[str, ...]
    """Complete statements and commands."""
    rest: str
    """What follows them and is not complete yet."""
    lines: tuple[int, ...] = ()
    """The line of the script that each piece, and the rest after them, begins in, from 1."""


def split_script(text: str) -> SplitScript:
    """Split a script at its semicolons, except those in texts, names and comments."""
    pieces, starts, start, at, empty = list[str](), list[int](), 0, 0, True
    while True:
        if empty:
            line = _COMMAND.match(text, at)
            if line:
                pieces.append(_alone("\\" + line[1].strip()))
                starts.append(line.start(1))
                start = at = line.end()
                continue
        mark = _MARK.search(text, at)
        empty = empty and not text[at : mark.start() if mark else len(text)].strip()
        if mark is None:
            break
        if mark[0] == ";" or mark[0].startswith("\\"):
            if not empty:
                pieces += _ended(text[start : mark.start()], mark[0])
                starts += [start] * (len(pieces) - len(starts))
            start, at, empty = mark.end(), mark.end(), True
            continue
        end = _end(text, mark)
        empty = empty and mark[0] in ("--", "/*")
        if end is None:
            empty = False
            break
        at = end
    rest = "" if empty else text[start:].strip()
    return SplitScript(tuple(pieces), rest, tuple(_line(text, at) for at in (*starts, start)))


def script_pieces(text: str) -> tuple[str, ...]:
    """The pieces of a whole script, whose last statement needs no semicolon."""
    parts = split_script(text)
    return (*parts.pieces, parts.rest) if parts.rest else parts.pieces


def is_complete(text: str) -> bool:
    """Whether a text can be run: its last statement is complete."""
    return not split_script(text).rest


def _ended(statement: str, end: str) -> list[str]:
    """The pieces of a statement and what ends it: a semicolon, or a command that takes the statement."""
    if end == ";":
        return [f"{statement}{end}".strip()]
    name, _, argument = end.strip().partition(" ")
    # psql runs a statement before \\g and the like once, in their way.
    if name == "\\watch":
        return [statement.strip(), end.strip()]
    argument = argument.strip().removesuffix(";").strip()
    return [f"{name} {statement.strip()}{ARGUMENT_MARK if argument else ''}{argument}"]


def _alone(command: str) -> str:
    """A command without a statement: what follows the name of one that takes a statement is its argument."""
    name, _, argument = command.partition(" ")
    argument = argument.strip().removesuffix(";").strip()
    return f"{name} {ARGUMENT_MARK}{argument}" if name in _TAKE_STATEMENTS and argument else command


def _line(text: str, start: int) -> int:
    """The line of the first word from ``start`` on."""
    blank = len(text[start:]) - len(text[start:].lstrip())
    return text.count("\n", 0, start + blank) + 1


def _end(text: str, mark: re.Match[str]) -> int | None:
    """Where the text, name or comment that ``mark`` opens ends; None if it does not."""
    opened, at = mark[0], mark.end()
    if opened == "/*":
        return _comment_end(text, at)
    if opened[0] == "$":
        closing = text.find(opened, at)
        return closing + len(opened) if closing >= 0 else None
    kind = opened.lower()
    if kind == "e'" and text[: mark.start()][-1:].isidentifier():
        kind = "'"
    ended = _ENDS[kind].match(text, at)
    return ended.end() if ended else None


def _comment_end(text: str, at: int) -> int | None:
    """Comments nest, as in PostgreSQL."""
    depth = 1
    while depth:
        mark = _COMMENT.search(text, at)
        if mark is None:
            return None
        depth += 1 if mark[0] == "/*" else -1
        at = mark.end()
    return at
