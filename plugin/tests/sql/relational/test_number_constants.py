"""NUMERICs are computed exactly, wherever they are: DuckDB would round them."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from nestvec.sql.result import StatementResult
from nestvec_schemas.errors import SqlError

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
    ("statement", "expected"),
    [
        ("SELECT 1 AS x FROM (VALUES (1)) AS v(n) WHERE n * 1e40 > 5", "1"),
        ("SELECT DISTINCT 1e40 * n AS x FROM (VALUES (2), (2)) AS v(n)", "2" + "0" * 40),
        ("SELECT sum(n * 1e40) AS x FROM (VALUES (2), (3)) AS v(n)", "5" + "0" * 40),
        ("SELECT n AS x FROM (VALUES (2), (1)) AS v(n) ORDER BY 1e-60 * n LIMIT 1", "1"),
        ("SELECT 1e40 AS x UNION SELECT 1e40", "1" + "0" * 40),
    ],
)
def test_a_number_of_any_length_is_computed_with(answer: Answer, statement: str, expected: str) -> None:
    assert [str(row[0]) for row in answer(statement).rows] == [expected]


def test_a_value_that_duckdb_has_no_digits_for_is_an_error_with_its_number(answer: Answer) -> None:
    with pytest.raises(SqlError, match=r"^1000000000000000000000\.0 is out of range .* 18 digits"):
        answer("SELECT width_bucket(1e20 * 10.0 / 1, 0, 10, 5) AS x")


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("x / 3 = 1.85", [1]),
        ("x / 3 BETWEEN 1.85 AND 2", [1]),
        ("x / 3 IN (1.85, 7)", [1]),
        ("x / 3 > 1.85", [2]),
        ("round(x / 7, 2) = 0.79", [1]),
        ("x / 3 = 3.3333333333333333", [2]),
        ("x / 3 * 3 = 10", []),
        ("x / 3 > (SELECT avg(x) / 3 FROM (VALUES (5.55)) AS w(x))", [2]),
        ("'-Infinity'::numeric < x", [1, 2]),
        ("x / 3.0::float8 > 3", [2]),
    ],
)
def test_a_computed_numeric_is_compared_exactly(answer: Answer, condition: str, expected: list[int]) -> None:
    rows = answer(f"SELECT id FROM (VALUES (1, 5.55), (2, 10.00)) AS v(id, x) WHERE {condition}").rows
    assert sorted(row[0] for row in rows) == expected


@pytest.mark.parametrize(
    ("condition", "error"),
    [
        ("x / k > 7.5 / k", "division by zero"),
        ("sqrt(x) > 1", "square root of a negative number"),
        ("sqrt(x) > sqrt(x + 1)", "square root of a negative number"),
        ("power(k, -2) > 1", "zero raised to a negative power"),
    ],
)
def test_a_comparison_by_doubles_has_the_errors_of_numerics(
    answer: Answer, condition: str, error: str
) -> None:
    with pytest.raises(SqlError, match=error):
        answer(f"SELECT k FROM (VALUES (-5.0, 0.0), (6.0, 1.0)) AS v(x, k) WHERE {condition}")


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT y FROM (SELECT x / 3 AS y FROM (VALUES (5.55)) AS v(x)) AS q", "1.8500000000000000"),
        ("SELECT x / 3 AS y FROM (VALUES (5.55), (5.55)) AS v(x) GROUP BY x / 3", "1.8500000000000000"),
        ("WITH q AS (SELECT avg(x) AS y FROM (VALUES (1), (2)) AS v(x)) SELECT y / 7 FROM q",
         "0.21428571428571428571"),
        ("SELECT sum(x / 3) FROM (VALUES (1.0), (1.0), (1.0)) AS v(x)", "0.99999999999999999999"),
        ("SELECT 5.55 / 3 UNION SELECT 1.85", "1.8500000000000000"),
        ("SELECT 1.85 UNION SELECT 5.55 / 3", "1.85"),
        ("SELECT DISTINCT x / 3 FROM (VALUES (5.55), (5.550)) AS v(x)", "1.8500000000000000"),
        ("SELECT x / 3 AS y FROM (VALUES (5.55)) AS v(x) GROUP BY CUBE (x / 3) ORDER BY 1 LIMIT 1",
         "1.8500000000000000"),
        ("SELECT stddev(x / 3) OVER () FROM (VALUES (5.55), (1.50)) AS v(x) LIMIT 1",
         "0.9545941546018391579411398888415462030345"),
        ("SELECT max(x) FROM (VALUES (1.5), (2.250), (1.7500)) AS v(x)", "2.250"),
        ("SELECT mode() WITHIN GROUP (ORDER BY x / 3) FROM (VALUES (5.55)) AS v(x)", "1.8500000000000000"),
        ("SELECT sum(x) / 3 FROM generate_series(1.0, 2.0, 0.25) AS x", "2.5000000000000000"),
        ("SELECT trim_scale(1.50) + gcd(7.5, 2.50)", "4.00"),
        ("SELECT max(x / 3) FROM (VALUES (5.55), (1)) AS v(x)", "1.8500000000000000"),
        ("SELECT y FROM (SELECT extract(second FROM time '00:00:01.25') AS y) AS q", "1.250000"),
    ],
)  # fmt: skip
def test_a_computed_numeric_keeps_its_digits(answer: Answer, statement: str, expected: str) -> None:
    assert [str(row[0]) for row in answer(statement).rows] == [expected]


@pytest.mark.parametrize(("literal", "type_"), [("1e20", "bigint"), ("1e10", "integer"), ("1e5", "smallint")])
def test_a_numeric_that_an_integer_does_not_hold(answer: Answer, literal: str, type_: str) -> None:
    with pytest.raises(SqlError, match=f"{type_} out of range"):
        answer(f"SELECT n, {literal}::{type_} AS x FROM t")
