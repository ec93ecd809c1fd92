"""Rows without a column of the plan, and errors of other causes."""

from __future__ import annotations

from typing import Any, cast

import pytest
from pymilvus import MilvusClient
from pymilvus.client.types import LoadState

from nestvec.milvus.catalog import Column, Table
from nestvec.milvus.steps import drive
from nestvec.sql import Session
from nestvec.sql.bind.select_list import OutputColumn
from nestvec.sql.bind.values import ColumnRef
from nestvec.sql.execute.executor import run_plan
from nestvec.sql.plan.nodes import Fetch, Plan
from nestvec_schemas.errors import SqlDataError

TABLE = Table("t", (Column("id", "INT64", primary=True), Column("n", "INT32")))


class RowsWithoutColumn:
    """What Milvus Lite returns of a collection that was created again without the column."""

    def query(self, collection: str, **options: Any) -> list[dict[str, Any]]:
        return [{"id": 1}]

    def get_load_state(self, collection: str) -> dict[str, Any]:
        return {"state": LoadState.Loaded}


def run(name: str) -> None:
    session = Session()
    session.tables["t"] = TABLE
    plan = Plan(Fetch("t", "", ("id", name), 1), (OutputColumn(name, ColumnRef(name)),))
    drive(cast(MilvusClient, RowsWithoutColumn()), run_plan(session, plan))


def test_a_missing_column_is_an_error_of_the_data() -> None:
    with pytest.raises(SqlDataError, match="without a column"):
        run("n")


def test_a_key_error_of_another_cause_is_not_told_as_a_missing_column() -> None:
    with pytest.raises(KeyError, match="other"):
        run("other")
