"""PostgreSQL's text of an array of one dimension: ``{a,"b, c"}``."""

from __future__ import annotations

import re

_ELEMENT = re.compile(
    r'\s*(?:"((?:[^"\\]|\\.)*)"|([^\s{},"\\](?:[^{},"\\]*[^\s{},"\\])?))\s*(,|$)', re.DOTALL
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"|\\.', re.DOTALL)
_BOUNDS = re.compile(r"^(?:\[[+-]?\d+:[+-]?\d+\])+\s*=\s*")
_GAP = re.compile(r"[{,]\s*,|,\s*}")
"""A place where an element is missing."""
_PLAIN = re.compile(r'[^\s{}",\\]+')


def parse_array(text: str) -> list[str] | None:
    """The elements of an array as texts; None if it is not one, or has NULL or several dimensions."""
    stripped = text.strip()
    if len(stripped) < 2 or stripped[0] != "{" or stripped[-1] != "}":
        return None
    inner, at, elements = stripped[1:-1], 0, list[str]()
    if not inner.strip():
        return []
    while True:
        match = _ELEMENT.match(inner, at)
        if match is None or (match[2] or "").upper() == "NULL":
            return None
        elements.append(_ESCAPE.sub(r"\1", match[1]) if match[1] is not None else match[2])
        at = match.end()
        if match[3] != ",":
            return elements if at == len(inner) else None


def is_array_text(text: str) -> bool:
    """Whether PostgreSQL reads a text as an array, of any dimensions, with or without NULLs."""
    stripped = _BOUNDS.sub("", text.strip())
    depth = 0
    if not (stripped.startswith("{") and stripped.endswith("}")) or _QUOTED.sub("", stripped).count('"'):
        return False
    bare = _QUOTED.sub("x", stripped)
    for at, character in enumerate(bare):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth == 0 and at < len(bare) - 1:
            return False
    return depth == 0 and (bare.count("{") > 1 or not _GAP.search(bare))


def quote_element(text: str) -> str:
    """An element of an array as it is written: in quotes where it could be read otherwise."""
    if _PLAIN.fullmatch(text) and text.upper() != "NULL":
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
