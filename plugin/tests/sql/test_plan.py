"""Statements and what Milvus is asked for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from nestvec.catalog import Table
from nestvec.sql.bind import bind_query
from nestvec.sql.parse import parse_select
from nestvec.sql.plan import Plan, make_plan
from nestvec_schemas.errors import SqlSyntaxError

FIXTURE = Path(__file__).with_name("plans.txt")
CASES = [case.split("\n--> ") for case in FIXTURE.read_text(encoding="utf-8").strip().split("\n\n")]


def planned(statement: str, table: Table) -> Plan:
    return make_plan(bind_query(parse_select(statement), table))


def shown(plan: Plan) -> str:
    """A plan on one line: what is asked, then the answer's columns."""
    asked = f"{plan.collection} [{plan.filter}]"
    if plan.nearest:
        asked += f" by {plan.nearest.metric} of {plan.nearest.column} to {plan.nearest.target!r}"
    asked += f" rows {plan.offset}+{'all' if plan.every_row else plan.limit}"
    made = (f"{one.name}={one.column or one.kind}" for one in plan.outputs)
    return f"{asked} giving {', '.join(made)}"


@pytest.mark.parametrize(("statement", "expected"), CASES, ids=[case[0][:60] for case in CASES])
def test_plan(statement: str, expected: str, table: Table) -> None:
    assert shown(planned(statement, table)) == expected


def test_star_is_every_column_in_order(table: Table) -> None:
    plan = planned("SELECT * FROM pydoc LIMIT 1", table)
    assert plan.columns == plan.fields == tuple(column.name for column in table.columns)
    starred = planned("SELECT p.*, doc_64 <=> 'x' AS d FROM pydoc p ORDER BY d LIMIT 1", table)
    assert starred.columns == (*plan.columns, "d")
    assert starred.fields == plan.fields


def test_only_a_text_needs_the_service(table: Table) -> None:
    text = planned("SELECT id FROM pydoc ORDER BY doc_64 <=> 'x' LIMIT 1", table)
    assert text.services == ("http://127.0.0.1:8080",)
    assert planned("SELECT id FROM pydoc", table).services == ()
    numbers = ", ".join(["0.5"] * 64)
    vector = planned(f"SELECT id FROM pydoc ORDER BY doc_64 <=> '[{numbers}]' LIMIT 1", table)
    assert vector.services == ()
    assert vector.nearest is not None
    assert vector.nearest.target == (0.5,) * 64


def test_without_a_limit_every_row_is_wanted(table: Table) -> None:
    plan = planned("SELECT id FROM pydoc OFFSET 384 ROWS", table)
    assert (plan.limit, plan.offset, plan.every_row) == (16_000, 384, True)


def test_comments_are_no_part_of_a_statement(table: Table) -> None:
    bare = planned("SELECT id FROM pydoc LIMIT 3", table)
    noted = "/* one /* inner */ 'x' */ SELECT id -- ; DROP\n FROM pydoc LIMIT 3 ; -- end"
    assert planned(noted, table) == bare
    with pytest.raises(SqlSyntaxError):
        planned("SELECT id FROM pydoc WHERE {# lost #} id = 1", table)


def test_a_long_chain_is_flat(table: Table) -> None:
    plan = planned("SELECT id FROM pydoc WHERE " + " OR ".join(f"id = {n}" for n in range(2000)), table)
    assert plan.filter.startswith("id == 0 or id == 1 or ")
    assert "(" not in plan.filter
