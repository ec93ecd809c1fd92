"""Hints in comments: ``/*+ shortlist(64, 200) */`` or ``/*+ shortlist(off) */``, as pg_hint_plan has them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from nestvec.sql.parse.source import Source

_WRITE = "Write /*+ shortlist(DIM, SIZE) */ or /*+ shortlist(off) */, for instance shortlist(64, 200)."
_HINT = re.compile(r"\s*shortlist\s*\(\s*(?:(off)|([0-9]{1,6})\s*,\s*([0-9]{1,6}))\s*\)\s*", re.IGNORECASE)
_SETTING = re.compile(r"\s*(?:(off)|([0-9]{1,6})\s*:\s*([0-9]{1,6}))\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Shortlist:
    """Which shortlist is wanted: ``size`` rows by the vector of ``dim``; dim 0 is none at all.

    ``at`` is where the hint stands in the statement; None for a setting.
    """

    dim: int
    size: int = 0
    at: int | None = None


def statement_hint(source: Source) -> Shortlist | None:
    """The hint in a statement's comments, or None. Raises SqlSyntaxError where it is none that is known."""
    found: list[tuple[int, str]] = []
    for token in source.tokens:
        for comment in token.comments:
            if comment.startswith("+") and (at := _place(source.text, token.end, comment)) is not None:
                found.append((at, comment[1:]))
    if len(found) > 1:
        raise source.syntax_error("there is more than one hint", found[1][0], "Keep one of them.")
    for at, text in found:
        match = _HINT.fullmatch(text)
        if match is None or (match[3] is not None and (int(match[2]) == 0 or int(match[3]) == 0)):
            raise source.syntax_error(f"no such hint: {text.strip()[:40]}", at, _WRITE)
        return Shortlist(0, at=at) if match[1] else Shortlist(int(match[2]), int(match[3]), at)
    return None


def _place(text: str, after: int, comment: str) -> int | None:
    """Where a comment stands that sqlglot keeps with the token before it, or with a statement's first."""
    written = f"/*{comment}*/"
    at = text.find(written, after)
    at = text.find(written) if at < 0 else at
    return at if at >= 0 else None


def read_setting(text: str) -> Shortlist | None:
    """What ``SET nestvec.shortlist`` says: ``64:200``, ``off``, or empty for None. Raises ValueError."""
    if not text.strip():
        return None
    match = _SETTING.fullmatch(text)
    if match is None or (match[3] is not None and (int(match[2]) == 0 or int(match[3]) == 0)):
        raise ValueError(text)
    return Shortlist(0) if match[1] else Shortlist(int(match[2]), int(match[3]))
