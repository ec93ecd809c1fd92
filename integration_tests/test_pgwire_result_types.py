"""The types of the columns that clients of ``nestvec pg`` read: those that PostgreSQL gives them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import psycopg
import pytest
from integration_tests.fixtures.pgwire import run_pg
from integration_tests.fixtures.postgres import run_postgres

_TABLE: Final = (
    "CREATE TABLE items (id INT PRIMARY KEY, n INT, small SMALLINT, big BIGINT, r REAL, d DOUBLE PRECISION, "
    "t TEXT, a INT[], b BIGINT[], s SMALLINT[], v VECTOR(2) NOT NULL)"
)
_ROW: Final = (
    "INSERT INTO items (id, n, small, big, r, d, t, a, b, s, v) VALUES "
    "(1, 4, 2, 5, 1.5, 2.5, 'abc', ARRAY[1, 2], ARRAY[1, 2], ARRAY[1, 2], '[1,2]')"
)

_EXPRESSIONS: Final = (
    "1", "-2147483647", "2147483647", "2147483648", "99999999999999999999", "'a'", "true", "'1'::int",
    "1::smallint", "1::bigint", "1::real", "1::numeric", "id", "n", "small", "big", "r", "d", "t", "a", "b",
    "s", "a[1]", "s[1]", "ARRAY[1, 2]", "ARRAY[1, 2]::int[]", "ARRAY[big]", "ARRAY[small]", "array_agg(n)",
    "array_agg(big)", "array_agg(id)", "id + 1", "-id", "n + n", "n + 1", "n * big", "n / 2", "n % 2", "-n",
    "abs(n)", "small + small", "small + n", "small * 2", "-small", "abs(small)", "r + r", "r + n", "r * 2",
    "d + 1", "power(n, 2)", "sqrt(n)", "n & 1", "n << 1", "coalesce(n, 0)", "greatest(n, 3)",
    "nullif(n, 0)", "CASE WHEN n > 1 THEN n ELSE big END", "length(t)", "length(t) + 1", "length(t) + big",
    "char_length(t)", "octet_length(t)", "bit_length(t)", "position('a' in t)", "strpos(t, 'a')",
    "ascii(t)", "cardinality(a)", "array_length(a, 1)", "array_upper(a, 1)", "array_lower(a, 1)",
    "array_position(a, 1)", "array_ndims(a)", "jsonb_array_length('[1]'::jsonb)", "sum(length(t))",
    "max(length(t))", "array_agg(length(t))", "count(*)", "count(n)", "sum(n)", "sum(small)", "sum(r)",
    "sum(d)", "avg(r)", "max(n)", "min(small)", "min(r)", "bit_and(n)", "row_number() OVER ()",
    "rank() OVER (ORDER BY n)", "ntile(2) OVER (ORDER BY n)", "dense_rank() OVER (ORDER BY n)",
    "lag(n) OVER (ORDER BY n)", "(SELECT 1)", "(SELECT length(t))", "unnest(a)",
    "date '2024-01-03' - date '2024-01-01'", "date '2024-01-03' + 1", "now()",
    "width_bucket(5.0, 0, 10, 5)", "1.5", "-1.5", "1.5 + n", "avg(n)", "avg(small)", "avg(big)", "avg(d)",
    "stddev(n)", "variance(big)", "trunc(1.5)", "round(1.25, 1)", "round(r)", "round(n)", "ceil(r)",
    "floor(1.5)", "div(7, 2)", "sum(big)", "sum(1.5)", "factorial(3)", "gcd(4, 6)", "gcd(big, n)",
    "mod(n, big)", "sign(n)", "sign(1.5)", "extract(year FROM date '2024-01-03')",
    "date_part('year', date '2024-01-03')", "generate_series(1, 2)", "coalesce(small, 0)",
    "(SELECT max(x) FROM generate_series(1, 2) AS g(x))",
    "nullif(small, n)", "nullif(n, r)", "small << 1", "avg(n) OVER ()", "sum(n) OVER ()",
    "avg(n) FILTER (WHERE n > 1)", "ARRAY[r]", "ARRAY[1.5]", "array_agg(date '2024-01-01')",
    "t::varchar(2)", "t::varchar", "t::char(5)", "t::char", "'a'::bpchar", "max(t::char(5))", "to_json(n)",
    "to_jsonb(n)", "json_agg(n)", "jsonb_agg(n)", "'1'::json", "'1'::jsonb", "'{\"a\": 1}'::jsonb -> 'a'",
    "'{\"a\": 1}'::json ->> 'a'", "v + v", "avg(v)", "v <-> '[1,2]'", "array_positions(a, 1)",
    "interval '1 day' * 2", "now() - now()", "log10(2.5)", "log(2, 8)", "2.5 ^ 2",
)  # fmt: skip

_STATEMENTS: Final = (
    "SELECT * FROM items",
    "SELECT * FROM items LIMIT 1",
    "SELECT * FROM items WHERE length(t) > 1",
    "SELECT * FROM items WHERE length(t) > 100",
    "SELECT id, a, s FROM items ORDER BY v <=> '[1,2]' LIMIT 1",
    "SELECT i.*, j.id, j.a FROM items i JOIN items j ON j.id = i.id",
    "SELECT length(t), count(*) FROM items GROUP BY length(t) ORDER BY length(t)",
    "SELECT n FROM items UNION SELECT length(t) FROM items",
    "SELECT n FROM items UNION SELECT big FROM items",
    "WITH w AS (SELECT id, length(t) AS l, a FROM items) SELECT id, l, a FROM w",
    "VALUES (1)",
    "SELECT 1",
    "SELECT 1 + 1",
)

_DIFFERENT: Final = {
    "current_time": ("timetz", "time"),
}
"""PostgreSQL's type and nestvec's, of what docs/sql.md says that it differs."""

_TOO_LARGE: Final = (
    "SELECT length(t) * 2000000000 FROM items",
    "SELECT id + 2147483647 FROM items WHERE length(t) > 1",
    "SELECT (date '2024-01-03' - date '2024-01-01') * 2147483647",
)

Connections = tuple[psycopg.Connection, psycopg.Connection]


@pytest.fixture(scope="module")
def connections(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connections]:
    """PostgreSQL and nestvec, with a table of one row."""
    path = tmp_path_factory.mktemp("types") / "types.db"
    with (
        run_postgres() as server,
        run_pg(path) as running,
        server.connect() as oracle,
        psycopg.connect(running.address, autocommit=True) as nestvec,
    ):
        for connection in (oracle, nestvec):
            connection.execute(_TABLE)
            connection.execute(_ROW)
        yield oracle, nestvec


def types_of(connection: psycopg.Connection, statement: str, **options: bool) -> list[str]:
    """PostgreSQL's names of the types of a result's columns; vectors have ids of their own there."""
    columns = connection.execute(statement.encode(), **options).description or ()
    types = [connection.adapters.types.get(column.type_code) for column in columns]
    return ["vector" if type_ is None else type_.name for type_ in types]


@pytest.mark.parametrize("expression", _EXPRESSIONS)
def test_an_expression_has_the_type_of_postgresql(connections: Connections, expression: str) -> None:
    oracle, nestvec = connections
    for where in ("", " WHERE length(t) > 1"):
        statement = f"SELECT {expression} AS c FROM items{where}"
        expected = types_of(oracle, statement)
        assert types_of(nestvec, statement) == expected
        assert types_of(nestvec, statement, prepare=True) == expected


@pytest.mark.parametrize("statement", _STATEMENTS)
def test_the_columns_of_a_statement_have_the_types_of_postgresql(
    connections: Connections, statement: str
) -> None:
    oracle, nestvec = connections
    expected = types_of(oracle, statement)
    assert types_of(nestvec, statement) == expected
    assert types_of(nestvec, statement, prepare=True) == expected


@pytest.mark.parametrize("expression", _DIFFERENT)
def test_a_type_that_differs_is_the_documented_one(connections: Connections, expression: str) -> None:
    statement = f"SELECT {expression} AS c FROM items"
    assert tuple(types_of(connection, statement)[0] for connection in connections) == _DIFFERENT[expression]


@pytest.mark.parametrize("statement", _TOO_LARGE)
def test_an_integer_that_does_not_fit_is_an_error(connections: Connections, statement: str) -> None:
    for connection in connections:
        with pytest.raises(psycopg.errors.NumericValueOutOfRange, match="integer out of range"):
            connection.execute(statement.encode())


@pytest.mark.parametrize("binary", [False, True])
def test_arrays_of_integers_are_read_in_both_formats(connections: Connections, binary: bool) -> None:
    statement = b"SELECT a, b, s, ARRAY[length(t), NULL], array_agg(n) FROM items GROUP BY a, b, s, t"
    for connection in connections:
        row = connection.cursor(binary=binary).execute(statement).fetchone()
        assert row == ([1, 2], [1, 2], [1, 2], [3, None], [4])
