"""Subqueries in WHERE: which values replace them before the outer query is planned."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nestvec.sql.plan.nodes import Fetch, Plan
from nestvec_schemas.errors import SqlError, SqlTypeMismatch

Planned = Callable[..., Plan]


def filtered(planned: Planned, where: str) -> str:
    node = planned(f"SELECT id FROM pydoc WHERE {where}").node
    assert isinstance(node, Fetch)
    return node.filter


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("id IN (SELECT 3)", "id == 3"),
        ("id NOT IN (SELECT 3) AND year > 2", "id != 3 and year > 2"),
        ("NOT (year > 2 OR id IN (SELECT 3))", "year <= 2 and id != 3"),
        ("id = ANY(SELECT 3)", "id == 3"),
        ("id > (SELECT 3 + 4)", "id > 7"),
        ("(SELECT 3) >= id", "id <= 3"),
        ("id = (SELECT 3 AS x)", "id == 3"),
        ("name IN (SELECT 'a'' or 1 == 1')", 'name == "a\' or 1 == 1"'),
    ],
)
def test_values_replace_the_subquery(planned: Planned, where: str, expected: str) -> None:
    assert filtered(planned, where) == expected


@pytest.mark.parametrize("where", ["id IN (SELECT NULL::int)", "id NOT IN (SELECT NULL::int)"])
def test_in_a_list_of_null_is_neither_true_nor_false(planned: Planned, where: str) -> None:
    none = planned("SELECT id FROM pydoc WHERE id = ANY(:none)", {"none": []}).node
    assert isinstance(none, Fetch)
    assert filtered(planned, where) == none.filter


def test_the_plan_says_what_was_read(planned: Planned) -> None:
    plan = planned("SELECT id FROM pydoc WHERE id IN (SELECT 3)")
    assert plan.notes == ("a subquery on no collection returned 1 row",)


def test_the_shared_tree_is_not_changed(planned: Planned) -> None:
    for _ in range(2):
        assert filtered(planned, "id IN (SELECT 3)") == "id == 3"


@pytest.mark.parametrize(
    ("said", "marked"),
    [
        ("must return one column: 2", "id IN (SELECT ‸1, 2)"),
        ("column id is INT64: 'a'", "id IN (SELECT ‸'a')"),
        ("column id is INT64: 'a'", "id < (SELECT ‸'a')"),
    ],
)
def test_an_invalid_subquery_is_marked(planned: Planned, said: str, marked: str) -> None:
    statement = f"SELECT id FROM pydoc WHERE {marked}"
    with pytest.raises(SqlError, match=said) as caught:
        planned(statement.replace("‸", ""))
    assert isinstance(caught.value, SqlTypeMismatch)
    assert caught.value.position == statement.index("‸")
