"""Types that PostgreSQL's catalogs do not have an operator, a function or a cast for."""

from __future__ import annotations

import pytest

from nestvec.milvus.catalog import Column, Table, TypeParams
from nestvec.sql.analysis.check import StatementCheck
from nestvec.sql.parse.parse import parse
from nestvec_schemas.errors import SqlError

BOOKS = Table(
    name="books",
    columns=(
        Column("id", "INT64", primary=True),
        Column("title", "VARCHAR", type_params=TypeParams(max_length=64)),
        Column("pages", "INT32", nullable=True),
        Column("rating", "FLOAT", nullable=True),
        Column("open", "BOOL", nullable=True),
        Column("meta", "JSON", nullable=True),
        Column("v", "FLOAT_VECTOR", type_params=TypeParams(dim=3)),
    ),
)


def check(statement: str) -> None:
    parsed = parse(statement)
    StatementCheck(parsed.source, (BOOKS,)).check(parsed.tree)


@pytest.mark.parametrize(
    ("statement", "cause"),
    [
        ("SELECT meta -> open FROM books", "operator does not exist: jsonb -> boolean"),
        ("SELECT round(rating, 1) FROM books", "function round(real, integer) does not exist"),
        ("SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY open) FROM books",
         "function percentile_cont(numeric"),
        ("SELECT v::jsonb FROM books", "cannot cast type vector to jsonb"),
        ("SELECT CAST(ARRAY[true] AS bigint[])", "cannot cast type boolean to bigint"),
        ("SELECT v[1] FROM books", "cannot subscript type vector"),
        ("SELECT id FROM books LIMIT true", "argument of LIMIT must be type bigint, not type boolean"),
        ("VALUES (1), (true)", "VALUES types integer and boolean cannot be matched"),
        ("SELECT ARRAY[1] UNION SELECT ARRAY['a']", "UNION could not convert type text[] to integer[]"),
        ("SELECT '{1'::int[]", "malformed array literal"),
        ("SELECT repeat('a', '1.5')", "invalid input syntax for type integer"),
        ("SELECT 1 + '99999999999'", "is out of range for type integer"),
        ("SELECT open = 'maybe' FROM books", "invalid input syntax for type boolean"),
        ("UPDATE books SET pages = open",
         "column pages is of type integer but expression is of type boolean"),
        ("INSERT INTO books (id, meta) VALUES (1, 2)", "column meta is of type jsonb but expression"),
        ("INSERT INTO books (id, title) SELECT open, title FROM books", "column id is of type bigint"),
        ("SELECT x.a FROM (SELECT 1 AS a, 2 AS a) AS x", "several columns of the query have this name"),
        ("SELECT 1 FROM books a JOIN books b ON true JOIN books c USING (id)", "several tables before JOIN"),
    ],
)  # fmt: skip
def test_what_postgresql_has_no_types_for_is_refused(statement: str, cause: str) -> None:
    with pytest.raises(SqlError) as caught:
        check(statement)
    assert cause in str(caught.value)
    assert caught.value.next_step


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT $1 + 1, id + $2, $1 || 'x' FROM books",
        "SELECT anything || title, anything + 1 FROM read_csv('a.csv'), books",
        "SELECT title + 1 FROM others",
        "SELECT (SELECT title + 1 FROM others) FROM books",
        "SELECT round(rating::numeric, 1), div(7, 2), meta ->> 'a', meta -> 1 FROM books",
        "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY pages) FROM books",
        "SELECT date_trunc('day', now(), 'UTC'), array_prepend(1, ARRAY[2]), (ARRAY[1, 2])[1:2] || 3",
        "SELECT date '2024-01-01' + (-2147483648) % 7",
        "SELECT a.id FROM books a JOIN books b USING (id) JOIN books c USING (id)",
        "SELECT string_to_array('a', ',') = ARRAY[title], ARRAY[title] <@ '{a}'::text[] FROM books",
        "SELECT v <-> '[1,2,3]', v + v, avg(v) FROM books GROUP BY v",
        "INSERT INTO books (id, title, v) VALUES (1, 2, ARRAY[1, 2, 3]), ($1, $2, $3)",
        "UPDATE books SET rating = pages, title = id, meta = '{}'",
    ],
)
def test_what_postgresql_takes_or_what_has_no_type_here_is_not_refused(statement: str) -> None:
    check(statement)
