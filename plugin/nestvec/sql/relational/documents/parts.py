"""Parts of JSON documents whose numbers keep their digits: DuckDB reads 1.50 and writes 1.5."""

from __future__ import annotations

import re
from typing import Any, Final

from nestvec.sql.relational.documents.changes import document_text, parse_document_numbers

_KEY: Final = re.compile(r'\$\."(.*)"', re.DOTALL)
_POSITION: Final = re.compile(r"\$\[(-?[0-9]{1,18})\]")


def json_part(document: str, path: str) -> str:
    """What is at a path of DuckDB's, as a text of JSON; empty if there is nothing.

    The path is a pointer, ``/a/0``, a key in quotes, ``$."7"``, or a position, ``$[-1]``.
    """
    value = parse_document_numbers(document)
    for step in _steps(path):
        value = _member(value, step)
        if value is _NOTHING:
            return ""
    return document_text(value)


_NOTHING: Final = object()


def _steps(path: str) -> list[tuple[str, bool]]:
    """Keys or positions, and whether each may be a position of an array."""
    if key := _KEY.fullmatch(path):
        return [(key[1], False)]
    if position := _POSITION.fullmatch(path):
        return [(position[1], True)]
    steps = path[1:].split("/")
    return [(step.replace("~1", "/").replace("~0", "~"), step.isdecimal()) for step in steps]


def _member(value: Any, step: tuple[str, bool]) -> Any:
    name, is_position = step
    if isinstance(value, dict):
        return value.get(name, _NOTHING)
    if not isinstance(value, list) or not is_position:
        return _NOTHING
    at = int(name)
    return value[at] if -len(value) <= at < len(value) else _NOTHING
