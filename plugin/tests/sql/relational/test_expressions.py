"""Expressions: their values as PostgreSQL has them, their types and names, and where they fail."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pymilvus import MilvusClient

from nestvec.milvus.steps import drive
from nestvec.sql import Session, StatementResult
from nestvec.sql.statements import execute_steps
from nestvec_schemas.errors import SqlError, SqlNotSupported, SqlTypeMismatch

Answer = Callable[..., StatementResult]


def asked(statement: str, values: Any = None) -> StatementResult:
    """The answer to a SELECT without FROM, for which Milvus has no work."""
    return drive(cast(MilvusClient, None), execute_steps(Session(), statement, values))


# What PostgreSQL 16 answers; numbers with a fraction are doubles where no type NUMERIC is named.
CONSTANTS: list[tuple[str, Any]] = [
    ("7 / 2", 3),
    ("-7 / 2", -3),
    ("7 % -3", 1),
    ("-7 % 3", -1),
    ("mod(-7, 3)", -1),
    ("div(-7, 2)", Decimal("-3.0")),
    ("7 / 2.0", Decimal("3.5")),
    ("2 + 3 * 4 - -1", 15),
    ("2 ^ 3 ^ 2", 64.0),
    ("9223372036854775807 - 1", 9223372036854775806),
    ("round(2.5)", Decimal("3.0")),
    ("round(-3.5)", Decimal("-4.0")),
    ("round(1.005, 2)", Decimal("1.01")),
    ("round(-2.665, 2)", Decimal("-2.67")),
    ("round(1250, -2)", Decimal("1300")),
    ("trunc(-2.79, 1)", Decimal("-2.7")),
    ("trunc(-2.79)", Decimal("-2.0")),
    ("floor(-0.5)", Decimal("-1.0")),
    ("ceiling(-0.5)", Decimal("0.0")),
    ("abs(-3)", 3),
    ("sign(-0.1)", Decimal("-1")),
    ("sqrt(2.25)", Decimal("1.5")),
    ("power(4, -0.5)", Decimal("0.5")),
    ("ln(exp(2))", 2.0),
    ("log(1000)", 3.0),
    ("log(2, 8)", Decimal("3.0")),
    ("'a' || 1 || TRUE || NULL", None),
    ("'a' || 1 || TRUE || 0.5", "a1true0.5"),
    ("concat('a', NULL, 1, TRUE, 0.5)", "a1t0.5"),
    ("concat_ws('-', 'a', NULL, 2)", "a-2"),
    ("lower('ÀB') || upper('é')", "àbÉ"),
    ("length('héé')", 3),
    ("char_length('𝄞')", 1),
    ("reverse('abc')", "cba"),
    ("substring('abcdef', 3)", "cdef"),
    ("substring('abcdef', -1, 4)", "ab"),
    ("substr('abcdef', 9)", ""),
    ("substring('abcdef' FROM 2 FOR 3)", "bcd"),
    ("left('abc', -1) || right('abc', -1)", "abbc"),
    ("left('abc', 9) || right('abc', 9) || right('abc', 0)", "abcabc"),
    ("trim('  a ') || '|'", "a|"),
    ("trim(BOTH 'xy' FROM 'xyaxy')", "a"),
    ("ltrim('xxa', 'x') || rtrim('axx', 'x')", "aa"),
    ("trim(LEADING FROM ' a ') || '|'", "a |"),
    ("trim('\ta')", "\ta"),
    ("replace('aXbX', 'X', '')", "ab"),
    ("replace('ab', '', 'x')", "ab"),
    ("position('c' IN 'abc') + strpos('abc', 'd')", 3),
    ("strpos('abc', '')", 1),
    ("split_part('a,b,c', ',', 2)", "b"),
    ("split_part('a,b,c', ',', -1)", "c"),
    ("split_part('a,b,c', ',', 4)", ""),
    ("split_part('abc', '', 1)", "abc"),
    ("starts_with('abc', 'ab')", True),
    ("'abc' LIKE 'a_c' AND NOT 'abc' LIKE 'a_' AND 'a%' LIKE 'a\\%'", True),
    ("'ABC' ILIKE '%b%'", True),
    ("NULL AND FALSE", False),
    ("NULL OR TRUE", True),
    ("NULL AND TRUE", None),
    ("NOT NULL::boolean", None),
    ("1 IN (2, NULL)", None),
    ("1 IN (1, NULL)", True),
    ("1 NOT IN (2, NULL)", None),
    ("2 BETWEEN 1 AND NULL", None),
    ("0 BETWEEN 1 AND NULL", False),
    ("NULL IS DISTINCT FROM 1", True),
    ("NULL IS NOT DISTINCT FROM NULL", True),
    ("NULL::boolean IS NOT TRUE", True),
    ("(1 = NULL) IS NULL", True),
    ("CASE 2 WHEN 1 THEN 'a' WHEN 2 THEN 'b' END", "b"),
    ("CASE WHEN NULL THEN 1 END", None),
    ("CASE WHEN FALSE THEN 1 / 0 ELSE 2 END", 2),
    ("coalesce(NULL, 1, 1 / 0)", 1),
    ("coalesce(1, 0.5) / 2", Decimal("0.5")),
    ("nullif(1, 1)", None),
    ("nullif(1, 2)", 1),
    ("greatest(1, NULL, 2.5)", Decimal("2.5")),
    ("least(NULL::int, NULL)", None),
    ("'12'::int + ' -3 '::bigint", 9),
    ("2.5::int + 3.5::int", 7),
    ("'1e3'::float", 1000.0),
    ("0.1::real", 0.10000000149011612),
    ("TRUE::int", 1),
    ("'yes'::boolean AND NOT 'off'::boolean AND 3::boolean", True),
    ("1::text || 1.0::text || 0.1::text || TRUE::text", "11.00.1true"),
    ("1e15::float::text", "1e+15"),
    ("1e14::float::text", "100000000000000"),
    ("1e-5::text", "0.00001"),
    ("0.0001::text", "0.0001"),
    ("(-0.5)::text", "-0.5"),
    ("cast('abcdef' AS varchar(3))", "abc"),
    ("1 = 1.0", True),
    ("9223372036854775807 = 9223372036854775807::float", True),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "expected"), CONSTANTS, ids=[one for one, _ in CONSTANTS])
def test_constants(expression: str, expected: Any) -> None:
    found = asked(f"SELECT {expression} AS x").rows[0][0]
    assert type(found) is type(expected)
    assert found == (pytest.approx(expected) if isinstance(expected, float) else expected)


COLUMNS: list[tuple[str, Any]] = [
    ("real::text || '|' || real", "0.1|0.1"),
    ("wide::int", -2),
    ("n + small", None),
    ("name || none", None),
    ("split_part(name, ', ', 2)", "déf"),
    ("tags[1] || tags[2]", "xy"),
    ("tags[0]", None),
    ("tags[3]", None),
    ("tags[n - 5]", "y"),
    ("cardinality(tags) + cardinality(empty)", 2),
    ("array_length(tags, 1)", 2),
    ("array_length(empty, 1)", None),
    ("array_length(tags, 2)", None),
    ("meta -> 'a'", [1, {"z": None, "é": "ü"}]),
    ("meta -> 'a' -> 0", 1),
    ("meta -> 'a' -> -1 ->> 'é'", "ü"),
    ("meta -> 'a' -> 5", None),
    ("meta -> 'nope' ->> 'x'", None),
    ("meta ->> 'a'", '[1, {"z": null, "é": "ü"}]'),
    ("meta ->> 'k'", "1.0"),
    ("meta ->> 'b'", "true"),
    ("(meta ->> 's')::int + (meta -> 'k')::int", 13),
    ("meta #>> '{o,a}'", "A"),
    ("meta #> '{a,1}'", {"z": None, "é": "ü"}),
    ("meta #>> '{a,-1,é}'", "ü"),
    ("(meta -> 'a' -> 1 ->> 'z') IS NULL", True),
    ("l2_norm(v)", 5.0),
    ("vector_dims(v)", 2),
    ("subvector(v, 2, 1)", [4.0]),
    ("subvector(v, 2, 1)::text || l2_normalize(v)::text", "[4][0.6,0.8]"),
    ("v::text", "[3,4]"),
    ("yes AND n = 7", True),
    ("CASE WHEN yes THEN name END", "Ábc, déf"),
]


@pytest.mark.parametrize(("expression", "expected"), COLUMNS, ids=[one for one, _ in COLUMNS])
def test_columns(answer: Answer, expression: str, expected: Any) -> None:
    assert answer(f"SELECT {expression} AS x FROM t").rows == ((expected,),)


TYPES = [
    ("n", "INT64"),
    ("small", "INT16"),
    ("small + 1", "INT32"),
    ("real", "FLOAT"),
    ("real * 2", "DOUBLE"),
    ("n / 2.0", "DECIMAL"),
    ("floor(n)", "DOUBLE"),
    ("n::smallint", "INT16"),
    ("coalesce(small, n)", "INT64"),
    ("CASE WHEN yes THEN n ELSE wide END", "DOUBLE"),
    ("name || n", "VARCHAR"),
    ("n > 1", "BOOL"),
    ("tags", "ARRAY"),
    ("tags[1]", "VARCHAR"),
    ("empty[1]", "INT32"),
    ("meta -> 'a'", "JSON"),
    ("meta ->> 'a'", "VARCHAR"),
    ("subvector(v, 1, 1)", "FLOAT_VECTOR"),
    ("count(*)", "INT64"),
    ("sum(small)", "INT64"),
    ("avg(small)", "DECIMAL"),
    ("min(real)", "FLOAT"),
]


@pytest.mark.parametrize(("expression", "expected"), TYPES)
def test_types(answer: Answer, expression: str, expected: str) -> None:
    assert answer(f"SELECT {expression} AS x FROM t").types == (expected,)


NAMES = [
    ("1", "?column?"),
    ("'a' || 'b'", "?column?"),
    ("TRUE", "?column?"),
    ("TRUE::text", "text"),
    ("ARRAY[n]", "array"),
    ("EXISTS (SELECT 1)", "exists"),
    ("interval '1 week'", "interval"),
    ("now() AT TIME ZONE 'UTC'", "timezone"),
    ("(t).n", "n"),
    ("(t).n + 1", "?column?"),
    ("n", "n"),
    ("(N)", "n"),
    ("n + 1", "?column?"),
    ("- n", "?column?"),
    ("n::text", "n"),
    ("'1'::int", "int4"),
    ("CAST(1 AS double precision)", "float8"),
    ("Lower(name)", "lower"),
    ("substr(name, 1)", "substr"),
    ("char_length(name)", "char_length"),
    ("trim(name)", "btrim"),
    ("ceiling(n)", "ceiling"),
    ("mod(n, 2)", "mod"),
    ("n % 2", "?column?"),
    ("COALESCE(n, 1)", "coalesce"),
    ("CASE WHEN yes THEN 1 END", "case"),
    ("CASE WHEN yes THEN 1 ELSE n END", "n"),
    ("tags[1]", "tags"),
    ("meta ->> 'a'", "?column?"),
    ("count(*)", "count"),
    ("l2_norm(v)", "l2_norm"),
]


@pytest.mark.parametrize(("expression", "expected"), NAMES)
def test_names(answer: Answer, expression: str, expected: str) -> None:
    assert answer(f"SELECT {expression} FROM t").columns == (expected,)


def test_several_columns_may_have_the_same_name() -> None:
    assert asked('SELECT 1, 2, 3 AS "?column?_2", 4 AS a, 5 AS a').columns == (
        "?column?",
        "?column?",
        "?column?_2",
        "a",
        "a",
    )


FAILING = [
    ("division by zero", "SELECT 2 + ‸1 / 0"),
    ("division by zero", "SELECT ‸1.5 % (1 - 1)"),
    ("bigint out of range", "SELECT ‸9223372036854775807 + 1"),
    ("bigint out of range", "SELECT (‸1e20)::bigint"),
    ("integer out of range", "SELECT ‸2147483648::int"),
    ("smallint out of range", "SELECT ‸40000::smallint"),
    ("value out of range: overflow", "SELECT ‸exp(1000)"),
    ("value out of range: overflow", "SELECT ‸power(10, 400)"),
    ("zero raised to a negative power", "SELECT ‸power(0, -1)"),
    ("no fractional power", "SELECT ‸power(-8, 0.5)"),
    ("square root of a negative number", "SELECT ‸sqrt(-1)"),
    ("logarithm of zero", "SELECT ‸ln(0)"),
    ("logarithm of a negative number", "SELECT ‸log(-1)"),
    ("invalid input syntax for type integer: '1.5'", "SELECT ‸'1.5'::int"),
    ("invalid input syntax for type integer: '1_0'", "SELECT ‸'1_0'::int"),
    ("invalid input syntax for type boolean: 'maybe'", "SELECT ‸'maybe'::boolean"),
    ("negative length", "SELECT ‸substring('abc', 1, -1)"),
    ("fields are counted from 1", "SELECT ‸split_part('a', ',', 0)"),
    ("must not end with escape character", "SELECT ‸'abc' LIKE 'a\\'"),
    ("invalid input syntax for type integer: 'a'", "SELECT 1 + ‸'a'"),
    ("+ takes a number, not VARCHAR. Add a cast", "SELECT 1 + ‸lower('a')"),
    ("lower takes a string, not INT", "SELECT lower(‸1)"),
    ("WHEN takes a boolean", "SELECT CASE WHEN ‸1 THEN 1 END"),
    ("AND takes a boolean", "SELECT TRUE AND ‸1"),
    ("invalid input syntax for type integer: 'a'", "SELECT 1 IN (2, ‸'a')"),
    ("|| concatenates strings", "SELECT ‸1 || 2"),
    ("cannot be cast to boolean. Write <> 0.", "SELECT ‸0.5::boolean"),
    ("a number is not compared with a boolean. Cast one.", "SELECT 1 = ‸TRUE"),
    ("a string is not compared with a number. Cast one.", "SELECT ‸lower('1') = 1"),
    ("l2_norm() does not take these arguments", "SELECT ‸l2_norm('a', 1)"),
    ("abs does not take (STRING_LITERAL). Cast the operands", "SELECT ‸abs('a')"),
    ("there is no such column: nope", "SELECT 1 + ‸nope"),
    ("the function nope()", "SELECT ‸nope(1)"),
    (
        "lenght() does not exist. Use a function of PostgreSQL or pgvector. Did you mean 'length'?",
        "SELECT ‸lenght('a')",
    ),
    ("* needs a table", "SELECT ‸*"),
    ("the number is out of range", "SELECT ‸1" + "0" * 320),
]


@pytest.mark.parametrize(("message", "marked"), FAILING, ids=[one[:60] for _, one in FAILING])
def test_what_has_no_value_is_marked(message: str, marked: str) -> None:
    with pytest.raises(SqlError) as caught:
        asked(marked.replace("‸", ""))
    assert message in str(caught.value)
    assert caught.value.next_step
    assert caught.value.position == marked.index("‸")


OF_ROWS = [
    ("column name is neither in GROUP BY nor in an aggregate", "SELECT ‸name, count(*) FROM t"),
    ("column n is neither in GROUP BY nor in an aggregate", "SELECT ‸n FROM t HAVING n > 1"),
    (
        "column n is neither in GROUP BY",
        "SELECT count(*) FROM t GROUP BY name ORDER BY ‸n",
    ),
    ("SUM() takes a number", "SELECT sum(‸name) FROM t"),
    ("HAVING takes a boolean", "SELECT count(*) FROM t HAVING ‸count(*)"),
    ("expressions must be in the select list", "SELECT DISTINCT n FROM t ORDER BY ‸name"),
    ("there is no such column: nmae", "SELECT upper(‸nmae) FROM t"),
    ("+ takes a number, not TEXT. Add a cast", "SELECT 1 + ‸name FROM t"),
]


@pytest.mark.parametrize(("message", "marked"), OF_ROWS, ids=[one for _, one in OF_ROWS])
def test_what_does_not_fit_the_rows_is_marked(answer: Answer, message: str, marked: str) -> None:
    with pytest.raises(SqlError) as caught:
        answer(marked.replace("‸", ""))
    assert message in str(caught.value)
    assert caught.value.position == marked.index("‸")


def test_parameters_are_values() -> None:
    found = asked(
        "SELECT :n + 1, :t || '!', :none, :yes AND TRUE", {"n": 1, "t": "'; --", "none": None, "yes": True}
    )
    assert found.rows == ((2, "'; --!", None, True),)
    assert asked("SELECT $2, $1", [1, 2.5]).rows == ((2.5, 1),)
    assert asked("SELECT $1 LIMIT $2", [1, 0]).rows == ()
    assert asked("SELECT 1 LIMIT $1::int OFFSET $1 - 1", [1]).rows == ((1,),)
    assert asked("SELECT 1 LIMIT 3 - 1 * 3").rows == asked("SELECT 1 LIMIT abs(0)").rows == ()
    with pytest.raises(SqlError, match="invalid input syntax for type integer: 'x'"):
        asked("SELECT $1 + 1", ["x"])
    with pytest.raises(SqlTypeMismatch, match="LIMIT must not be negative: -1"):
        asked("SELECT 1 LIMIT $1", [-1])


def test_a_numeric_stays_one() -> None:
    assert asked("SELECT 1.10::numeric(10, 2) * 3, round(2.5::numeric)").rows == ((Decimal("3.30"), 3),)
    assert asked("SELECT 0.1 + 0.2 = 0.3").rows == ((True,),)


def test_an_integer_does_not_overflow_silently() -> None:
    with pytest.raises(SqlError, match="integer out of range"):
        asked("SELECT 2147483647::int + 1")


def test_long_expressions_run_and_deep_ones_are_refused() -> None:
    assert asked("SELECT " + " || ".join(["'a'"] * 900)).rows[0][0] == "a" * 900
    assert asked("SELECT " + " AND ".join(["TRUE"] * 900)).rows == ((True,),)
    assert asked("SELECT " + " + ".join(["1"] * 100)).rows == ((100,),)
    with pytest.raises(SqlError, match="nested more than 100 levels deep"):
        asked("SELECT " + " + ".join(["1"] * 200))


@settings(max_examples=30, deadline=None)
@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**31), 2**31).filter(bool))
@example(-(2**63), 3)
def test_integer_division_truncates_towards_zero(left: int, right: int) -> None:
    if (left, right) == (-(2**63), -1):
        return
    quotient, rest = asked("SELECT $1 / $2, $1 % $2", [left, right]).rows[0]
    assert quotient * right + rest == left
    assert abs(rest) < abs(right)
    assert rest == 0 or (rest < 0) == (left < 0)


@settings(max_examples=30, deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_as_text_is_the_same_number(number: float) -> None:
    text = asked("SELECT $1::text", [number]).rows[0][0]
    assert float(text) == number
    assert len(text) <= 24
    assert asked("SELECT $1::text::float", [number]).rows[0][0] == number


def test_a_result_that_does_not_fit_into_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nestvec.sql.relational.output.MAX_RESULT_VALUES", 20_000)
    with pytest.raises(SqlNotSupported, match="more than 10,000 rows"):
        asked("SELECT a, a FROM generate_series(1, 1000000000000) AS s(a)")
    with pytest.raises(SqlError, match="more than 10,000,000 values"):
        asked("SELECT generate_series(1, 1000000000000)")
