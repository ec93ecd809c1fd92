"""What stores the vectors of a spec where a Milvus lacks their type, or NULL."""

from __future__ import annotations

from nestvec.collections.sql_types import lite_vectors, not_null_vectors
from nestvec_schemas.spec.yaml_file import parse_spec

SPEC = parse_spec(
    """
    collection: items
    fields: {id: {type: INT64, primary: true}}
    vectors: [{name: v, dim: 4, nullable: true, type: FLOAT16_VECTOR}, {name: w, dim: 8, type: BINARY_VECTOR}]
    """,
    path="spec",
)


def test_milvus_lite_stores_them_in_32_bits() -> None:
    half, bits = lite_vectors(SPEC).vectors
    assert (half.type, half.sql_type, half.nullable) == ("FLOAT_VECTOR", "halfvec(4)", True)
    assert (bits.type, bits.sql_type, bits.metric) == ("FLOAT_VECTOR", "bit(8)", "L2")


def test_a_milvus_without_null_stores_none() -> None:
    assert [vector.nullable for vector in not_null_vectors(SPEC).vectors] == [False, False]
