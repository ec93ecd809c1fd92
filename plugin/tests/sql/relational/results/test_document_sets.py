"""Equal documents of JSONB, whatever the digits and the order of their keys: PostgreSQL 16's answers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nestvec.sql.relational.documents.containment import json_contains, json_equal_form, json_normal
from nestvec.sql.relational.documents.order import distinct_documents
from nestvec.sql.result import StatementResult
from nestvec_schemas.errors import SqlError

Answer = Callable[..., StatementResult]


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [
        ("12.0", "12", True),
        ("1e20", "100000000000000000000", True),
        ("0.00001", "1e-5", True),
        ("100000000000000.0", "1e14", True),
        ("12345678901234567890123", "12345678901234567890124", False),
        ("0.123456789012345678901", "0.123456789012345678902", False),
        ("9007199254740993", "9007199254740992", False),
        ('{"a": 1, "b": 2.50}', '{"b": 2.5, "a": 1.0}', True),
        ('"1"', "1", False),
    ],
)
def test_equal_documents_have_one_form(left: str, right: str, equal: bool) -> None:
    assert (json_normal(left) == json_normal(right)) is equal
    assert json_contains(f"[{left}]", f"[{right}]") is equal


def test_distinct_documents_are_sorted_and_the_first_of_equal_ones() -> None:
    documents = ["12.0", '"a"', None, "12", "2", "null", None]
    assert distinct_documents(documents, False, False) == ["null", '"a"', "2", "12.0", None]
    assert distinct_documents(documents, True, True) == [None, "12.0", "2", '"a"', "null"]


def test_a_form_that_prints_otherwise_is_refused() -> None:
    assert json_equal_form('{"b": 1.5, "a": null}') == '{"a":null,"b":1.5}'
    with pytest.raises(ValueError, match=r"is not supported: 12\.0\. Write UNION ALL"):
        json_equal_form("12.0")


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ("INTERSECT", ["1.0"]),
        ("INTERSECT ALL", ["1.0"]),
        ("EXCEPT", ["2", None]),
        ("EXCEPT ALL", ["1.0", "2", None, None]),
    ],
)
def test_set_operations_keep_the_digits_of_the_first_query(
    answer: Answer, operation: str, expected: list[str | None]
) -> None:
    values = "(VALUES ('1.0'::jsonb), ('1.0'), ('2'), (NULL), (NULL)) AS v(j)"
    inner = f"SELECT j FROM {values} {operation} SELECT '1'::jsonb"
    rows = answer(f"SELECT j::text AS x FROM ({inner}) AS q").rows
    assert sorted((row[0] for row in rows), key=str) == sorted(expected, key=str)


def test_columns_of_one_name(answer: Answer) -> None:
    rows = answer("SELECT '1.0'::jsonb AS x, 1 AS x EXCEPT SELECT '2'::jsonb, 2").rows
    assert rows == ((1.0, 1),)


def test_a_recursion_whose_documents_would_print_otherwise_is_refused(answer: Answer) -> None:
    steps = "WITH RECURSIVE t(n, j) AS (SELECT 1, '{}'::jsonb UNION SELECT n + 1, j FROM t WHERE n < 3)"
    rows = answer(f"{steps.format('[1.5]')} SELECT n, j::text AS x FROM t ORDER BY n").rows
    assert rows == ((1, "[1.5]"), (2, "[1.5]"), (3, "[1.5]"))
    with pytest.raises(SqlError, match="UNION in WITH RECURSIVE of JSONB"):
        answer(f"{steps.format('[1.50]')} SELECT n, j::text AS x FROM t")


def test_aggregates_of_distinct_documents(answer: Answer) -> None:
    values = "(VALUES ('12.0'::jsonb), ('12'), ('\"a\"'), ('2'), (NULL)) AS v(j)"
    row = answer(
        f"SELECT jsonb_agg(DISTINCT j)::text AS a, array_agg(DISTINCT j ORDER BY j DESC)::text AS b, "
        f"jsonb_agg(DISTINCT j) FILTER (WHERE j > '2')::text AS c FROM {values}"
    ).rows[0]
    assert row == ('["a", 2, 12.0, null]', '{NULL,12.0,2,"\\"a\\""}', "[12.0]")


def test_a_number_beyond_postgresqls_is_an_error() -> None:
    with pytest.raises(ValueError, match="value overflows numeric format: 1e1000000"):
        json_contains("1e1000000", "1")
