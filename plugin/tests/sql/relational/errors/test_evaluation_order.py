"""Statements for DuckDB whose operands are computed one after the other."""

from __future__ import annotations

import duckdb
import pytest
from sqlglot import exp, parse_one

from nestvec.sql.relational.errors.evaluation_order import has_order, in_evaluation_order

_QUOTIENT = "CASE WHEN a = 0 THEN error('division by zero') ELSE 10 // a END"
_ROWS = "(VALUES (0, 1), (2, 1), (NULL, 2)) AS t(a, b)"


def tree(sql: str) -> exp.Expr:
    parsed: exp.Expr = parse_one(sql, dialect="duckdb")
    return parsed


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("t.a <> 0 AND q(t.a) > 2", [False, True, None]),
        ("t.a = 0 OR q(t.a) > 2", [True, True, None]),
        ("NOT (t.a = 0 OR q(t.a) > 9)", [False, True, None]),
        ("t.b = 1 AND t.a <> 0 AND q(t.a) > 2", [False, True, False]),
        ("NULL AND t.a <> 0 AND q(t.a) > 9", [False, False, None]),
        ("t.a IN (0, q(t.a))", [True, False, None]),
        ("t.a BETWEEN 1 AND q(t.a)", [False, True, None]),
        ("coalesce(t.a, q(t.a) + q(t.a))", [0, 2, None]),
    ],
)
def test_an_operand_is_computed_where_those_before_it_leave_the_result_open(
    value: str, expected: list[object]
) -> None:
    with duckdb.connect() as connection:
        connection.execute(f"CREATE MACRO q(a) AS {_QUOTIENT}")
        statement = in_evaluation_order(tree(f"SELECT {value} FROM {_ROWS} ORDER BY t.a NULLS LAST"))
        assert [row[0] for row in connection.execute(statement).fetchall()] == expected


def test_a_condition_computes_cheap_operands_first_and_keeps_those_that_join() -> None:
    joined = "t JOIN u ON t.id = u.id AND q(u.a) > t.b AND u.a <> 0"
    statement = in_evaluation_order(tree(f"SELECT 1 FROM {joined} WHERE q(t.a) > 2 AND t.a <> 0"))
    assert "ON t.id = u.id AND CASE WHEN t.id = u.id THEN CASE WHEN u.a <> 0 THEN Q(u.a) > t.b" in statement
    assert "WHERE CASE WHEN t.a <> 0 THEN Q(t.a) > 2 ELSE FALSE END AND t.a <> 0" in statement


def test_an_aggregate_computes_only_the_rows_of_its_filter() -> None:
    statement = in_evaluation_order(tree("SELECT SUM(q(t.a)) FILTER(WHERE t.a <> 0) FROM t"))
    assert "SUM(CASE WHEN t.a <> 0 THEN Q(t.a) END) FILTER(WHERE t.a <> 0)" in statement


@pytest.mark.parametrize("sql", ["SELECT t.a FROM t", "SELECT t.a = 1 AND t.b = 2 FROM t"])
def test_a_statement_without_operands_that_fail_stays_the_same(sql: str) -> None:
    assert in_evaluation_order(tree(sql)) == ""


def test_only_statements_whose_operands_have_an_order_are_kept() -> None:
    assert not has_order(tree("SELECT q(t.a) FROM t"))
    assert has_order(tree("SELECT q(t.a) FROM t WHERE t.a > 1"))
