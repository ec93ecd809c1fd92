from datetime import UTC, datetime
from decimal import Decimal

import pytest

from nestvec.sql.bind.params import bind_params
from nestvec.sql.parse.parse import parse
from nestvec.sql.relational.parameters import bind_parameters
from nestvec_schemas.errors import SqlDataError


def bound(value: object) -> str:
    parsed = parse("SELECT :x AS x")
    return bind_parameters(parsed.source, parsed.tree.copy(), bind_params({"x": value})).sql("duckdb")


@pytest.mark.parametrize(
    ("value", "type_"),
    [(Decimal("1.2345678901234"), "DECIMAL(18, 13)"), (Decimal("1e5"), "DECIMAL(18, 0)")],
)
def test_a_number_keeps_all_its_digits(value: Decimal, type_: str) -> None:
    assert bound(value) == f"SELECT CAST('{value:f}' AS {type_}) AS x"


def test_a_number_of_more_digits_than_duckdb_has_is_an_error() -> None:
    with pytest.raises(SqlDataError, match="more than 38 digits"):
        bound(Decimal("1" * 39))


def test_a_time_with_a_zone_keeps_it() -> None:
    assert "+00:00' AS TIMESTAMPTZ" in bound(datetime(2024, 1, 1, tzinfo=UTC))
