"""Documents of JSON taken apart, cleaned of nulls, or printed on several lines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from nestvec.sql.relational.documents.changes import (
    change_document,
    document_text,
    parse_document_numbers,
)
from nestvec.sqltypes.jsonb import key_rank


def json_items(document: str) -> list[str]:
    """The items of an array as texts of JSON, with the digits of their numbers."""
    value = parse_document_numbers(document)
    if not isinstance(value, list):
        shape = "an object" if isinstance(value, dict) else "a scalar"
        raise ValueError(f"cannot extract elements from {shape}")
    return list(map(document_text, value))


def json_pair_keys(document: str, name: str) -> list[str]:
    """The keys of an object, in PostgreSQL's order; ``name`` is the function for errors."""
    return sorted(_object(document, name), key=key_rank)


def json_pair_values(document: str) -> list[str]:
    """The values of an object as texts of JSON, in the order of its keys."""
    value = _object(document, "jsonb_each")
    return [document_text(value[key]) for key in sorted(value, key=key_rank)]


def json_without_nulls(document: str) -> str:
    """A document without the keys of objects that are null."""

    def cleaned(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: cleaned(item) for key, item in value.items() if item is not None}
        return [cleaned(item) for item in value] if isinstance(value, list) else value

    return document_text(cleaned(parse_document_numbers(document)))


def json_insert(document: str, path: Sequence[str | None], new: str, after: bool) -> str:
    """A document with a new value at a path: before an item of an array, or after it, or as a new key."""
    value, item = parse_document_numbers(document), parse_document_numbers(new)
    if not isinstance(value, (dict, list)):
        raise ValueError("cannot set path in scalar")
    if not path:
        return document_text(value)

    def put(holder: Any, key: Any) -> None:
        if isinstance(holder, dict):
            if key in holder:
                raise ValueError("cannot replace existing key")
            holder[key] = item
            return
        place = len(holder) if key >= len(holder) else max(key + (after and key >= 0), 0)
        holder.insert(place, item)

    return document_text(change_document(value, list(path), put, create=True))


def json_pretty(document: str) -> str:
    """A document with a line for each key and item, as jsonb_pretty() prints it."""
    return _lines(parse_document_numbers(document), "\n")


def _lines(value: Any, end: str) -> str:
    inner = end + "    "
    if isinstance(value, dict):
        keys = sorted(value, key=key_rank)
        items = [f"{json.dumps(key, ensure_ascii=False)}: {_lines(value[key], inner)}" for key in keys]
        return "{" + ",".join(inner + item for item in items) + end + "}"
    if isinstance(value, list):
        return "[" + ",".join(inner + _lines(item, inner) for item in value) + end + "]"
    return document_text(value)


def _object(document: str, name: str) -> dict[str, Any]:
    value = parse_document_numbers(document)
    if not isinstance(value, dict):
        shape = "an array" if isinstance(value, list) else "a scalar"
        raise ValueError(f"cannot call {name} on {shape}")
    return value
