"""The field that stands for a vector in a table without vectors."""

from __future__ import annotations

from nestvec.milvus.catalog.column_properties import HIDDEN_VECTOR
from nestvec_schemas.spec.collection_spec import VectorSpec


def hidden_vector() -> VectorSpec:
    """The field, which Milvus requires, and which no statement sees; its two numbers cost eight bytes."""
    return VectorSpec(name=HIDDEN_VECTOR, dim=2, index="FLAT")
