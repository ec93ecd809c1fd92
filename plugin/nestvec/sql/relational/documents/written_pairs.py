"""The keys and values of objects of the type ``json``, which keeps their order, doubles and notation."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

_BLANKS: Final = re.compile(r"[ \t\n\r]*")
_BETWEEN: Final = re.compile(r"[ \t\n\r]*[:,][ \t\n\r]*")
_DECODER: Final = json.JSONDecoder(parse_int=str, parse_float=str)
_POSITION: Final = re.compile(r"[ \t\n\v\f\r]*[+-]?[0-9]{1,9}")


def json_written_keys(document: str, name: str) -> list[str]:
    """The keys of an object, as they follow each other; ``name`` is the function for errors."""
    return [key for key, _ in _pairs(document, name)]


def json_written_values(document: str) -> list[str]:
    """The values of an object as texts of JSON, as they follow each other."""
    return [value for _, value in _pairs(document, "json_each")]


def json_written_items(document: str) -> list[str]:
    """The items of an array as texts of JSON, as they follow each other."""
    at = _end(_BLANKS, document, 0)
    if document[at] != "[":
        shape = "an object" if document[at] == "{" else "a scalar"
        raise ValueError(f"cannot extract elements from {shape}")
    items = []
    at = _end(_BLANKS, document, at + 1)
    while document[at] != "]":
        _, end = _DECODER.raw_decode(document, at)
        items.append(document[at:end])
        at = _end(_BLANKS, document, _end(_BETWEEN, document, end))
    return items


def json_written_part(document: str, step: str, role: str) -> str:
    """A member of a document as a text of JSON, of equal keys the last; empty if there is none.

    ``role`` is that of ``step``: a "key", the position of an "item", or a "step", which is either.
    """
    first = document[_end(_BLANKS, document, 0)]
    if first == "{" and role != "item":
        return dict(_pairs(document, "->")).get(step, "")
    if first == "[" and role != "key" and _POSITION.fullmatch(step):
        items, at = json_written_items(document), int(step)
        return items[at] if -len(items) <= at < len(items) else ""
    return ""


def _pairs(document: str, name: str) -> Iterator[tuple[str, str]]:
    at = _end(_BLANKS, document, 0)
    if document[at] != "{":
        shape = "an array" if document[at] == "[" else "a scalar"
        raise ValueError(f"cannot call {name} on {shape}")
    at = _end(_BLANKS, document, at + 1)
    while document[at] != "}":
        key, at = _DECODER.raw_decode(document, at)
        start = _end(_BETWEEN, document, at)
        _, at = _DECODER.raw_decode(document, start)
        yield key, document[start:at]
        at = _end(_BETWEEN, document, at)
        at = _end(_BLANKS, document, at)


def _end(pattern: re.Pattern[str], document: str, at: int) -> int:
    match = pattern.match(document, at)
    return at if match is None else match.end()
