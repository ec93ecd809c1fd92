"""Statements and their plans."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from nestvec.milvus.catalog import Table
from nestvec.sql.plan.explain import as_lines, explain_plan
from nestvec.sql.plan.nodes import Fetch, Plan, VectorSearch
from nestvec_schemas.errors import SqlSyntaxError

Planned = Callable[..., Plan]

FIXTURE = Path(__file__).with_name("plans.txt")
CASES = [case.split("\n--> ") for case in FIXTURE.read_text(encoding="utf-8").strip().split("\n\n")]


@pytest.mark.parametrize(("statement", "expected"), CASES, ids=[case[0][:60] for case in CASES])
def test_plan(statement: str, expected: str, planned: Planned) -> None:
    assert "\n".join(as_lines(explain_plan(planned(statement)))) == expected


def test_star_is_every_column_in_order(planned: Planned, table: Table) -> None:
    plan = planned("SELECT * FROM pydoc LIMIT 1")
    assert plan.columns == plan.node.fields == tuple(column.name for column in table.columns)
    starred = planned("SELECT p.*, doc_64 <=> 'x' AS d FROM pydoc p ORDER BY d LIMIT 1")
    assert starred.columns == (*plan.columns, "d")
    assert starred.node.fields == plan.node.fields


def test_only_a_text_needs_the_service(planned: Planned) -> None:
    text = planned("SELECT id FROM pydoc ORDER BY doc_64 <=> 'x' LIMIT 1")
    assert text.services == ("http://127.0.0.1:8080",)
    assert planned("SELECT id FROM pydoc").services == ()
    numbers = ", ".join(["0.5"] * 64)
    vector = planned(f"SELECT id FROM pydoc ORDER BY doc_64 <=> '[{numbers}]' LIMIT 1")
    assert vector.services == ()
    assert isinstance(vector.node, VectorSearch)
    assert vector.node.nearest.target == (0.5,) * 64


def test_without_a_limit_every_row_is_read(planned: Planned) -> None:
    node = planned("SELECT id FROM pydoc OFFSET 384 ROWS").node
    assert isinstance(node, Fetch)
    assert (node.limit, node.offset, node.every_row) == (1_000_000, 384, True)


def test_comments_are_ignored(planned: Planned) -> None:
    bare = planned("SELECT id FROM pydoc LIMIT 3")
    noted = "/* one /* inner */ 'x' */ SELECT id -- ; DROP\n FROM pydoc LIMIT 3 ; -- end"
    assert planned(noted) == bare
    with pytest.raises(SqlSyntaxError):
        planned("SELECT id FROM pydoc WHERE {# lost #} id = 1")


def test_a_long_chain_is_flat(planned: Planned) -> None:
    plan = planned("SELECT id FROM pydoc WHERE " + " OR ".join(f"id = {n}" for n in range(2000)))
    assert plan.node.filter.startswith("id == 0 or id == 1 or ")
    assert "(" not in plan.node.filter
