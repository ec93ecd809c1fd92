"""Expressions: their values as PostgreSQL has them, their types and names, and where they fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
from pymilvus import MilvusClient

from nestvec.milvus.catalog import Column, Table, TypeParams
from nestvec.milvus.steps import drive
from nestvec.sql import Session, StatementResult
from nestvec.sql.execute.evaluate import ScoredRow, evaluate
from nestvec.sql.plan.nodes import Plan
from nestvec.sql.statements import execute_steps
from nestvec_schemas.errors import SqlError, SqlTypeMismatch

Planned = Callable[..., Plan]

ROW = {
    "n": 7,
    "small": None,
    "real": 0.10000000149011612,
    "wide": -2.5,
    "name": "Ábc, déf",
    "none": None,
    "yes": True,
    "tags": ["x", "y"],
    "empty": [],
    "meta": {"a": [1, {"z": None, "é": "ü"}], "k": 1.0, "s": "12", "b": True, "o": {"a": "A"}},
    "v": [3.0, 4.0],
}
TABLE = Table(
    "t",
    (
        Column("n", "INT64", primary=True),
        Column("small", "INT16", nullable=True),
        Column("real", "FLOAT"),
        Column("wide", "DOUBLE"),
        Column("name", "VARCHAR"),
        Column("none", "VARCHAR", nullable=True),
        Column("yes", "BOOL"),
        Column("tags", "ARRAY", type_params=TypeParams(element_type="VARCHAR")),
        Column("empty", "ARRAY", type_params=TypeParams(element_type="INT32")),
        Column("meta", "JSON"),
        Column("v", "FLOAT_VECTOR", type_params=TypeParams(dim=2)),
    ),
)


def asked(statement: str, values: Any = None) -> StatementResult:
    """The answer to a SELECT without FROM, for which nobody is asked."""
    return drive(cast(MilvusClient, None), execute_steps(Session(), statement, values))


@pytest.fixture
def value(planned: Planned) -> Callable[[str], Any]:
    """What an expression gives for ROW."""

    def found(expression: str) -> Any:
        output = planned(f"SELECT {expression} AS x FROM t", over=TABLE).outputs[0]
        return evaluate(output.expression, ScoredRow(ROW))

    return found


# What PostgreSQL 16 answers, numeric taken for double precision.
CONSTANTS: list[tuple[str, Any]] = [
    ("7 / 2", 3),
    ("-7 / 2", -3),
    ("7 % -3", 1),
    ("-7 % 3", -1),
    ("mod(-7, 3)", -1),
    ("div(-7, 2)", -3.0),
    ("7 / 2.0", 3.5),
    ("2 + 3 * 4 - -1", 15),
    ("2 ^ 3 ^ 2", 64.0),
    ("9223372036854775807 - 1", 9223372036854775806),
    ("round(2.5)", 2.0),
    ("round(-3.5)", -4.0),
    ("round(1.005, 2)", 1.01),
    ("round(-2.665, 2)", -2.67),
    ("round(1250, -2)", 1300.0),
    ("trunc(-2.79, 1)", -2.7),
    ("trunc(-2.79)", -2.0),
    ("floor(-0.5)", -1.0),
    ("ceiling(-0.5)", 0.0),
    ("abs(-3)", 3),
    ("sign(-0.1)", -1.0),
    ("sqrt(2.25)", 1.5),
    ("power(4, -0.5)", 0.5),
    ("ln(exp(2))", 2.0),
    ("log(1000)", 3.0),
    ("log(2, 8)", 3.0),
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
    ("coalesce(1, 0.5) / 2", 0.5),
    ("nullif(1, 1)", None),
    ("nullif(1, 2)", 1),
    ("greatest(1, NULL, 2.5)", 2.5),
    ("least(NULL::int, NULL)", None),
    ("'12'::int + ' -3 '::bigint", 9),
    ("2.5::int + 3.5::int", 6),
    ("'1e3'::float", 1000.0),
    ("0.1::real", 0.10000000149011612),
    ("TRUE::int", 1),
    ("'yes'::boolean AND NOT 'off'::boolean AND 3::boolean", True),
    ("1::text || 1.0::text || 0.1::text || TRUE::text", "110.1true"),
    ("1e15::text", "1e+15"),
    ("1e14::text", "100000000000000"),
    ("1e-5::text", "1e-05"),
    ("0.0001::text", "0.0001"),
    ("(-0.5)::text", "-0.5"),
    ("cast('abcdef' AS varchar(3))", "abc"),
    ("1 = 1.0", True),
    ("9223372036854775807 = 9223372036854775807::float", False),
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
    ("v::text", "[3,4]"),
    ("yes AND n = 7", True),
    ("CASE WHEN yes THEN name END", "Ábc, déf"),
]


@pytest.mark.parametrize(("expression", "expected"), COLUMNS, ids=[one for one, _ in COLUMNS])
def test_columns(value: Callable[[str], Any], expression: str, expected: Any) -> None:
    assert value(expression) == expected


TYPES = [
    ("n", "INT64"),
    ("small", "INT16"),
    ("small + 1", "INT64"),
    ("real", "FLOAT"),
    ("real * 2", "DOUBLE"),
    ("n / 2.0", "DOUBLE"),
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
    ("NULL", "ANY"),
    ("count(*)", "INT64"),
    ("sum(small)", "INT64"),
    ("avg(small)", "DOUBLE"),
    ("min(real)", "FLOAT"),
]


@pytest.mark.parametrize(("expression", "expected"), TYPES)
def test_types(planned: Planned, expression: str, expected: str) -> None:
    assert planned(f"SELECT {expression} AS x FROM t", over=TABLE).outputs[0].type == expected


NAMES = [
    ("1", "?column?"),
    ("'a' || 'b'", "?column?"),
    ("TRUE", "bool"),
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
def test_names(planned: Planned, expression: str, expected: str) -> None:
    assert planned(f"SELECT {expression} FROM t", over=TABLE).columns == (expected,)


def test_names_that_nobody_wrote_are_numbered() -> None:
    assert asked('SELECT 1, 2, 3 AS "?column?_2", 4').columns == (
        "?column?",
        "?column?_3",
        "?column?_2",
        "?column?_4",
    )


FAILING = [
    ("division by zero", "SELECT 2 + ‸1 / 0"),
    ("division by zero", "SELECT ‸1.5 % (1 - 1)"),
    ("bigint out of range", "SELECT ‸9223372036854775807 + 1"),
    ("bigint out of range", "SELECT (‸1e20)::bigint"),
    ("integer out of range", "SELECT ‸2147483648::int"),
    ("smallint out of range", "SELECT ‸40000::smallint"),
    ("value out of range: overflow", "SELECT ‸1e308 * 10"),
    ("value out of range: overflow", "SELECT ‸exp(1000)"),
    ("value out of range: overflow", "SELECT ‸power(10, 400)"),
    ("zero raised to a negative power", "SELECT ‸power(0, -1)"),
    ("no fractional power", "SELECT ‸power(-8, 0.5)"),
    ("no square root", "SELECT ‸sqrt(-1)"),
    ("have a logarithm", "SELECT ‸ln(0)"),
    ("have a logarithm", "SELECT ‸log(-1)"),
    ("invalid input syntax for type integer: '1.5'", "SELECT ‸'1.5'::int"),
    ("invalid input syntax for type integer: '1_0'", "SELECT ‸'1_0'::int"),
    ("invalid input syntax for type double precision: 'nan'", "SELECT ‸'nan'::float"),
    ("invalid input syntax for type boolean: 'maybe'", "SELECT ‸'maybe'::boolean"),
    ("negative length", "SELECT ‸substring('abc', 1, -1)"),
    ("fields are counted from 1", "SELECT ‸split_part('a', ',', 0)"),
    ("ends in the escape character", "SELECT ‸'a' LIKE 'a\\'"),
    ("+ takes a number, not VARCHAR", "SELECT 1 + ‸'a'"),
    ("lower takes a string, not INT64", "SELECT lower(‸1)"),
    ("CASE cannot combine INT64 and VARCHAR", "SELECT CASE WHEN TRUE THEN 1 ELSE ‸'a' END"),
    ("WHEN takes a boolean", "SELECT CASE WHEN ‸1 THEN 1 END"),
    ("AND takes a boolean", "SELECT TRUE AND ‸1"),
    ("= cannot combine INT64 and VARCHAR", "SELECT 1 = ‸'1'"),
    ("IN cannot combine", "SELECT 1 IN (2, ‸'a')"),
    ("|| concatenates strings", "SELECT ‸1 || 2"),
    ("cannot be cast to boolean", "SELECT ‸0.5::boolean"),
    ("l2_norm takes a vector: 2 given", "SELECT ‸l2_norm('a', 1)"),
    ("there are no columns without FROM: nope", "SELECT 1 + ‸nope"),
    ("the function nope()", "SELECT ‸nope(1)"),
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


def test_parameters_are_values() -> None:
    found = asked(
        "SELECT :n + 1, :t || '!', :none, :yes AND TRUE", {"n": 1, "t": "'; --", "none": None, "yes": True}
    )
    assert found.rows == ((2, "'; --!", None, True),)
    assert asked("SELECT $2, $1", [1, 2.5]).rows == ((2.5, 1),)
    assert asked("SELECT $1 LIMIT $2", [1, 0]).rows == ()
    with pytest.raises(SqlTypeMismatch, match="takes a number, not VARCHAR"):
        asked("SELECT $1 + 1", ["1"])
    with pytest.raises(SqlTypeMismatch, match="LIMIT takes a non-negative integer"):
        asked("SELECT 1 LIMIT $1", [-1])
