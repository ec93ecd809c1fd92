"""Values of results as psql prints them: whole, arrays in braces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from nestvec.sqltypes.arrays import quote_element
from nestvec.sqltypes.texts import any_text, float4_text, json_text, vector_text
from nestvec.sqltypes.vector_texts import sparse_text

_DOCUMENTS: Final = frozenset({"JSON", "JSONB"})
_VECTORS: Final = frozenset({"FLOAT_VECTOR", "FLOAT16_VECTOR", "BFLOAT16_VECTOR", "INT8_VECTOR"})


def value_text(value: Any, type_: str = "ANY", element: str = "ANY") -> str | None:
    """A value as PostgreSQL prints it; None for NULL. ``element`` is the type of the elements of an array."""
    if value is None:
        return None
    if type_ == "ARRAY" or type_.endswith("[]"):
        return _array_text(value, element)
    if type_ in _DOCUMENTS:
        return json_text(value).decode()
    if type_ == "FLOAT":
        return float4_text(value).decode()
    if type_ in _VECTORS:
        return vector_text(value).decode()
    if type_ == "SPARSE_FLOAT_VECTOR" and isinstance(value, Mapping):
        return sparse_text(value)
    if type_ == "BINARY_VECTOR" and not isinstance(value, str):
        data = value[0] if isinstance(value, list) else bytes(value)
        return "".join(f"{byte:08b}" for byte in data)
    return any_text(value).decode()


def _array_text(value: Any, element: str) -> str:
    if not isinstance(value, (list, tuple)):
        return any_text(value).decode()
    items = (value_text(item, element) for item in value)
    return "{" + ",".join("NULL" if item is None else quote_element(item) for item in items) + "}"
