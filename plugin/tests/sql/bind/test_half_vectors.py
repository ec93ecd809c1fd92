"""Distances to columns of 16-bit floats: the vector is rounded as they are, and sent as pymilvus takes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pymilvus import DataType
from pymilvus.client.prepare import Prepare
from pymilvus.client.types import PlaceholderType
from pymilvus.grpc_gen import common_pb2

from nestvec.milvus.catalog import Column, Table, TypeParams
from nestvec.sql.bind.vectors.targets import sent_data
from nestvec.sql.plan.nodes import Plan, source_of
from nestvec_schemas.errors import SqlError

Planned = Callable[..., Plan]

TABLE = Table(
    "items",
    (
        Column("id", "INT64", primary=True),
        Column("half", "FLOAT16_VECTOR", type_params=TypeParams(dim=2, sql_type="halfvec(2)")),
        Column("brain", "BFLOAT16_VECTOR", type_params=TypeParams(dim=2, sql_type="bfloat16_vector(2)")),
        Column("lite", "FLOAT_VECTOR", type_params=TypeParams(dim=2, sql_type="halfvec(2)")),
        Column("v", "FLOAT_VECTOR", type_params=TypeParams(dim=2)),
    ),
    metrics=dict.fromkeys(("half", "brain", "lite", "v"), "L2"),
)


def target(planned: Planned, column: str, statement: str = "'[0.1,3]'", parameter: Any = None) -> Any:
    plan = planned(
        f"SELECT id FROM items ORDER BY {column} <-> {statement} LIMIT 3",
        None if parameter is None else {"q": parameter},
        TABLE,
    )
    return source_of(plan.node).nearest.target  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("column", "numbers"),
    [
        ("half", [0.0999755859375, 3.0]),
        ("lite", [0.0999755859375, 3.0]),
        ("brain", [0.10009765625, 3.0]),
        ("v", [0.1, 3.0]),
    ],
)
def test_a_vector_is_rounded_as_its_column_is(planned: Planned, column: str, numbers: list[float]) -> None:
    assert list(target(planned, column)) == numbers
    assert list(target(planned, column, ":q", [0.1, 3])) == numbers


@pytest.mark.parametrize(
    ("column", "type_", "placeholder"),
    [
        ("half", DataType.FLOAT16_VECTOR, PlaceholderType.FLOAT16_VECTOR),
        ("brain", DataType.BFLOAT16_VECTOR, PlaceholderType.BFLOAT16_VECTOR),
        ("lite", DataType.FLOAT_VECTOR, PlaceholderType.FloatVector),
    ],
)
def test_pymilvus_sends_a_vector_as_the_type_of_its_column(
    planned: Planned, column: str, type_: DataType, placeholder: Any
) -> None:
    data = sent_data(target(planned, column))
    sent = common_pb2.PlaceholderGroup.FromString(
        Prepare._prepare_placeholder_str([data], vector_data_type=type_)
    ).placeholders[0]
    assert sent.type == placeholder
    assert len(sent.values[0]) == 2 * (4 if column == "lite" else 2)
    if column == "half":
        assert np.frombuffer(sent.values[0], np.float16).tolist() == [0.0999755859375, 3.0]


def test_a_number_that_has_no_room_is_an_error_with_its_place(planned: Planned) -> None:
    with pytest.raises(SqlError, match="out of range for type halfvec") as caught:
        target(planned, "half", "'[70000,1]'")
    assert caught.value.position is not None
