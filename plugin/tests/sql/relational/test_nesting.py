"""Deep expressions: DuckDB writes out macros, and would do so exponentially often."""

from __future__ import annotations

import re
from typing import cast

import pytest
from pymilvus import MilvusClient

from nestvec.milvus.steps import drive
from nestvec.sql import Session, StatementResult
from nestvec.sql.relational.engine import open_engine
from nestvec.sql.relational.rewrites.nesting import repeats
from nestvec.sql.statements import execute_steps
from nestvec_schemas.errors import NestvecError

REFUSED = r"nested too deeply|nested this deeply|nested more than 32 levels"

ROW = """(SELECT 1.5 AS x, 3 AS i, 2.5::float8 AS d, 'abc' AS s, '{"a": 1}'::jsonb AS j, true AS b) AS t"""

CHAINS = (
    "x / 1.5", "i / 1", "d / 1.5", "x % 7.5", "s || 'a'", "j -> 'a'", "x + 1.5", "i * 1", "x - 1.5", "i << 1",
    "d ^ 1.0",
)  # fmt: skip
"""Operators, whose chains have no parentheses."""

NESTED = (
    "round(x, 2)", "round(d)", "nullif(x, 7)", "nullif(s, 'b')", "coalesce(x, 7)", "greatest(x, 7)", "exp(d)",
    "substring(s, 1, 5)", "cast(i::text AS int)", "CASE i WHEN 1 THEN 2 WHEN 2 THEN 3 ELSE 4 END",
    "split_part(s, 'a', 1)", "cast(b::text AS boolean)", "CASE WHEN i > 1 THEN 2 ELSE 4 END", "upper(s)",
    "(b BETWEEN false AND true)", "(b IS DISTINCT FROM true)", "(b = true)", "((j ->> 'a')::jsonb)",
    "'2024-01-01'::timestamp::text::timestamp::text || s", "initcap(s)", "power(d, 2)", "to_jsonb(j -> 'a')",
)  # fmt: skip


UNUSED = {
    "weighted_avg", "json_group_array", "json_group_object", "format_pg_type", "map_to_pg_oid", "format_type",
    "map_contains_entry", "array_to_string_comma_default", "pg_get_constraintdef",
}  # fmt: skip
"""Macros of DuckDB that repeat an argument, and that no statement of nestvec nests."""


def run(statement: str) -> StatementResult:
    return drive(cast(MilvusClient, None), execute_steps(Session(), statement, None))


def answers_or_is_refused(expression: str) -> bool:
    try:
        return len(run(f"SELECT {expression} AS y FROM {ROW}").rows) == 1
    except NestvecError as error:
        return bool(re.search(f"{REFUSED}|out of range", str(error)))


@pytest.mark.parametrize("form", CHAINS)
def test_a_chain_of_operators_is_planned_or_refused_by_name(form: str) -> None:
    column, step = form.split(" ", 1)
    assert answers_or_is_refused(" ".join([column, *[step] * 25]))
    assert answers_or_is_refused(" ".join([column, *[step] * 100]))


@pytest.mark.parametrize("form", NESTED)
def test_nested_calls_are_planned_or_refused_by_name(form: str) -> None:
    column = next(name for name in re.findall(r"\b[xidsjb]\b", form))
    expression = column
    for _ in range(25):
        expression = re.sub(rf"\b{column}\b", lambda _: expression, form, count=1)  # noqa: B023
    assert answers_or_is_refused(expression)


def test_a_deep_expression_has_the_value_of_its_parts() -> None:
    assert run("SELECT 1024.0" + " / 2" * 10).rows == run("SELECT 1.0").rows
    deep = "nullif(" * 20 + "i" + ", 7)" * 20
    assert run(f"SELECT {deep}, count(*) FROM {ROW} GROUP BY {deep}").rows == ((3, 1),)
    deep = "nullif(" * 20 + "sum(i)" + ", (SELECT 3))" * 20
    assert run(f"SELECT {deep} FROM {ROW}").rows == ((None,),)


def test_every_macro_that_repeats_an_argument_is_counted() -> None:
    with open_engine() as connection:
        macros = connection.execute(
            "SELECT function_name, parameters, macro_definition FROM duckdb_functions() "
            "WHERE function_type = 'macro' AND macro_definition IS NOT NULL"
        ).fetchall()
    repeated = set()
    for name, parameters, definition in macros:
        words = re.findall(r"\w+", re.sub(r"'(?:[^']|'')*'", "", definition))
        if any(words.count(parameter) > 1 for parameter in parameters):
            repeated.add(name)
    counted = {name for name in repeated if max(repeats(name)[1:], default=0) > 1}
    missing = repeated - counted - UNUSED
    assert len(repeated) > 50
    assert missing == set()
