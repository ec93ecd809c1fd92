"""Columns that a change adds: what is recorded of them, and what the rows get in them."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from pymilvus import DataType, MilvusClient

from nestvec.collections.change.definition import Change, read_change
from nestvec.collections.change.new_columns import NewColumn
from nestvec.collections.change.new_values import new_values
from nestvec_schemas.errors import StoreRefused
from nestvec_schemas.spec.collection_spec import FieldSpec, VectorSpec

PRICE = FieldSpec(type="VARCHAR", max_length=40, nullable=True, sql_type="numeric(10,2)")
VECTOR = VectorSpec(name="v", dim=3, nullable=True)


@pytest.mark.parametrize(
    "column",
    [
        NewColumn("price", PRICE, "1.50", "1 + 0.5"),
        NewColumn("price", PRICE),
        NewColumn("v", VECTOR, [1.0, 2.0, 0.1]),
        NewColumn("v", VectorSpec(name="v", type="SPARSE_FLOAT_VECTOR"), {1: 2.0, 70_000: -1.0}),
        NewColumn("v", VectorSpec(name="v", type="FLOAT16_VECTOR", dim=2), b"\x00\x3c\x00\x00"),
        NewColumn("meta", FieldSpec(type="JSON", nullable=True), {"a": [1, None, {"b": "ü"}]}),
        NewColumn("meta", FieldSpec(type="JSON", nullable=True), {}),
        NewColumn("id", FieldSpec(type="VARCHAR", max_length=36), None, "gen_random_uuid()", volatile=True),
    ],
)
def test_a_column_is_read_as_it_was_recorded(column: NewColumn) -> None:
    change = Change(drop=("w",), columns=(column,))
    assert read_change(change.identity()) == change


def test_a_journal_of_before_has_no_columns() -> None:
    change = Change(drop=("w",))
    assert "columns" not in change.identity()
    assert read_change(change.identity()) == change


def test_a_change_continues_with_the_values_that_it_had_when_it_began() -> None:
    begun = Change(columns=(NewColumn("price", PRICE, "1.50", "random_price()"),))
    again = Change(columns=(NewColumn("price", PRICE, "7.25", "random_price()"),))
    other = Change(columns=(NewColumn("price", PRICE, "1.50", "other_price()"),))
    assert again.as_begun(begun) is begun
    assert other.as_begun(begun) is other


def test_properties_say_what_milvus_cannot() -> None:
    price = NewColumn("price", PRICE, "1.50", "1 + 0.5")
    assert price.properties == {
        "nestvec.type.price": "numeric(10,2)",
        "nestvec.default.price": "1 + 0.5",
    }
    # The rows that there are have NULL: every reader is to look for it.
    assert NewColumn("v", VECTOR).properties == {"nestvec.nulls.v": "true"}
    assert NewColumn("v", VECTOR, [1.0, 0.0, 0.0]).properties == {}


def test_a_field_has_the_one_that_says_where_a_vector_is_null() -> None:
    schema = MilvusClient.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    for column in (NewColumn("price", PRICE), NewColumn("v", VECTOR)):
        column.add_to(schema)
    fields = {field.name: (field.dtype, field.nullable) for field in schema.fields}
    assert fields == {
        "id": (DataType.INT64, False),
        "price": (DataType.VARCHAR, True),
        "v": (DataType.FLOAT_VECTOR, False),
        "nestvec_null_v": (DataType.BOOL, True),
    }


def test_every_row_gets_the_value_or_one_of_its_own() -> None:
    columns = (NewColumn("price", PRICE, "1.50"), NewColumn("n", PRICE, None, "random()", volatile=True))
    rows: list[dict[str, Any]] = [{"id": 1}, {"id": 2}]
    filled = new_values(columns, {"n": count(5)}).of(rows)
    assert filled == ({"id": 1, "price": "1.50", "n": 5}, {"id": 2, "price": "1.50", "n": 6})
    assert rows == [{"id": 1}, {"id": 2}]


def test_a_column_whose_values_nobody_computes_is_refused() -> None:
    column = NewColumn("n", PRICE, None, "random()", volatile=True)
    with pytest.raises(StoreRefused, match=r"begun by an ALTER TABLE: n DEFAULT random\(\)"):
        new_values((column,), {})
