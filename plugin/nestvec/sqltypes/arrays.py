"""PostgreSQL's text of an array of one dimension: ``{a,"b, c"}``."""

from __future__ import annotations

import re

_ELEMENT = re.compile(
    r'\s*(?:"((?:[^"\\]|\\.)*)"|([^\s{},"\\](?:[^{},"\\]*[^\s{},"\\])?))\s*(,|$)', re.DOTALL
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
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


def quote_element(text: str) -> str:
    """An element of an array as it is written: in quotes where it could be read otherwise."""
    if _PLAIN.fullmatch(text) and text.upper() != "NULL":
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
