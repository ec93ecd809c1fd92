"""A collection whose rows a fake client returns, and statements that DuckDB answers over them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
from pymilvus import MilvusClient
from pymilvus.client.types import LoadState

from nestvec.milvus.catalog import Column, Table, TypeParams
from nestvec.milvus.steps import drive
from nestvec.sql import Session, StatementResult
from nestvec.sql.bind.params import bind_params
from nestvec.sql.parse.parse import parse
from nestvec.sql.relational.plan import plan_relational
from nestvec.sql.relational.relations import RelationalPlan
from nestvec.sql.relational.run import run_relational
from nestvec.sql.session import CallerData

ROW = {
    "n": 7,
    "small": None,
    "real": 0.10000000149011612,
    "wide": -2.5,
    "name": "Ábc, déf",
    "none": None,
    "yes": True,
    "tags": ["x", "y"],
    "empty": [],
    "meta": {"a": [1, {"z": None, "é": "ü"}], "k": 1.0, "s": "12", "b": True, "o": {"a": "A"}},
    "v": [3.0, 4.0],
}
TABLE = Table(
    "t",
    (
        Column("n", "INT64", primary=True),
        Column("small", "INT16", nullable=True),
        Column("real", "FLOAT"),
        Column("wide", "DOUBLE"),
        Column("name", "VARCHAR"),
        Column("none", "VARCHAR", nullable=True),
        Column("yes", "BOOL"),
        Column("tags", "ARRAY", type_params=TypeParams(element_type="VARCHAR")),
        Column("empty", "ARRAY", type_params=TypeParams(element_type="INT32")),
        Column("meta", "JSON"),
        Column("v", "FLOAT_VECTOR", type_params=TypeParams(dim=2)),
    ),
)


class FakeMilvus:
    """Returns the same rows whatever is asked, and remembers the requests."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows
        self.requests: list[dict[str, Any]] = []

    def query(self, collection: str, **options: Any) -> list[dict[str, Any]]:
        self.requests.append({"collection": collection, **options})
        names = options["output_fields"]
        rows = [{name: row[name] for name in names} for row in self.rows]
        return rows[: options.get("limit", len(rows))]

    def get_load_state(self, collection: str) -> dict[str, Any]:
        return {"state": LoadState.Loaded}

    def get_server_version(self) -> str:
        return "2.6.0"

    def has_collection(self, name: str) -> bool:
        return False

    def list_collections(self) -> list[str]:
        return ["t"]


@pytest.fixture
def milvus() -> FakeMilvus:
    return FakeMilvus([ROW])


@pytest.fixture
def plan(milvus: FakeMilvus) -> Callable[..., RelationalPlan]:
    """The relational plan of a statement over ``TABLE``."""

    def planned(statement: str, values: Any = None, **registered: Any) -> RelationalPlan:
        session, parsed = Session(tables={"t": TABLE}, caller=CallerData(registered)), parse(statement)
        steps = plan_relational(session, parsed.source, parsed.tree, bind_params(values))
        return drive(cast(MilvusClient, milvus), steps)

    return planned


@pytest.fixture
def answer(milvus: FakeMilvus, plan: Callable[..., RelationalPlan]) -> Callable[..., StatementResult]:
    """The answer of DuckDB to a statement over ``TABLE``."""

    def answered(statement: str, values: Any = None, **registered: Any) -> StatementResult:
        session = Session(tables={"t": TABLE}, caller=CallerData(registered))
        relational = plan(statement, values, **registered)
        return drive(cast(MilvusClient, milvus), run_relational(session, relational))

    return answered
