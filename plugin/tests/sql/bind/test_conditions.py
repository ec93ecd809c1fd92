"""Conditions and the filters that Milvus is given for them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from milvus_lite.search.filter.parser import parse_expr

from nestvec.milvus.catalog import Table
from nestvec.sql.bind.conditions import split_condition
from nestvec.sql.bind.params import bind_params
from nestvec.sql.bind.scope import Scope
from nestvec.sql.parse.parse import parse
from nestvec.sql.plan.filter import render_filter
from nestvec.sql.plan.nodes import Plan
from nestvec_schemas.errors import SqlError, SqlTypeMismatch

Planned = Callable[..., Plan]

FIXTURE = Path(__file__).with_name("conditions.txt")
CASES = [
    tuple(re.fullmatch(r"(.*)\n-->(.*?)(?:\n\+\+\+ (.*))?", case, re.DOTALL).groups())
    for case in FIXTURE.read_text(encoding="utf-8").strip().split("\n\n")
]
"""A WHERE, the filter that it becomes, and what remains to be checked."""
PARAMETERS = {
    "ids": [1, 2],
    "1": (3,),
    "none": [],
    "names": {"a"},
    "text": 'a "word"',
    "null": None,
    "nulls": [1, None],
}


def split(table: Table, condition: str, parameters: Any = None) -> tuple[str, str]:
    """The filter for Milvus and the rest as SQL."""
    parsed = parse(f"SELECT id FROM pydoc WHERE {condition}")
    scope = Scope(parsed.source, table, "pydoc", bind_params(parameters))
    pushed, rest = split_condition(scope, parsed.tree.args["where"].this)
    return render_filter(pushed), rest.sql("postgres") if rest is not None else ""


@pytest.mark.parametrize(("condition", "expected", "rest"), CASES, ids=[case[0][:60] for case in CASES])
def test_condition(condition: str, expected: str, rest: str | None, table: Table) -> None:
    rendered, remaining = split(table, condition, PARAMETERS)
    assert (rendered, remaining) == (expected.strip(), rest or "")
    if rendered:
        parse_expr(rendered)


@pytest.mark.parametrize(
    ("condition", "cause"),
    [
        ("‸body @@ 'w' OR lower(name) = 'x'", "@@ together with"),
        ("name LIKE ‸5", "column name is VARCHAR: 5"),
        ("‸year LIKE 'a'", "column year is INT16: LIKE"),
        ("‸modul ~ 'a'", "Did you mean 'module'?"),
        ("lower(‸modul) = 'a'", "Did you mean 'module'?"),
        ("public AND year = ‸'a'", "column year is INT16: 'a'"),
        ("year = ‸'40000'", "column year is INT16: '40000'"),
        ("(‸id, year) = (1, 2, 3)", "different numbers of values: 2 and 3"),
        ("name LIKE 'a' ESCAPE ‸'ab'", "ESCAPE takes one character"),
        ("public = ‸'maybe'", "column public is BOOL: 'maybe'"),
        ("tags @> ‸'{a,,b}'", "the list is malformed"),
        ("id = ‸name", "these types cannot be compared"),
        ("tags @> ARRAY[‸1]", "column tags is VARCHAR: 1"),
        ("meta->>'n' = ‸1", 'column meta["n"] is VARCHAR: 1'),
    ],
)
def test_what_postgresql_refuses_is_refused_at_its_place(condition: str, cause: str, table: Table) -> None:
    with pytest.raises(SqlError) as caught:
        split(table, condition.replace("‸", ""))
    assert cause in str(caught.value)
    assert caught.value.position == len("SELECT id FROM pydoc WHERE ") + condition.index("‸")


@given(st.text())
def test_a_text_in_a_parameter_is_never_more_than_a_value(planned: Planned, text: str) -> None:
    try:
        asked = "SELECT id FROM pydoc WHERE name = :q AND name = ANY(:list)"
        found = planned(asked, {"q": text, "list": [text, text + "x"]}).node.filter
    except SqlTypeMismatch as error:
        assert "not allowed" in str(error)
        return
    tree = parse_expr(found)
    assert [one.right.value for one in tree.operands[:1]] == [text]
    assert [one.value for one in tree.operands[1].values.elements] == [text, text + "x"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"x", object(), {"a": 1}, [1]])
def test_a_parameter_that_no_filter_can_write_remains(table: Table, value: object) -> None:
    rendered, rest = split(table, "price = :v AND id = 1", {"v": value})
    assert rendered == "price is not null and id == 1"
    assert rest == "price = %(v)s"


def test_ten_thousand_values_are_one_list(planned: Planned) -> None:
    found = planned("SELECT id FROM pydoc WHERE id = ANY(:ids)", {"ids": list(range(10_000))}).node.filter
    assert found.startswith("id in [0, 1, 2, ")
    assert found.endswith(", 9999]")
