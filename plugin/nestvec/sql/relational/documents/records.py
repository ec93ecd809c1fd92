"""The fields of objects of JSON as columns: jsonb_to_record() and jsonb_to_recordset()."""

from __future__ import annotations

from typing import Any

from nestvec.sql.relational.documents.changes import document_text, parse_document_numbers
from nestvec.sql.relational.documents.order import json_print


def json_field_texts(document: str, key: str, function: str) -> list[str | None]:
    """The values of a key as texts, one for each object; None where it is missing or null."""
    return [_text(item.get(key)) for item in _objects(document, function)]


def json_field_documents(document: str, key: str, function: str) -> list[str | None]:
    """The values of a key as texts of JSON, one for each object; None where it is missing or null."""
    values = (item.get(key) for item in _objects(document, function))
    return [None if value is None else document_text(value) for value in values]


def _objects(document: str, function: str) -> list[dict[str, Any]]:
    """The objects of an array, of a function for sets, or the document itself."""
    value = parse_document_numbers(document)
    if not function.endswith("set"):
        value = [value]
    elif not isinstance(value, list):
        raise ValueError(f"cannot call {function} on a non-array")
    if not all(isinstance(item, dict) for item in value):
        raise ValueError(f"argument of {function} must be of objects")
    return value


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json_print(document_text(value))
