"""The fields that Milvus requires of a collection where the table has no such column."""

from __future__ import annotations

from nestvec.milvus.catalog.column_properties import HIDDEN_VECTOR
from nestvec_schemas.spec.collection_spec import FieldSpec, VectorSpec


def hidden_vector() -> VectorSpec:
    """What stands for a vector, and no statement sees; its two numbers cost eight bytes."""
    return VectorSpec(name=HIDDEN_VECTOR, dim=2, index="FLAT")


def row_id() -> FieldSpec:
    """The key of a table without a primary key, ``ROW_ID_FIELD``."""
    return FieldSpec(type="INT64", primary=True, auto_id=True)
