"""Where DuckDB means something else than PostgreSQL: values of PostgreSQL 16 are expected."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from nestvec.sql import StatementResult
from nestvec.sql.relational.rewrites.arrays import array_constant
from nestvec_schemas.errors import SqlError, SqlSyntaxError

Answer = Callable[..., StatementResult]

VALUES: list[tuple[str, Any]] = [
    ("7 / 2", 3),
    ("-7 / 2", -3),
    ("-7 % 3", -1),
    ("7 / 2.0", 3.5),
    ("round(2.5)", 3.0),
    ("round(2.5::float8)", 2.0),
    ("2.5::int", 3),
    ("'5' + 1", 6),
    ("concat('a', NULL, TRUE)", "at"),
    ("substring('abcdef', -1, 4)", "ab"),
    ("split_part('abc', '', 1)", "abc"),
    ("'a%' LIKE 'a\\%'", True),
    ("'abc' SIMILAR TO 'a(b|x)_'", True),
    ("1 BETWEEN SYMMETRIC 2 AND 0", True),
    ("(1, NULL) < (2, 0)", True),
    ("(1, NULL) < (1, 0)", None),
    ("(1, 2) IN ((1, NULL), (1, 2))", True),
    ("2 < ANY('{1,NULL}')", None),
    ("2 > ALL('{}'::int[])", True),
    ("ARRAY[1] @> '{NULL}'", False),
    ("array_length('{}'::int[], 1)", None),
    ("ARRAY[1] || NULL::int[] || ARRAY[2]", [1, 2]),
    ("'off'::boolean", False),
    ("1.0::float8::text", "1"),
    ("'{\"a\": [1, 2]}'::jsonb ->> 'a'", "[1, 2]"),
    ("'\"x\"'::jsonb ->> 0", "x"),
    ("'{\"a\": null}'::jsonb ->> 'a'", None),
    ("'{\"a\": 1}'::jsonb ? 'a'", True),
    ("'{\"a\": {\"b\": [5]}}'::jsonb #>> '{a,b,-1}'", "5"),
    ("'[1, 2]'::vector <-> '[1, 4]'", 2.0),
    ("l2_norm('[3, 4]'::vector)", 5.0),
    ("vector_dims('[3, 4]'::vector)", 2),
    ("binary_quantize('[1, -1]'::vector)::text", "10"),
    ("'[1, 2]'::vector <+> '[0, 4]'", 3.0),
    ("inner_product('[1, 2]'::vector, '[3, 4]')", 11.0),
    ("round((SELECT avg(x) FROM (VALUES (2), (3)) AS v(x)))", 3.0),
    ("(SELECT round(avg(x)) FROM (VALUES (2.5::float8)) AS v(x))", 2.0),
    ("(SELECT round(sum(x) / 2.0) FROM (VALUES (2), (3)) AS v(x))", 3.0),
    ("round(-2.5)", -3.0),
    ("extract(second FROM TIMESTAMP '2024-01-01 00:00:01.25')", 1.25),
    ("date_part('milliseconds', TIMESTAMP '2024-01-01 00:00:01.25')", 1250.0),
    ('\'{"a": {"b": [1]}}\'::jsonb @> \'{"b": [1]}\'', False),
    ('\'{"a": {"b": [1, 2]}}\'::jsonb @> \'{"a": {"b": [2]}}\'', True),
    ("'[1, [2]]'::jsonb @> '[[2], 1]'", True),
    ("'[1, [2]]'::jsonb @> '2'", False),
    ("'[1, true]'::jsonb @> '1'", True),
    ("'{\"a\": true}'::jsonb @> '{\"a\": 1}'", False),
    ("NULL::jsonb ?| ARRAY['a']", None),
    ('\'{"a":[1,"b:c"]}\'::jsonb::text', '{"a": [1, "b:c"]}'),
    ("ARRAY['a', NULL, 'b c', '', 'x\\y']::text", '{a,NULL,"b c","","x\\\\y"}'),
    ("ARRAY[1.5, 2]::float8[]::text", "{1.5,2}"),
    ("ARRAY[TRUE, FALSE]::text", "{t,f}"),
    ("format('%s of %s: 100%%', 1, NULL)", "1 of : 100%"),
    ("to_char(TIMESTAMP '2024-01-31 15:04:05', 'DD.MM.YYYY HH24:MI')", "31.01.2024 15:04"),
    ("0.1::real IN (0.1)", False),
    ("0.1::real NOT IN (0.1, 1e20)", False),
    ("(SELECT string_agg(x::text, ',' ORDER BY x) FROM (SELECT 10 AS x UNION SELECT '9') AS u)", "9,10"),
    (
        "(SELECT string_agg(x::text, ' ') FROM (VALUES (2.0::float8), (1e15), (-12e15), (1e-7)) AS v(x))",
        "2 1e+15 -1.2e+16 1e-07",
    ),
    ("1234567.5::real::text || 'inf'::float8 || concat(3::float8)", "1.2345675e+06Infinity3"),
    ("(SELECT avg(x)::int FROM (VALUES (2), (3)) AS v(x))", 3),
    ("(5 / 2.0)::int", 3),
    ("2.5::float8::int", 2),
    ("'a' || chr(10) || 'b' ~ 'a.B'", False),
    ("'a' || chr(10) || 'b' ~* 'a.B'", True),
    ("regexp_replace('a' || chr(10) || 'b', 'a.', '[\\&]')", "[a\n]b"),
    ("regexp_replace('aXa', 'x|A', '-', 'gi')", "---"),
    ('\'{"a": 1, "b": 2}\'::jsonb = \'{"b": 2.0, "a": 1}\'', True),
    ("'{\"a\": 1}'::jsonb -> 'a' <> '1'::jsonb", False),
    ("'{\"a\": {\"b\": \"x y\"}}'::jsonb #>> '{a,b}' = 'x y'", True),
    ('(\'{"a": {"b": "x y"}}\'::jsonb #>> \'{a,b}\')::text', "x y"),
    ("'{\"a\": 1}'::jsonb - NULL", None),
    ("'{\"a\": 1}'::jsonb - NULL::text", None),
    ("'{\"a\": 1}'::jsonb - NULL::int", None),
    ("'{\"a\": 1, \"b\": 2}'::jsonb - 'a'::text", {"b": 2}),
    ("'{\"a\": 1, \"b\": 2, \"c\": 3}'::jsonb - ARRAY['a', NULL] - 'b'", {"c": 3}),
    ("('{\"a\": 1}'::jsonb || '{\"b\": 2}' || '{\"a\": 3}')::text", '{"a": 3, "b": 2}'),
    ("jsonb_build_object('a', 1) || jsonb_set('{}', '{b}', '2') || to_jsonb(3)", [{"a": 1, "b": 2}, 3]),
    ("('{\"a\": 1}'::jsonb || '{\"b\": 2}') - 'a' ->> 'b'", "2"),
    ("('[1, 2, 3]'::jsonb - -1 - 9)::text", "[1, 2]"),
    ("'[1, 2, 3]'::jsonb #- ARRAY[' +1']", [1, 3]),
    ("'[18446744073709551615, -9223372036854775808]'::jsonb", [18446744073709551615, -(1 << 63)]),
    (
        "jsonb_set('{\"a\": 1.10}', '{b}', '123456789012345678901234567890')::text",
        '{"a": 1.10, "b": 123456789012345678901234567890}',
    ),
    ("'{\"a\": 1}'::jsonb ?& ARRAY['a', NULL]", True),
    ("'{\"a\": 1}'::jsonb ?| ARRAY['b', NULL]", False),
    ("'abc'::char(2)", "ab"),
    ("'a b'::char(2) || '|'", "a|"),
    ("'a b'::bpchar(2) = 'a  '", True),
    ("(4.25::double precision + 0.25::numeric(10, 2))::bigint", 4),
    ("coalesce(NULL::numeric(10, 2), 4.5::double precision)::bigint", 4),
    ("TIMESTAMP '2024-01-01' + INTERVAL '1 day 02:03:04'", datetime(2024, 1, 2, 2, 3, 4)),
    ('(SELECT "A" - a FROM (SELECT 1 AS a, 5 AS "A") AS v)', 4),
]


@pytest.mark.parametrize(("expression", "expected"), VALUES, ids=[case[0] for case in VALUES])
def test_values(answer: Answer, expression: str, expected: Any) -> None:
    assert answer(f"SELECT {expression} AS x").rows == ((expected,),)


COLUMNS: list[tuple[str, Any]] = [
    ("real::text || '|' || wide", "0.1|-2.5"),
    ("avg(v)::text", "[3,4]"),
    ("meta -> 'a' -> 1 -> 'z' IS NULL", False),
    ("real * 2 > 0.2", True),
    ("tags[1] || tags[2]", "xy"),
    ("tags[0]", None),
    ("tags[n - 5]", "y"),
    ("array_length(empty, 1)", None),
    ("meta -> 'a'", [1, {"z": None, "é": "ü"}]),
    ("meta -> 'a' -> -1 ->> 'é'", "ü"),
    ("meta ->> 'a'", '[1, {"z": null, "é": "ü"}]'),
    ("jsonb_typeof(meta -> 'k')", "number"),
    ("(meta ->> 's')::int + n", 19),
    ("v::text", "[3,4]"),
    ("avg(v)", [3.0, 4.0]),
    ("v <-> '[0, 0]'", 5.0),
]


@pytest.mark.parametrize(("expression", "expected"), COLUMNS, ids=[case[0] for case in COLUMNS])
def test_columns(answer: Answer, expression: str, expected: Any) -> None:
    assert answer(f"SELECT {expression} AS x FROM t").rows == ((expected,),)


FAILING = [
    ("division by zero", "1 / 0"),
    ("division by zero", "n % 0"),
    ("bigint out of range", "9223372036854775807 + 1"),
    ("smallint out of range", "40000::smallint"),
    ("value out of range", "exp(1000)"),
    ("invalid input syntax for type integer: '1.5'", "'1.5'::int"),
    ("invalid input syntax for type boolean: 'maybe'", "'maybe'::boolean"),
    ("square root", "sqrt(-1)"),
    ("nope", "nope(1)"),
    ("cannot delete from object using integer index", "'{\"1\": 1}'::jsonb - 1"),
    ("path element is null", "'{\"a\": 1}'::jsonb #- ARRAY[NULL]"),
    ("path element is not an integer: '0_1'", "'[1, 2]'::jsonb #- '{0_1}'"),
    ("path element is not an integer: ' 1 '", "jsonb_set('[1, 2]', ARRAY[' 1 '], '3')"),
    ("path element is not an integer: '2147483648'", "jsonb_set('[1, 2]', '{2147483648}', '3')"),
    ("path element is not an integer: '٣'", "'[1, 2]'::jsonb #- ARRAY['٣']"),
    ("beyond 64 bits: 18446744073709551616", "'{\"a\": 18446744073709551616}'::jsonb || '{\"b\": 1}'"),
    ("beyond 64 bits: -9223372036854775809", "'[-9223372036854775809]'::jsonb"),
    ("cannot be read", "'1e400'::jsonb"),
    ("invalid input syntax for type json: 'NaN'", "'{\"a\": NaN}'::jsonb || '{}'"),
    ("cannot replace existing key", "jsonb_insert('{\"a\": 1}', '{a}', '2')"),
    ("cannot set path in scalar", "jsonb_insert('1', '{a}', '2')"),
    ("cannot extract elements from a scalar", "jsonb_array_elements('1'::jsonb)"),
    ("cannot call jsonb_object_keys on an array", "jsonb_object_keys('[1]')"),
    (r"jsonb_each\(\) outside FROM", "jsonb_each('{}')"),
    ("intervals with months", "date_bin('1 month', TIMESTAMP '2024-01-01', TIMESTAMP '2024-01-01')"),
    ("stride must be greater than zero", "date_bin('0 days', now(), now())"),
    ("null values cannot be formatted", "format('%I', NULL)"),
    ("%d in format", "format('%d', 1)"),
    ("too few arguments", "format('%2$s', 1)"),
    (r"json_strip_nulls\(\) is not supported", "json_strip_nulls('{}')"),
    (r"int4range\(\) is not supported\. There are no range types", "int4range(1, 5) @> 3"),
    (r"the type int4range is not supported\. Keep both bounds", "'[1,5)'::int4range"),
    (r"to_tsvector\(\) is not supported\. Create the column with BM25", "to_tsvector('a b')"),
    (r"encoding 'base32' of encode\(\) is not supported", "encode('a'::bytea, 'base32')"),
    (r"a computed encoding of decode\(\) is not supported", "decode('a', n::text)"),
    (r"substring\(\) of a pattern with an escape", "substring('Thomas', name, '#')"),
    (r"a computed pattern of substring\(\)", "substring('Thomas' FROM name)"),
    (r"pattern 'x\*' of regexp_count\(\) is not supported", "regexp_count(name, 'x*')"),
    (r"this pattern of regexp_match\(\) is not supported", "regexp_match(name, '(a|(b)|c)+')"),
    (r"an option of regexp_match\(\) but g, i and c", "regexp_match(name, 'x', 'n')"),
    (r"regexp_match\(\) does not take g", "regexp_match(name, 'x', 'g')"),
    (r"in a pattern of regexp_replace\(\) are not supported", r"regexp_replace(name, '\mx', 'y')"),
    ("supported at the ends of a pattern of ~ alone", r"name ~ 'a\y-b'"),
    ("@@ of anything but a column", "'a' @@ 'b'"),
    (r"function get_byte\(\) is not supported", "n, sum(get_byte(name::bytea, 0)) FROM t GROUP BY n --"),
]


@pytest.mark.parametrize(("message", "expression"), FAILING, ids=[case[1] for case in FAILING])
def test_errors_of_duckdb_are_those_of_the_statement(answer: Answer, message: str, expression: str) -> None:
    with pytest.raises(SqlError, match=message) as caught:
        answer(f"SELECT {expression} FROM t")
    assert caught.value.next_step


def test_constants_of_arrays() -> None:
    assert array_constant("{}") == []
    assert array_constant('{1, NULL,"a \\"b\\", c", d}') == ["1", None, 'a "b", c', "d"]
    assert array_constant("[1]") is None


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT to_char(1.5, 'L9.9')",
        "SELECT to_date('2024 7', 'IYYY IW')",
        "SELECT regexp_matches('ab', 'a*', 'g')",
        "SELECT format('%s', ARRAY[1])",
        "SELECT DISTINCT n FROM t ORDER BY n FETCH FIRST 1 ROW WITH TIES",
        "SELECT n, unnest(ARRAY[1, 2]) FROM t ORDER BY n FETCH FIRST 1 ROW WITH TIES",
        "SELECT regexp_count('abc', 'b', -n) FROM t",
        "SELECT (t.*) FROM t",
        "SELECT upper(name), (t.*) FROM t",
        "SELECT upper(name), ((t.*)) AS r FROM t",
        "SELECT upper(name) FROM (SELECT name, (q.*) FROM t AS q) AS r",
        "SELECT upper(name), t.* AS r FROM t",
    ],
)
def test_what_duckdb_reads_otherwise_is_refused(answer: Answer, statement: str) -> None:
    with pytest.raises(SqlError, match="not supported"):
        answer(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT n AS x, v AS x FROM t ORDER BY x",
        'SELECT n + 1, n + 2 FROM t ORDER BY "?column?"',
        "SELECT *, real AS n FROM t ORDER BY n",
        "SELECT a.n, b.n FROM t AS a JOIN t AS b ON a.n = b.n ORDER BY n DESC",
        "SELECT 1 AS x, 1 AS x UNION SELECT 3, 4 ORDER BY x",
        "SELECT x FROM (SELECT n AS x, real AS x FROM t ORDER BY (x)) AS q",
    ],
)
def test_a_name_of_different_outputs_orders_nothing(answer: Answer, statement: str) -> None:
    with pytest.raises(SqlSyntaxError, match="in ORDER BY is ambiguous") as caught:
        answer(statement)
    assert caught.value.position is not None


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT n AS x, t.n AS x FROM t ORDER BY x",
        "SELECT *, n FROM t ORDER BY n",
        "SELECT n AS x, real AS x FROM t ORDER BY 1",
        "SELECT n AS x, real AS x FROM t AS x ORDER BY x.n",
    ],
)
def test_a_name_of_equal_outputs_orders(answer: Answer, statement: str) -> None:
    assert answer(statement).rows
