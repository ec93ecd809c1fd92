import re
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pytest

from nestvec.sql.bind.params import bind_params
from nestvec.sql.parse.parse import parse
from nestvec.sql.relational.parameters import bind_parameters, check_in_lists
from nestvec_schemas.errors import SqlDataError, SqlError


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


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("a IN b", "IN needs a list in parentheses"),
        ("a IN ARRAY[1]", "IN needs a list in parentheses"),
        ("lower(a) NOT IN 'x'", "IN needs a list in parentheses"),
        ("abs(a) IN ()", "the list of IN is empty"),
        ("(abs(a) IN OR b)", "the list of IN is empty"),
        ("a IN :x", "IN needs a list: 5"),
    ],
)
def test_in_needs_a_list(condition: str, message: str) -> None:
    parsed = parse(f"SELECT {condition} FROM t")
    with pytest.raises(SqlError, match=re.escape(message)):
        check_in_lists(parsed.source, parsed.tree, bind_params({"x": 5}))


@pytest.mark.parametrize(
    "condition",
    ["a IN (1)", "a IN (VALUES (1))", "a IN (SELECT 1)", "a IN unnest(b)", "a IN :x", "a IN :none"],
)
def test_in_takes_lists_subqueries_and_parameters(condition: str) -> None:
    parsed = parse(f"SELECT {condition} FROM t")
    check_in_lists(parsed.source, parsed.tree, bind_params({"x": np.array([5]), "none": None}))
