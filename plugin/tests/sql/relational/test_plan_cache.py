"""Cached plans for DuckDB equal new ones, whatever the parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, Final, cast

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymilvus import MilvusClient

from nestvec.milvus.steps import drive
from nestvec.sql import Session
from nestvec.sql.bind.params import bind_params
from nestvec.sql.parse.parse import parse
from nestvec.sql.plan.nodes import Plan
from nestvec.sql.relational import plan as relational_planning
from nestvec.sql.relational.relations import RelationalPlan
from nestvec.sql.relational.run import run_relational
from nestvec.sql.session import CallerData
from nestvec.sql.settings import SessionSettings
from nestvec.sql.statements.select import plan_statement
from nestvec_schemas.errors import SqlError

from ..plan.test_cache import PAPERS
from .conftest import ROW, TABLE, FakeMilvus

ONE, OTHER = [0.6, 0.8, 0.0, 0.0], [0.0, 0.0, 0.6, 0.8]

STATEMENTS: Final = (
    "SELECT upper(body), 1 - (body_4 <=> :a) AS score FROM papers ORDER BY body_4 <=> :a LIMIT 3",
    "SELECT upper(body) FROM papers WHERE year > :b ORDER BY body_4 <=> :a::vector LIMIT 3",
    "SELECT id FROM papers WHERE lower(body) ~ 'x' ORDER BY body_4 <=> :a LIMIT 3",
    "SELECT id FROM papers WHERE lower(body) ~ :b ORDER BY body_4 <=> :a LIMIT 3",
    "SELECT id, cosine_distance(body_4, :a) AS d, body_2 <-> :b AS e FROM papers",
    "SELECT id, body_4 <-> :a AS d, body_4 <-> :b AS e FROM papers ORDER BY d LIMIT 2",
    "SELECT id FROM (SELECT id, body_4 AS v FROM papers) AS p ORDER BY v <=> :a LIMIT 2",
    "WITH near AS (SELECT id, body FROM papers ORDER BY body_4 <=> :a LIMIT 5) "
    "SELECT near.id, count(*) FROM near JOIN papers AS p ON p.body = near.body GROUP BY 1",
    "WITH v AS (SELECT id, rank() OVER (ORDER BY body_4 <=> :a) AS n FROM papers "
    "ORDER BY body_4 <=> :a LIMIT 5), "
    "w AS (SELECT id, rank() OVER (ORDER BY body <@> :b) AS n FROM papers ORDER BY body <@> :b LIMIT 5) "
    "SELECT coalesce(v.id, w.id) FROM v FULL JOIN w ON v.id = w.id ORDER BY 1",
    "SELECT upper(:a) FROM papers ORDER BY body_4 <=> :a LIMIT 2",
    "SELECT id, (body_4 <=> :a) * :b AS d FROM papers ORDER BY d LIMIT 2",
    "SELECT count(*) FROM papers WHERE body_4 <=> :a < :b",
    "(SELECT id FROM papers ORDER BY body_4 <=> :a LIMIT 2) UNION SELECT id FROM papers WHERE price > :b",
    "SELECT upper(body) FROM papers ORDER BY code <~> :a LIMIT 2",
    "SELECT id, body_4 <-> '[0.6,0.8,0,0]' AS d, body_4 <-> :a AS e FROM papers ORDER BY d LIMIT 2",
    "SELECT p.id, p.body_4 <=> :a, q.body_4 <=> 'x' FROM papers AS p JOIN papers AS q ON p.id = q.id",
    "SELECT id FROM papers WHERE lower(body) ~ 'x' AND body_4 <=> :a < :b ORDER BY body_4 <=> :a LIMIT 3",
    "SELECT upper(body), now() FROM papers ORDER BY body_4 <=> :a LIMIT 2",
)

usual = st.sampled_from(["a", "x", "0110100101101001", 2000, 3, 0.5, ONE, OTHER, "[0.6, 0.8, 0, 0]"])
odd = st.sampled_from(["", "[1]", 1, 1.0, True, -0.0, 0.0, None, b"ab", 10**20, [0.7, 0.3], ["a"], [5]])


@st.composite
def rounds(draw: st.DrawFn) -> list[tuple[Any, Any]]:
    """Values of two parameters, the same ones in every combination and in any order."""
    pool = draw(st.lists(st.one_of(usual, usual, odd), min_size=2, max_size=3, unique_by=repr))
    return draw(st.permutations([(a, b) for a in pool for b in pool]))


def planned(session: Session, statement: str, values: Mapping[str, Any]) -> RelationalPlan:
    steps = plan_statement(session, parse(statement), bind_params(values))
    plan = drive(cast(MilvusClient, FakeMilvus([])), steps)
    assert isinstance(plan, RelationalPlan)
    return plan


def outcome(session: Session, statement: str, values: Mapping[str, Any]) -> str:
    """The plan in full, or the error."""
    try:
        return repr(planned(session, statement, values))
    except SqlError as error:
        return f"{type(error).__name__} {error.position} {error}"


def fresh() -> Session:
    return Session(tables={"papers": PAPERS})


@pytest.mark.parametrize("statement", STATEMENTS)
@given(rounds())
@settings(max_examples=8, deadline=None)
def test_a_cached_plan_equals_a_new_one(statement: str, values: list[tuple[Any, Any]]) -> None:
    kept = fresh()
    for a, b in values:
        both = {"a": a, "b": b}
        assert outcome(kept, statement, both) == outcome(fresh(), statement, both)


@pytest.mark.parametrize(
    ("statement", "first", "second"),
    [
        (STATEMENTS[0], {"a": ONE}, {"a": OTHER}),
        (STATEMENTS[0], {"a": "x"}, {"a": "y"}),
        (STATEMENTS[1], {"a": "[0.6,0.8,0,0]", "b": 3}, {"a": "[0,0,0.6,0.8]", "b": 3}),
        (STATEMENTS[2], {"a": ONE}, {"a": OTHER}),
        (STATEMENTS[4], {"a": ONE, "b": [0.6, 0.8]}, {"a": OTHER, "b": [0.8, 0.6]}),
        (STATEMENTS[7], {"a": ONE}, {"a": OTHER}),
        (STATEMENTS[8], {"a": ONE, "b": "x"}, {"a": OTHER, "b": "y"}),
        (STATEMENTS[10], {"a": ONE, "b": 2}, {"a": OTHER, "b": 2}),
        (STATEMENTS[11], {"a": ONE, "b": 0.5}, {"a": OTHER, "b": 0.5}),
    ],
)
def test_targets_of_distances_share_a_plan(
    monkeypatch: pytest.MonkeyPatch, statement: str, first: dict[str, Any], second: dict[str, Any]
) -> None:
    kept = fresh()
    before = planned(kept, statement, first)
    anew = planned(fresh(), statement, second)
    monkeypatch.setattr(relational_planning, "plan_relational", lambda *_: pytest.fail("it is planned again"))
    assert planned(kept, statement, second) == anew != before


@pytest.mark.parametrize("first", [ONE, "[0.6, 0.8, 0, 0]"])
def test_a_constant_target_that_equals_a_parameter_once_stays(first: Any) -> None:
    kept, statement = fresh(), STATEMENTS[14]
    planned(kept, statement, {"a": first})
    assert planned(kept, statement, {"a": OTHER}) == planned(fresh(), statement, {"a": OTHER})


def test_a_subquery_that_runs_by_itself_is_not_taken_for_its_statement() -> None:
    kept = fresh()
    kept.tables["t"] = TABLE
    statement = "SELECT n FROM t WHERE n IN (SELECT a.n FROM t AS a JOIN t AS b ON b.n = a.n)"
    steps = plan_statement(kept, parse(statement), bind_params({}))
    assert isinstance(drive(cast(MilvusClient, FakeMilvus([ROW])), steps), Plan)
    assert not kept.plan_cache.relational


def test_a_changed_table_setting_or_table_of_the_caller_is_planned_again() -> None:
    kept, statement = fresh(), STATEMENTS[4]
    values = {"a": ONE, "b": [0.6, 0.8]}
    before = planned(kept, statement, values)
    assert planned(kept, statement, values) == before
    kept.tables["papers"] = replace(PAPERS, name="others")
    assert planned(kept, statement, values) != before
    kept.tables["papers"] = PAPERS
    kept.settings = SessionSettings(shortlist="off")
    planned(kept, statement, values)
    assert len(kept.plan_cache.relational) == 2
    kept.caller.tables["papers"] = pa.table({"id": [1], "body_4": [ONE], "body_2": [[0.6, 0.8]]})
    assert planned(kept, "SELECT id FROM papers", {}).relations != before.relations


def test_the_plans_that_were_used_last_are_kept() -> None:
    kept, statement = fresh(), STATEMENTS[9]
    first = planned(kept, statement, {"a": "used"})
    for number in range(200):
        planned(kept, "SELECT upper(:a) FROM papers", {"a": str(number)})
        assert planned(kept, statement, {"a": "used"}) is first


def test_a_plan_that_reads_a_file_is_made_again_when_its_columns_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, path = fresh(), tmp_path / "stars.parquet"
    kept.caller = CallerData(files=True)
    statement = f"SELECT * FROM read_parquet('{path}')"

    def rows() -> tuple[tuple[str, ...], Any]:
        result = drive(cast(MilvusClient, FakeMilvus([])), run_relational(kept, planned(kept, statement, {})))
        return result.columns, result.rows

    pyarrow.parquet.write_table(pa.table({"id": [1], "stars": [5]}), path)
    first = planned(kept, statement, {})
    assert rows() == (("id", "stars"), ((1, 5),))
    pyarrow.parquet.write_table(pa.table({"id": [2, 3], "stars": [4, 3]}), path)
    assert planned(kept, statement, {}) is first
    assert rows() == (("id", "stars"), ((2, 4), (3, 3)))
    for changed in ({"stars": [4], "id": [2]}, {"id": [2]}, {"id": ["a"], "stars": [date(2024, 2, 29)]}):
        pyarrow.parquet.write_table(pa.table(changed), path)
        assert rows() == (tuple(changed), tuple(zip(*changed.values(), strict=True)))
    path.unlink()
    with pytest.raises(SqlError, match="No files found"):
        planned(kept, statement, {})
    assert len(kept.plan_cache.relational) == 1
    kept.caller = CallerData(files=False)
    with pytest.raises(SqlError, match="reading files of the server"):
        planned(kept, statement, {})


def test_what_differs_each_time_is_not_cached() -> None:
    kept = fresh()
    planned(kept, STATEMENTS[-1], {"a": ONE})
    assert not kept.plan_cache.relational
