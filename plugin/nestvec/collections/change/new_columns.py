"""Columns that a change adds and no encoder fills: their fields, and what the rows have in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from pymilvus import CollectionSchema

from nestvec.collections.lifecycle import add_scalar_field, add_vector_field
from nestvec.milvus.catalog.column_properties import default_property
from nestvec.milvus.null_vectors.names import nulls_property
from nestvec.sqltypes import type_property
from nestvec_schemas.spec.collection_spec import FieldSpec, VectorSpec

_BITS: Final = {
    "FLOAT_VECTOR": 32,
    "FLOAT16_VECTOR": 16,
    "BFLOAT16_VECTOR": 16,
    "INT8_VECTOR": 8,
    "BINARY_VECTOR": 1,
}

SPARSE_BYTES: Final = 1_024
"""What a sparse vector is taken to need: 128 words."""


@dataclass(frozen=True)
class NewColumn:
    """A scalar, or a vector that the rows contain."""

    name: str
    spec: FieldSpec | VectorSpec
    value: Any = None
    """What the rows that there are get, as Milvus stores it; None for NULL."""

    default: str = ""
    """The default that Milvus cannot hold, as SQL."""

    volatile: bool = False
    """Whether the default gives every row a value of its own, in place of ``value``."""

    @property
    def properties(self) -> dict[str, str]:
        """What the collection's properties say of it."""
        named = {type_property(self.name): self.spec.sql_type, default_property(self.name): self.default}
        if (
            isinstance(self.spec, VectorSpec)
            and self.spec.nullable
            and self.value is None
            and not self.volatile
        ):
            named[nulls_property(self.name)] = "true"
        return {name: value for name, value in named.items() if value}

    @property
    def vector_bytes(self) -> float:
        """The size of a vector; 0 for a scalar."""
        return 0.0 if isinstance(self.spec, FieldSpec) else vector_bytes(self.spec.type, self.spec.dim)

    def add_to(self, schema: CollectionSchema) -> None:
        """Add its field to a schema, with the one that says where a vector is NULL."""
        if isinstance(self.spec, VectorSpec):
            add_vector_field(schema, self.spec)
        else:
            add_scalar_field(schema, self.name, self.spec)

    def as_json(self) -> dict[str, Any]:
        """The column as data."""
        return {
            "name": self.name,
            "vector": isinstance(self.spec, VectorSpec),
            "spec": self.spec.model_dump(mode="json"),
            "value": _as_json(self.value),
            "default": self.default,
            "volatile": self.volatile,
        }


def read_column(values: Mapping[str, Any]) -> NewColumn:
    """The column that ``NewColumn.as_json`` wrote."""
    model = VectorSpec if values["vector"] else FieldSpec
    return NewColumn(
        values["name"],
        model.model_validate(values["spec"]),
        _read_json(values["value"]),
        values["default"],
        values["volatile"],
    )


def _as_json(value: Any) -> dict[str, Any]:
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, dict) and any(isinstance(key, int) for key in value):
        return {"sparse": [[int(index), float(weight)] for index, weight in value.items()]}
    if isinstance(value, (np.ndarray, np.generic)):
        return {"plain": value.tolist()}
    return {
        "plain": [item.item() if isinstance(item, np.generic) else item for item in value]
        if isinstance(value, list)
        else value
    }


def _read_json(values: Mapping[str, Any]) -> Any:
    if "bytes" in values:
        return bytes.fromhex(values["bytes"])
    if "sparse" in values:
        return {int(index): weight for index, weight in values["sparse"]}
    return values["plain"]


def vector_bytes(kind: str, dim: int | None) -> float:
    """The size of a vector of a type of Milvus."""
    bits = _BITS.get(kind)
    return SPARSE_BYTES if bits is None else (dim or 0) * bits / 8
