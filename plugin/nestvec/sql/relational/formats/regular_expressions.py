"""PostgreSQL's regular expressions, and the patterns of SIMILAR TO, in the notation of DuckDB's RE2."""

from __future__ import annotations

import re
from typing import Final

from nestvec_schemas.errors import SqlNotSupported

_LETTERS, _NUMBERS = r"\p{L}", r"\p{N}"
_SPACES: Final = (
    r"\t\n\v\f\r \x{85}\x{1680}\x{2000}-\x{2006}\x{2008}-\x{200a}\x{2028}\x{2029}\x{205f}\x{3000}"
)
_SETS: Final = {"w": f"{_LETTERS}{_NUMBERS}_", "s": _SPACES, "d": "0-9"}
"""What the classes stand inside brackets: RE2's own know ASCII only."""

_NAMED_SETS: Final = {
    "[:alpha:]": _LETTERS,
    "[:alnum:]": f"{_LETTERS}{_NUMBERS}",
    "[:upper:]": r"\p{Lu}",
    "[:lower:]": r"\p{Ll}",
    "[:space:]": _SPACES,
    "[:punct:]": r"[:punct:]\p{P}\p{S}",
}
_CASES: Final = ("[:upper:]", "[:lower:]")
_ESCAPES: Final = {"y": r"\b", "Y": r"\B", "b": r"\x08", "B": r"\\", "Z": r"\z"}
"""Letters that mean something else after a backslash, or nothing."""

_PIECE: Final = re.compile(
    r"\\(?:x(?P<hex>[0-9a-fA-F]+)|u(?P<short>[0-9a-fA-F]{4})|U(?P<long>[0-9a-fA-F]{8})|(?P<escaped>.))|\[:[a-z]+:\]|\[\^?\]?|.",
    re.DOTALL,
)


def postgres_regex(pattern: str, *, fold: bool = False, lines: bool = False) -> str:
    """A regular expression of PostgreSQL for RE2; ``fold`` if it is matched without regard to case.

    With ``lines``, ``[^a]`` stands for no line break.
    """
    fold = fold or pattern.startswith("(?i)")
    parts: list[str] = []
    bracketed = False
    for match in _PIECE.finditer(pattern):
        piece, escaped = match[0], match["escaped"]
        code = match["hex"] or match["short"] or match["long"]
        if code is not None:
            # In PostgreSQL, \\x has any number of digits.
            parts.append(f"\\x{{{int(code, 16):x}}}")
            continue
        if escaped is not None:
            parts.append(_escape(escaped, bracketed))
        elif piece.startswith("[:"):
            name = "[:alpha:]" if fold and piece in _CASES else piece
            parts.append(_NAMED_SETS.get(name, name) if bracketed else piece)
        elif piece.startswith("["):
            # Inside brackets another one stands for itself.
            parts.append(piece.replace("[", r"\[", 1) if bracketed else piece)
            if lines and not bracketed and "^" in piece:
                parts.append(r"\n")
            bracketed = not (bracketed and piece.endswith("]"))
        else:
            bracketed = bracketed and piece != "]"
            parts.append(piece)
    return "".join(parts)


def _escape(letter: str, bracketed: bool) -> str:
    members = _SETS.get(letter.lower())
    if members is None:
        return _ESCAPES.get(letter, "\\" + letter) if not bracketed else "\\" + letter
    if bracketed:
        return members if letter.islower() else "\\" + letter
    return f"[{members}]" if letter.islower() else f"[^{members}]"


_LOOKAROUND: Final = ("(?=", "(?!", "(?<=", "(?<!")
_WORD_BRACKETS: Final = {"[[:<:]]": r"\m", "[[:>:]]": r"\M"}
_OPTIONS: Final = re.compile(r"\(\?(?![is]\))[a-z]+\)|\*\*\*[=:]")


def check_regex(pattern: str) -> None:
    """Raise SqlNotSupported for what PostgreSQL's regular expressions have and RE2's have not."""
    options = _OPTIONS.match(pattern)
    if options is not None:
        raise SqlNotSupported(
            f"{options[0]} at the beginning of a regular expression is not supported",
            next_step="Write the pattern without it; (?i) is supported.",
        )
    bracketed = False
    for match in _PIECE.finditer(pattern):
        piece, digit, rest = match[0], match["escaped"] or "", pattern[match.start() :]
        if bracketed:
            bracketed = not piece.endswith("]") or piece.startswith("[:")
            continue
        bracketed = piece.startswith("[")
        word = next((spelled for spelled in _WORD_BRACKETS if rest.startswith(spelled)), None)
        if word is not None:
            raise SqlNotSupported(
                f"{word} in a regular expression is not supported", next_step=f"Write {_WORD_BRACKETS[word]}."
            )
        start = next((start for start in _LOOKAROUND if rest.startswith(start)), None)
        if start is not None or digit in tuple("123456789"):
            raise SqlNotSupported(
                f"{start or piece} in a regular expression is not supported", next_step=WITHOUT_LOOKAROUND
            )


WITHOUT_LOOKAROUND: Final = (
    "DuckDB matches without lookaround and back references: write two conditions, a ~ 'x' AND a !~ 'xy'."
)

_WILDCARDS: Final = {"%": ".*", "_": "."}


def similar_regex(pattern: str, escape: str = "\\") -> str:
    """A pattern of SIMILAR TO for RE2, which has to match all of a text; ``escape`` may be empty."""
    parts: list[str] = []
    bracketed = False
    chars = iter(pattern)
    for char in chars:
        if char == escape:
            parts.append(re.escape(next(chars, escape)))
        elif bracketed or char in "[]":
            bracketed = char != "]"
            parts.append(char)
        else:
            parts.append(_WILDCARDS.get(char, "\\" + char if char in ".^$\\" else char))
    return f"(?s){''.join(parts)}"
