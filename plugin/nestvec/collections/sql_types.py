"""SQL types of a spec's fields: the properties that record them, and what stores them in Milvus Lite."""

from __future__ import annotations

from typing import Final

from nestvec.milvus.server_version import HAS_NULL, ServerVersion
from nestvec.sqltypes import type_property
from nestvec.sqltypes.kinds import BFLOAT16
from nestvec_schemas.spec.collection_spec import CollectionSpec, VectorSpec

_LITE: Final = {
    "FLOAT16_VECTOR": ("halfvec", "COSINE"),
    "BFLOAT16_VECTOR": (BFLOAT16, "COSINE"),
    "BINARY_VECTOR": ("bit", "L2"),
}
"""Vectors that Milvus Lite does not have: the SQL type that a FLOAT_VECTOR stores, and its metric.

The square of the Euclidean distance of vectors of zeros and ones is their Hamming distance.
"""


def type_properties(spec: CollectionSpec) -> dict[str, str]:
    """The properties of a collection that hold the SQL types of its columns."""
    named = {name: field.sql_type for name, field in spec.fields.items()}
    named |= {vector.name: vector.sql_type for vector in spec.vectors}
    return {type_property(name): sql_type for name, sql_type in named.items() if sql_type}


def lite_vectors(spec: CollectionSpec) -> CollectionSpec:
    """The spec with vectors of 32-bit floats in place of those that Milvus Lite does not have."""
    return spec.model_copy(update={"vectors": tuple(map(_lite_vector, spec.vectors))})


def not_null_vectors(spec: CollectionSpec) -> CollectionSpec:
    """The spec for a Milvus that has no NULL in any field."""
    vectors = (vector.model_copy(update={"nullable": False}) for vector in spec.vectors)
    return spec.model_copy(update={"vectors": tuple(vectors)})


def stored_vector(vector: VectorSpec, version: ServerVersion) -> VectorSpec:
    """The vector field as a Milvus of this version has it."""
    if version.lite:
        return _lite_vector(vector)
    return vector.model_copy(update={"nullable": False}) if version.before(HAS_NULL) else vector


def _lite_vector(vector: VectorSpec) -> VectorSpec:
    if vector.type not in _LITE:
        return vector
    name, metric = _LITE[vector.type]
    binary = vector.type == "BINARY_VECTOR"
    return vector.model_copy(
        update={
            "type": "FLOAT_VECTOR",
            "sql_type": vector.sql_type or f"{name}({vector.dim})",
            "index": "FLAT" if binary else vector.index,
            "metric": metric if binary else vector.metric,
        }
    )
