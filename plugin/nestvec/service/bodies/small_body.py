"""The quick way for small bodies: parsed at once, and accepted if all is plainly right.

What is not, the step-by-step reader reads again: it alone says what is wrong, and where.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from nestvec.service.bodies.json_scanner import MAX_VALUE_BYTES
from nestvec.service.bodies.readers import MAX_FIELDS, MAX_NAME_CHARACTERS, InputLimits

Accept = Callable[[Any, InputLimits], Any]
"""Takes a field's parsed value, and returns it as a reader does. Raises Unsure."""

_NULL: Final = type(None)
_PLAIN: Final = (str, int, bool, _NULL)


class Unsure(Exception):
    """The value may be wrong, or is unusual."""


def parse_small(
    data: bytes | bytearray, accepts: Mapping[str, Accept | None], limits: InputLimits
) -> dict[str, Any] | None:
    """The fields of a body, if it is plainly valid; None if the step-by-step reader must decide.

    ``accepts`` has the large fields, with None for those that only the reader reads.
    """
    if len(data) > min(limits.text_characters, limits.characters, limits.text_ids, limits.ids):
        return None  # it might exceed one of them
    try:
        values = orjson.loads(data)
        if type(values) is not dict or len(values) > MAX_FIELDS or _has_repeated_name(data, values):
            return None
        for name, value in values.items():
            if len(name) > MAX_NAME_CHARACTERS:
                return None
            if name in accepts:
                accept = accepts[name]
                if accept is None:
                    return None
                values[name] = accept(value, limits)
            elif not _is_plain(value) or (len(data) > MAX_VALUE_BYTES and type(value) in (str, list)):
                return None
    except (ValueError, Unsure):
        return None
    return values


def _is_plain(value: Any) -> bool:
    """Whether a small value is what the parser and the reader read alike: large numbers become floats."""
    return type(value) in _PLAIN or (type(value) is list and set(map(type, value)) <= {str})


def _has_repeated_name(data: bytes | bytearray, values: Mapping[str, Any]) -> bool:
    """Whether a name may be in a body twice, of which the parser keeps the last."""
    strings = len(values)
    for value in values.values():
        if type(value) is str:
            strings += 1
        elif type(value) is list and set(map(type, value)) == {str}:
            strings += len(value)
    if data.count(b'"') == 2 * strings:
        return False
    # There are quotes in texts, or more texts in other values: the names themselves are counted, unless one
    # may be written with escapes.
    return (
        b"\\u" in data or b"\\/" in data or any(data.count(b'"%b"' % name.encode()) != 1 for name in values)
    )


def accept_text(value: Any, limits: InputLimits) -> str:
    """A text."""
    if type(value) is not str:
        raise Unsure
    return value


def accept_texts(value: Any, limits: InputLimits) -> list[str]:
    """A list of texts."""
    if type(value) is not list or len(value) > limits.inputs or not set(map(type, value)) <= {str}:
        raise Unsure
    return value


def accept_nullable_texts(value: Any, limits: InputLimits) -> list[str]:
    """A list of texts to rank; a null is read as an empty one."""
    if type(value) is not list or len(value) > limits.documents:
        raise Unsure
    if not set(map(type, value)) <= {str, _NULL}:
        raise Unsure
    return [text or "" for text in value]


def accept_text_or_texts(value: Any, limits: InputLimits) -> str | list[str]:
    """A text, or a list of texts."""
    return value if type(value) is str else accept_texts(value, limits)


def accept_inputs(value: Any, limits: InputLimits) -> str | list[str] | array[int] | list[array[int]]:
    """A text, texts, the token ids of a text, or those of several texts."""
    if type(value) is str:
        return value
    if type(value) is not list or not value:
        raise Unsure
    kind = type(value[0])
    if kind is int:
        return _accept_ids(value)
    if kind is str:
        return accept_texts(value, limits)
    if len(value) > limits.inputs:
        raise Unsure
    return [_accept_ids(ids) for ids in value]


def _accept_ids(value: Any) -> array[int]:
    if type(value) is not list or not set(map(type, value)) <= {int}:
        raise Unsure
    try:
        return array("i", value)
    except OverflowError as error:
        raise Unsure from error
