"""PostgreSQL's changes of JSON documents: ``||``, ``-``, ``#-`` and ``jsonb_set``, which DuckDB lacks."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final

import orjson

_INTEGER: Final = re.compile(r"[ \t\n\v\f\r]*[+-]?[0-9]+")


def json_concat(left: str, right: str) -> str:
    """The keys of two objects, where the second wins; or the items of two arrays, or of other values."""
    first, second = parse_document_numbers(left), parse_document_numbers(right)
    if isinstance(first, dict) and isinstance(second, dict):
        return document_text({**first, **second})
    return document_text([*_items(first), *_items(second)])


def json_delete(document: str, keys: Sequence[str | None]) -> str:
    """A document without these keys, or without the strings of an array that equal one."""
    value = parse_document_numbers(document)
    if isinstance(value, dict):
        return document_text({key: item for key, item in value.items() if key not in keys})
    return document_text([item for item in _array(value) if not (isinstance(item, str) and item in keys)])


def json_delete_key(document: str, key: str) -> str:
    """A document without a key, or without the strings of an array that equal it."""
    return json_delete(document, [key])


def json_delete_item(document: str, position: int) -> str:
    """An array without the item at a position, from the end if negative; the same if there is none."""
    value = parse_document_numbers(document)
    if isinstance(value, dict):
        raise ValueError("cannot delete from object using integer index")
    if -len(_array(value)) <= position < len(value):
        value.pop(position)
    return document_text(value)


def json_delete_at(document: str, path: Sequence[str | None]) -> str:
    """A document without what is at a path of keys and positions; the same if there is nothing."""
    value = parse_document_numbers(document)
    if not isinstance(value, dict):
        _array(value)
    if not value:
        # Before the path is read.
        return document_text(value)
    return document_text(
        change_document(value, list(path), lambda holder, key: holder.pop(key), create=False)
    )


def json_set(document: str, path: Sequence[str | None], new: str, create: bool) -> str:
    """A document with another value at a path; with ``create`` also where there is none yet."""
    value, item = parse_document_numbers(document), parse_document_numbers(new)
    if not isinstance(value, dict):
        _array(value)
    if not value and not create:
        # No key of the path is looked at.
        return document_text(value)
    return document_text(
        change_document(value, list(path), lambda holder, key: _put(holder, key, item), create=create)
    )


def change_document(value: Any, path: list[str | None], change: Any, *, create: bool) -> Any:
    if not path or not isinstance(value, (dict, list)):
        return value
    if path[0] is None:
        raise ValueError("path element is null")
    key: Any = path[0] if isinstance(value, dict) else _position(value, path[0])
    exists = key in value if isinstance(value, dict) else 0 <= key < len(value)
    if len(path) == 1:
        if exists or create:
            change(value, key)
    elif exists:
        value[key] = change_document(value[key], path[1:], change, create=create)
    return value


def _put(holder: Any, key: Any, item: Any) -> None:
    if isinstance(holder, dict) or 0 <= key < len(holder):
        holder[key] = item
    else:
        # Beyond an end, the new value is added there.
        holder.insert(0 if key < 0 else len(holder), item)


def _position(items: list[Any], text: str) -> int:
    # int() also takes 1_0, blanks at the end, and digits of other scripts.
    number = int(text) if len(text) < 100 and _INTEGER.fullmatch(text) else 1 << 31
    if not -(1 << 31) <= number < 1 << 31:
        raise ValueError(f"path element is not an integer: '{text[:40]}'")
    return number + len(items) if number < 0 else number


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _array(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError("cannot change a scalar")
    return value


def parse_document_numbers(document: str) -> Any:
    """The value of a document, whose numbers keep their digits: as doubles, some would be others."""
    return json.loads(
        document, parse_int=orjson.Fragment, parse_float=orjson.Fragment, parse_constant=_refuse_constant
    )


def _refuse_constant(text: str) -> None:
    raise ValueError(f"invalid input syntax for type json: '{text}'")


def document_text(value: Any) -> str:
    return orjson.dumps(value).decode()
