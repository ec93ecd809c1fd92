"""Rows with NULL in vector columns, as they are stored and read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymilvus import DataType

from nestvec.milvus.null_vectors.rows import (
    columns_with_null,
    flags_to_read,
    nullable_vectors,
    stored_rows,
    with_nulls,
)


def described(*, nulls: bool = False, kind: DataType = DataType.FLOAT_VECTOR, dim: int = 3) -> dict[str, Any]:
    """A collection with a vector that may be NULL, and one that may not."""
    return {
        "collection_name": "items",
        "fields": [
            {"name": "id", "type": DataType.INT64},
            {"name": "v", "type": kind, "params": {"dim": dim}},
            {"name": "nestvec_null_v", "type": DataType.BOOL, "nullable": True},
            {"name": "w", "type": DataType.FLOAT_VECTOR, "params": {"dim": 2}},
        ],
        "properties": {"nestvec.nulls.v": "true"} if nulls else {},
    }


def test_only_a_column_with_a_flag_may_be_null() -> None:
    (vector,) = nullable_vectors(described())
    assert (vector.column, vector.flag, vector.has_nulls) == ("v", "nestvec_null_v", False)
    (vector,) = nullable_vectors(described(nulls=True))
    assert vector.has_nulls


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        (DataType.FLOAT_VECTOR, 16),
        (DataType.FLOAT16_VECTOR, 32),
        (DataType.BFLOAT16_VECTOR, 32),
        (DataType.BINARY_VECTOR, 2),
        (DataType.INT8_VECTOR, 16),
        (DataType.SPARSE_FLOAT_VECTOR, 1),
    ],
)
def test_a_null_is_stored_as_a_vector_of_the_columns_length(kind: DataType, size: int) -> None:
    (vector,) = nullable_vectors(described(kind=kind, dim=16))
    assert len(vector.placeholder) == size


def test_a_row_without_a_vector_is_flagged_and_another_is_not() -> None:
    columns = nullable_vectors(described())
    rows = [{"id": 1, "v": None}, {"id": 2}, {"id": 3, "v": [1, 2, 3]}]
    stored = stored_rows(columns, rows, partial=False)
    assert [row["nestvec_null_v"] for row in stored] == [True, True, None]
    assert stored[2]["v"] == [1, 2, 3]


def test_a_partial_row_keeps_the_vector_that_it_does_not_name() -> None:
    columns = nullable_vectors(described())
    rows = [{"id": 1}, {"id": 2, "v": None}, {"id": 3, "v": [1, 2, 3]}]
    stored = stored_rows(columns, rows, partial=True)
    assert stored[0] == {"id": 1}
    assert stored[1]["nestvec_null_v"] is True
    assert stored[2]["nestvec_null_v"] is None
    assert columns_with_null(columns, rows[::2], partial=True) == []
    assert columns_with_null(columns, rows, partial=True) == [*columns]


def test_flags_are_read_only_where_a_row_may_have_a_null() -> None:
    assert flags_to_read(nullable_vectors(described()), ["v"]) == []
    columns = nullable_vectors(described(nulls=True))
    assert flags_to_read(columns, ["id", "w"]) == []
    assert flags_to_read(columns, ["count(*)"]) == []
    assert flags_to_read(columns, None) == []
    assert flags_to_read(columns, ["id", "v"]) == flags_to_read(columns, ["*"]) == [*columns]


@given(
    st.lists(
        st.one_of(st.none(), st.lists(st.floats(width=32, allow_nan=False), min_size=3, max_size=3)),
        max_size=8,
    )
)
def test_what_is_stored_is_read(vectors: list[list[float] | None]) -> None:
    columns = nullable_vectors(described(nulls=True))
    rows = [{"id": at, "v": vector} for at, vector in enumerate(vectors)]
    read = [with_nulls(columns, row) for row in stored_rows(columns, rows, partial=False)]
    assert read == rows
