"""Numbers of many digits are computed exactly, or refused by name: DuckDB would round them."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal

import pytest

from nestvec.sql.result import StatementResult
from nestvec_schemas.errors import SqlError, SqlNotSupported

Answer = Callable[..., StatementResult]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("3 * 1e40", "3" + "0" * 40),
        ("123456789012345678901234567890123456789012 + 1", "123456789012345678901234567890123456789013"),
        ("1e20 + 1", "100000000000000000001"),
        ("ceil(99999999999999999999)", "99999999999999999999"),
        ("'1e40'::numeric", "1" + "0" * 40),
        ("1.0 / 3", "0.33333333333333333333"),
        ("coalesce(NULL, 1.50)", "1.50"),
        ("sqrt(2.0)", "1.414213562373095"),
        ("-9223372036854775809", "-9223372036854775809"),
    ],
)
def test_a_computed_numeric_has_all_digits(answer: Answer, expression: str, expected: str) -> None:
    assert str(answer(f"SELECT {expression} AS x").rows[0][0]) == expected
    ordered = answer(f"SELECT {expression} AS x FROM t ORDER BY n")
    assert {str(row[0]) for row in ordered.rows} == {expected}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("n < 1e40", True),
        ("n BETWEEN -1e40 AND 1e45", True),
        ("real < 1e300", True),
        ("1e300::float8", 1e300),
        ("-9223372036854775808", -(1 << 63)),
        ("(-2147483648) << 2", 0),
        ("n + NULL", None),
        ("NULL::int / (n - n)", None),
    ],
)
def test_a_constant_beside_others(answer: Answer, expression: str, expected: object) -> None:
    assert {row[0] for row in answer(f"SELECT {expression} AS x FROM t WHERE n IS NOT NULL").rows} == {
        expected
    }


def test_a_numeric_keeps_its_type_in_order_by_and_where(answer: Answer) -> None:
    rows = answer("SELECT x / 3 AS y FROM (VALUES (2.0), (1.0)) AS v(x) WHERE x / 3 > 0.5 ORDER BY y").rows
    assert rows == ((Decimal("0.66666666666666666667"),),)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT n FROM t WHERE n * 1e40 > 5",
        "SELECT DISTINCT 1e40 * n AS x FROM t",
        "SELECT sum(n * 1e40) AS x FROM t",
        "SELECT n FROM t ORDER BY 1e-60 * n",
        "SELECT 1e40 AS x UNION SELECT 2",
    ],
)
def test_what_would_be_rounded_is_refused_with_its_number(answer: Answer, statement: str) -> None:
    with pytest.raises(
        SqlNotSupported, match=r"more than 38 digits is not supported here: 1e-?\d0"
    ) as caught:
        answer(statement)
    assert re.search(r" 1e-?\d0::float8,", str(caught.value))


def test_the_cast_that_is_proposed_has_all_digits_of_the_number(answer: Answer) -> None:
    number = "1234567890" * 5
    with pytest.raises(SqlNotSupported, match=f" {number}::float8,"):
        answer(f"SELECT n FROM t ORDER BY n * {number}")
    with pytest.raises(SqlNotSupported, match=r" (1234567890){6}…::float8,"):
        answer(f"SELECT n FROM t ORDER BY n * {number}{number}")


@pytest.mark.parametrize(("literal", "type_"), [("1e20", "bigint"), ("1e10", "integer"), ("1e5", "smallint")])
def test_a_numeric_that_an_integer_does_not_hold(answer: Answer, literal: str, type_: str) -> None:
    with pytest.raises(SqlError, match=f"{type_} out of range"):
        answer(f"SELECT n, {literal}::{type_} AS x FROM t")
