"""Widths of texts on a terminal, and texts wrapped to a width."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_WORD: Final = re.compile(r"\s*\S+\s*|\s+")
"""A word with the blanks around it."""


def text_width(text: str) -> int:
    """Columns of the terminal that the longest line of a text takes; an ideograph takes two."""
    if text.isascii():
        return len(text) if "\n" not in text else max(map(len, text.split("\n")))
    from rich.cells import cell_len

    return max(map(cell_len, text.split("\n")))


def wrap(text: str, width: int) -> list[str]:
    """The lines of a text; those wider than ``width`` are wrapped between words, or within a long word."""
    lines: list[str] = []
    for line in text.split("\n"):
        # A line of spaces alone is one empty line, so that its row stays.
        lines += [line] if text_width(line) <= width else list(_wrap_line(line, width)) or [""]
    return lines


def _wrap_line(line: str, width: int) -> Iterator[str]:
    current = ""
    for word in _WORD.findall(line):
        if text_width((current + word).rstrip()) <= width:
            current += word
            continue
        if current.strip():
            yield current.rstrip()
        current = word.lstrip()
        while text_width(current.rstrip()) > width:
            head = _fitting(current, width)
            yield head
            current = current[len(head) :]
    if current.strip():
        yield current.rstrip()


def _fitting(text: str, width: int) -> str:
    """The longest prefix of a text that fits, at least one character."""
    end = min(len(text), width)
    while end > 1 and text_width(text[:end]) > width:
        end -= 1
    return text[:end]
