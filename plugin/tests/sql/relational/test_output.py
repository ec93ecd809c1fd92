from datetime import UTC, datetime
from decimal import Decimal

import pytest

from nestvec.sql.relational.engine import open_engine
from nestvec.sql.relational.output import read_result
from nestvec.sql.relational.relations import OutputTypes, RelationalPlan


def test_a_time_with_a_zone_is_in_utc_as_without_duckdb() -> None:
    moment = "TIMESTAMPTZ '2024-01-01 01:00:00+01'"
    plan = RelationalPlan(sql=f"SELECT {moment} AS at UNION ALL SELECT NULL", columns=("at",), relations=())
    with open_engine() as connection:
        result = read_result(connection, plan, {})
    assert result.types == ("TIMESTAMPTZ",)
    assert result.rows == ((datetime(2024, 1, 1, tzinfo=UTC),), (None,))
    assert result.rows[0][0].tzinfo is UTC


@pytest.mark.parametrize(("decimals", "number"), [(False, 1.5), (True, Decimal("1.5"))])
def test_numbers_of_an_array_are_those_of_a_column(decimals: bool, number: float | Decimal) -> None:
    sql = "SELECT [1.5, NULL], [[1.5]], 1.5"
    plan = RelationalPlan(sql=sql, columns=("a", "b", "c"), relations=(), output=OutputTypes(decimals))
    with open_engine() as connection:
        result = read_result(connection, plan, {})
    assert result.types[:2] == ("ARRAY", "ARRAY")
    assert result.rows == (([number, None], [[number]], number),)
    assert {type(result.rows[0][2]), type(result.rows[0][0][0])} == {type(number)}
