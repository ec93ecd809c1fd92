"""PostgreSQL's regular expressions, and the patterns of SIMILAR TO, in the notation of DuckDB's RE2."""

from __future__ import annotations

import re
from typing import Final

_LETTERS, _NUMBERS = r"\p{L}", r"\p{N}"
_SPACES: Final = (
    r"\t\n\v\f\r \x{85}\x{1680}\x{2000}-\x{2006}\x{2008}-\x{200a}\x{2028}\x{2029}\x{205f}\x{3000}"
)
_SETS: Final = {"w": f"{_LETTERS}{_NUMBERS}_", "s": _SPACES, "d": "0-9"}
"""What the classes stand for inside brackets: RE2's own know ASCII only."""

_NAMED_SETS: Final = {
    "[:alpha:]": _LETTERS,
    "[:alnum:]": f"{_LETTERS}{_NUMBERS}",
    "[:upper:]": r"\p{Lu}",
    "[:lower:]": r"\p{Ll}",
    "[:space:]": _SPACES,
    "[:punct:]": r"[:punct:]\p{P}\p{S}",
}
_ESCAPES: Final = {"y": r"\b", "Y": r"\B", "b": r"\x08", "B": r"\\", "Z": r"\z"}
"""Letters that mean something else after a backslash, or nothing."""

_PIECE: Final = re.compile(r"\\(?P<escaped>.)|\[:[a-z]+:\]|\[\^?\]?|.", re.DOTALL)


def postgres_regex(pattern: str) -> str:
    """A regular expression of PostgreSQL for RE2."""
    written: list[str] = []
    inside = False
    for match in _PIECE.finditer(pattern):
        piece, escaped = match[0], match["escaped"]
        if escaped is not None:
            written.append(_escape(escaped, inside))
        elif piece.startswith("[:"):
            written.append(_NAMED_SETS.get(piece, piece) if inside else piece)
        elif piece.startswith("["):
            # Inside brackets another one stands for itself.
            written.append(piece.replace("[", r"\[", 1) if inside else piece)
            inside = not (inside and piece.endswith("]"))
        else:
            inside = inside and piece != "]"
            written.append(piece)
    return "".join(written)


def _escape(letter: str, inside: bool) -> str:
    members = _SETS.get(letter.lower())
    if members is None:
        return _ESCAPES.get(letter, "\\" + letter) if not inside else "\\" + letter
    if inside:
        return members if letter.islower() else "\\" + letter
    return f"[{members}]" if letter.islower() else f"[^{members}]"


_WILDCARDS: Final = {"%": ".*", "_": "."}


def similar_regex(pattern: str, escape: str = "\\") -> str:
    """A pattern of SIMILAR TO for RE2, which has to match all of a text; ``escape`` may be empty."""
    written: list[str] = []
    inside = False
    chars = iter(pattern)
    for char in chars:
        if char == escape:
            written.append(re.escape(next(chars, escape)))
        elif inside or char in "[]":
            inside = char != "]"
            written.append(char)
        else:
            written.append(_WILDCARDS.get(char, "\\" + char if char in ".^$\\" else char))
    return f"(?s){''.join(written)}"
