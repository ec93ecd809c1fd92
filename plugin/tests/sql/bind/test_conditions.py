"""Conditions and the filters that Milvus is given for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from milvus_lite.search.filter.parser import parse_expr

from nestvec.sql.plan.nodes import Plan
from nestvec_schemas.errors import SqlError, SqlTypeMismatch

Planned = Callable[..., Plan]

FIXTURE = Path(__file__).with_name("conditions.txt")
CASES = [case.split("\n--> ") for case in FIXTURE.read_text(encoding="utf-8").strip().split("\n\n")]
GIVEN = {"ids": [1, 2], "1": (3,), "none": [], "names": {"a"}, "text": 'a "word"'}


@pytest.mark.parametrize(("condition", "expected"), CASES, ids=[case[0][:60] for case in CASES])
def test_condition(condition: str, expected: str, planned: Planned) -> None:
    rendered = planned(f"SELECT id FROM pydoc WHERE {condition}", GIVEN).node.filter
    assert rendered == expected
    parse_expr(rendered)


@given(st.text())
def test_a_text_in_a_parameter_is_never_more_than_a_value(planned: Planned, text: str) -> None:
    try:
        asked = "SELECT id FROM pydoc WHERE name = :q AND name = ANY(:list)"
        found = planned(asked, {"q": text, "list": [text]}).node.filter
    except SqlTypeMismatch as error:
        assert "not allowed" in str(error)
        return
    tree = parse_expr(found)
    assert [one.right.value for one in tree.operands[:1]] == [text]
    assert [one.value for one in tree.operands[1].values.elements] == [text]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"x", object(), {"a": 1}, [1]])
def test_a_parameter_that_no_column_holds_is_refused(planned: Planned, value: object) -> None:
    with pytest.raises(SqlError, match=r"no column can hold|is DOUBLE"):
        planned("SELECT id FROM pydoc WHERE price = :v", {"v": value})


def test_ten_thousand_values_are_one_list(planned: Planned) -> None:
    found = planned("SELECT id FROM pydoc WHERE id = ANY(:ids)", {"ids": list(range(10_000))}).node.filter
    assert found.startswith("id in [0, 1, 2, ")
    assert found.endswith(", 9999]")
