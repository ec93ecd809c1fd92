"""Hints in comments, as in pg_hint_plan: ``/*+ shortlist(64, 200) */`` or ``/*+ shortlist(off) */``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from nestvec.sql.parse.source import SourceText

_WRITE = "Write /*+ shortlist(DIM, SIZE) */ or /*+ shortlist(off) */, for instance shortlist(64, 200)."
_HINT = re.compile(r"\s*shortlist\s*\(\s*(?:(off)|([0-9]{1,6})\s*,\s*([0-9]{1,6}))\s*\)\s*", re.IGNORECASE)
_SETTING = re.compile(r"\s*(?:(off)|([0-9]{1,6})\s*:\s*([0-9]{1,6}))\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Shortlist:
    """A requested shortlist."""

    dim: int
    """The dim of the vectors that choose the shortlist; 0 turns shortlists off."""
    size: int = 0
    """The number of rows in the shortlist."""
    position: int | None = None
    """The offset of the hint in the statement; None for the setting."""


def shortlist_hint(source: SourceText) -> Shortlist | None:
    """The hint in a statement's comments, or None. Raises SqlSyntaxError for an unknown hint."""
    hints: list[tuple[int, str]] = []
    for token in source.tokens:
        for comment in token.comments:
            if (
                comment.startswith("+")
                and (position := _comment_position(source.text, token.end, comment)) is not None
            ):
                hints.append((position, comment[1:]))
    if len(hints) > 1:
        raise source.syntax_error("there is more than one hint", hints[1][0], "Keep one of them.")
    for position, text in hints:
        match = _HINT.fullmatch(text)
        if match is None or (match[3] is not None and (int(match[2]) == 0 or int(match[3]) == 0)):
            raise source.syntax_error(f"no such hint: {text.strip()[:40]}", position, _WRITE)
        return (
            Shortlist(0, position=position) if match[1] else Shortlist(int(match[2]), int(match[3]), position)
        )
    return None


def _comment_position(text: str, after: int, comment: str) -> int | None:
    """The offset of a comment, which sqlglot attaches to the token before it, or to the first one."""
    comment_text = f"/*{comment}*/"
    position = text.find(comment_text, after)
    position = text.find(comment_text) if position < 0 else position
    return position if position >= 0 else None


def parse_shortlist_setting(text: str) -> Shortlist | None:
    """Parse the value of ``nestvec.shortlist``: ``64:200``, ``off``, or empty for None. Raises ValueError."""
    if not text.strip():
        return None
    match = _SETTING.fullmatch(text)
    if match is None or (match[3] is not None and (int(match[2]) == 0 or int(match[3]) == 0)):
        raise ValueError(text)
    return Shortlist(0) if match[1] else Shortlist(int(match[2]), int(match[3]))
