"""What records NULL in a vector column: a hidden field, and a property of the collection."""

from __future__ import annotations

from typing import Final

NULL_FLAG_PREFIX: Final = "nestvec_null_"
"""Prefix of the BOOL field that is true in the rows where a vector column is NULL, and NULL in the others."""


def null_flag(column: str) -> str:
    """The field that says where a vector column is NULL: neither Milvus Lite nor a Milvus before 3.0 can."""
    return f"{NULL_FLAG_PREFIX}{column}"


def nulls_property(column: str) -> str:
    """The property of a collection that says that a vector column is, or was, NULL in some row."""
    return f"nestvec.nulls.{column}"
