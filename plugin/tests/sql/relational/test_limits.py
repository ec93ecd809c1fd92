"""Values and texts that would take all memory, or that Python has no number for."""

from __future__ import annotations

from typing import cast

import pytest
from pymilvus import MilvusClient

from nestvec.milvus.steps import drive
from nestvec.sql import Session, StatementResult
from nestvec.sql.statements import execute_steps
from nestvec_schemas.errors import SqlNotSupported, SqlTypeMismatch


def run(statement: str) -> StatementResult:
    return drive(cast(MilvusClient, None), execute_steps(Session(), statement, None))


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("format('%1000000000s', 'a')", "requested length too large"),
        ("to_char(1.5, '9.' || repeat('9', 3000))", "at most 1,000 digits after the point"),
        ("jsonb_pretty((repeat('[', 3000) || repeat(']', 3000))::jsonb)", "the JSON is nested too deeply"),
        ("'100000000 years'::interval", "an interval is of 999,999,999 days at most"),
    ],
)
def test_what_is_too_large_is_refused(expression: str, message: str) -> None:
    with pytest.raises(SqlTypeMismatch, match=message):
        run(f"SELECT {expression}")


def test_a_number_without_a_roman_numeral_is_written_so_however_large_it_is() -> None:
    assert run("SELECT to_char(1e40::float8, 'RN'), to_char(14, 'FMRN')").rows == (("#" * 15, "XIV"),)


@pytest.mark.parametrize(
    "expression",
    ["(x.*) IS NULL", "(x.*)::text", "x.*::text", "coalesce(x.*)", "count(DISTINCT x.*)", "x::text"],
)
def test_a_row_as_a_value_is_refused_by_name(expression: str) -> None:
    with pytest.raises(SqlNotSupported, match="a row as one value is not supported"):
        run(f"SELECT {expression} FROM (SELECT 1 AS a, 2 AS b) AS x")
    assert run("SELECT count(x.*), count(*) FROM (SELECT 1 AS a) AS x").rows == ((1, 1),)
