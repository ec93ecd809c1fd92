"""Aggregates, window functions, rows and constants where PostgreSQL takes none."""

from __future__ import annotations

import pytest

from nestvec.sql.parse.parse import parse
from nestvec_schemas.errors import SqlError


@pytest.mark.parametrize(
    ("statement", "cause"),
    [
        ("SELECT a FROM t WHERE count(*) > 1", "aggregate functions are not allowed in WHERE"),
        ("UPDATE t SET a = row_number() OVER ()", "window functions are not allowed in UPDATE"),
        ("INSERT INTO t (a) VALUES (1) RETURNING count(*)",
         "aggregate functions are not allowed in RETURNING"),
        ("SELECT a FROM t JOIN u ON max(a) = 1", "aggregate functions are not allowed in JOIN conditions"),
        ("SELECT a FROM t GROUP BY sum(a) OVER ()", "window functions are not allowed in GROUP BY"),
        ("SELECT sum(max(a)) FROM t", "aggregate function calls cannot be nested"),
        ("SELECT sum(rank() OVER ()) FROM t",
         "aggregate function calls cannot contain window function calls"),
        ("SELECT sum(a) FILTER (WHERE max(a) > 1) FROM t", "aggregate functions are not allowed in FILTER"),
        ("SELECT CASE WHEN true THEN unnest(a) END FROM t",
         "set-returning functions are not allowed in CASE"),
        ("SELECT a FROM t WHERE generate_series(1, 2) = a",
         "set-returning functions are not allowed in WHERE"),
        ("SELECT a FROM t ORDER BY -1", "ORDER BY gives a position that is not in the select list"),
        ("SELECT a FROM t GROUP BY 1.5", "a constant in GROUP BY"),
        ("SELECT DISTINCT ON (true) a FROM t", "a constant in DISTINCT ON"),
        ("SELECT a FROM t LIMIT a", "argument of LIMIT must not contain variables"),
        ("SELECT 1 FROM t, t", "a table name occurs twice in FROM"),
        ("SELECT a -> 1.5 FROM t", "operator does not exist: jsonb -> numeric"),
    ],
)  # fmt: skip
def test_what_stands_where_postgresql_takes_none_is_refused(statement: str, cause: str) -> None:
    with pytest.raises(SqlError) as caught:
        parse(statement)
    assert cause in str(caught.value)
    assert caught.value.next_step


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT sum(sum(a)) OVER (), rank() OVER (ORDER BY count(*)) FROM t GROUP BY b HAVING max(a) > 1",
        "SELECT a FROM t WHERE a = (SELECT max(b) FROM u) ORDER BY count(a) OVER (), 1",
        "SELECT b, (SELECT c FROM u WHERE u.d = max(t.a)) FROM t GROUP BY b",
        "SELECT unnest(a), generate_series(1, 2) FROM t, unnest(t.b) AS x, LATERAL unnest(t.c) "
        "GROUP BY unnest(a)",
        "SELECT 1 FROM t AS x, t AS y JOIN a.t ON true LIMIT (SELECT max(b) FROM u)",
        "UPDATE t SET a = (SELECT count(*) FROM u) WHERE b IN (SELECT max(c) FROM u)",
    ],
)
def test_what_postgresql_takes_is_taken(statement: str) -> None:
    parse(statement)
