"""A collection with a column of every kind that SQL meets; no Milvus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
from pymilvus import MilvusClient, MilvusException

from nestvec.milvus.catalog import Column, EmbeddingColumn, Table, TypeParams
from nestvec.milvus.providers import Endpoint
from nestvec.milvus.steps import drive
from nestvec.sql import Session
from nestvec.sql.bind.params import bind_params
from nestvec.sql.parse.parse import parse
from nestvec.sql.plan.nodes import Plan
from nestvec.sql.statements.select import plan_select
from nestvec_schemas.embedding_config import EmbeddingConfig

Planned = Callable[..., Plan]

SERVICE = "http://127.0.0.1:8080"


class _Milvus:
    """Knows the name of one collection, which a session holds already."""

    def __init__(self, name: str) -> None:
        self.name = name

    def has_collection(self, name: str) -> bool:
        return False

    def list_collections(self) -> list[str]:
        return [self.name]

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def refuse(*args: object, **kwargs: object) -> Any:
            raise MilvusException(message=f"{method} is not to be had here")

        return refuse


@pytest.fixture(scope="session")
def table() -> Table:
    endpoint = Endpoint("openai", SERVICE, EmbeddingConfig("minilm", 64))
    return Table(
        name="pydoc",
        columns=(
            Column("id", "INT64", primary=True),
            Column("name", "VARCHAR", type_params=TypeParams(max_length=256)),
            Column("module", "VARCHAR", nullable=True, type_params=TypeParams(max_length=64)),
            Column("year", "INT16", nullable=True),
            Column("score", "FLOAT"),
            Column("price", "DOUBLE", nullable=True),
            Column("public", "BOOL", nullable=True),
            Column("Mixed", "INT32"),
            Column("meta", "JSON", nullable=True),
            Column("like", "INT32"),
            Column(
                "tags",
                "ARRAY",
                nullable=True,
                type_params=TypeParams(element_type="VARCHAR", max_capacity=16),
            ),
            Column("body", "VARCHAR", type_params=TypeParams(max_length=1000, analyzed=True)),
            Column("doc_64", "FLOAT_VECTOR", type_params=TypeParams(dim=64)),
            Column("doc_l2", "FLOAT_VECTOR", type_params=TypeParams(dim=64)),
            Column("doc_ip", "FLOAT_VECTOR", type_params=TypeParams(dim=64)),
            Column("own", "FLOAT_VECTOR", type_params=TypeParams(dim=3)),
            Column("bare", "FLOAT_VECTOR", type_params=TypeParams(dim=3)),
        ),
        embeddings=tuple(
            EmbeddingColumn("name", column, endpoint) for column in ("doc_64", "doc_l2", "doc_ip")
        ),
        metrics={"doc_64": "COSINE", "doc_l2": "L2", "doc_ip": "IP", "own": "COSINE"},
    )


@pytest.fixture(scope="session")
def planned(table: Table) -> Planned:
    """The plan of a SELECT over ``table``, or over another; no Milvus is asked."""

    def plan(statement: str, given: Any = None, over: Table = table) -> Plan:
        parsed = parse(statement)
        session = Session(tables={over.name: over})
        return drive(cast(MilvusClient, _Milvus(over.name)), plan_select(session, parsed, bind_params(given)))

    return plan
