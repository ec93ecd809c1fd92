r"""``\m``, ``\M`` and ``\y``, the bounds of words: RE2's own know ASCII only."""

from __future__ import annotations

import re
from typing import Final

from nestvec.sql.relational.rewrites.longest_matches import PatternReader
from nestvec_schemas.errors import SqlNotSupported

_BOUND: Final = re.compile(r"\\[mMyY]")
_START: Final = re.compile(r"^\\[my]")
_END: Final = re.compile(r"\\[My]$")
_OTHERS: Final = r"[^\w]"
_WORD_CHAR: Final = re.compile(
    r"\w|\\w|\\d|\[(?:\w-\w|\w|\\w|\\d|\[:(?:alpha|alnum|digit|upper|lower):\])+\]"
)


def has_bounds(pattern: str) -> bool:
    """Whether a pattern has a bound of a word."""
    return "\\" in pattern and _BOUND.search(pattern.replace("\\\\", "")) is not None


def without_bounds(pattern: str) -> str:
    r"""A pattern that matches a text if the other does: a character beside the word stands for its bound.

    Raises SqlNotSupported for a bound that is not beside a character of words at an end of an alternative.
    """
    prefix = "(?i)" if pattern.startswith("(?i)") else ""
    try:
        branches = [text for text, _ in PatternReader(pattern.removeprefix(prefix)).branches]
        return prefix + "|".join(map(_without_bounds, branches))
    except (ValueError, RecursionError):
        raise SqlNotSupported(
            r"\m, \M, \y and \Y are supported at the ends of a pattern of ~ alone, beside letters and digits",
            next_step=r"Write '\mword\M'.",
        ) from None


def _without_bounds(branch: str) -> str:
    starts, ends = _START.match(branch), _END.search(branch)
    inner = branch[2 if starts else 0 : -2 if ends else None]
    if has_bounds(inner):
        raise ValueError(branch)
    if not (starts or ends):
        return branch
    reader = PatternReader(inner)
    part = reader.matched
    neighbours = [*(part.first if starts else ()), *(part.last if ends else ())]
    if (
        part.nullable
        or reader.anchors
        or not all(_WORD_CHAR.fullmatch(reader.chars[at]) for at in neighbours)
    ):
        raise ValueError(branch)
    before, after = rf"(?:\A|{_OTHERS})" if starts else "", rf"(?:\Z|{_OTHERS})" if ends else ""
    return f"{before}(?:{inner}){after}"
