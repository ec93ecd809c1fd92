"""Distances between columns of two encoders say nothing, and are refused."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest
from pymilvus import MilvusClient

from nestvec.milvus.catalog import Column, EmbeddingColumn, Table, TypeParams
from nestvec.milvus.providers import Endpoint
from nestvec.milvus.steps import drive
from nestvec.sql import Session
from nestvec.sql.bind.params import bind_params
from nestvec.sql.parse.parse import parse
from nestvec.sql.relational.plan import plan_relational
from nestvec.sql.statements.select import plan_select
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import SqlTypeMismatch


def embedded(name: str, encoder: str, fingerprint: str | None) -> EmbeddingColumn:
    config = EmbeddingConfig(encoder, 4, fingerprint=fingerprint)
    return EmbeddingColumn("text", name, Endpoint("openai", "http://127.0.0.1:8080", config))


VECTORS = ("a", "b", "c", "d", "e", "own")
TABLE = Table(
    "papers",
    (
        Column("id", "INT64", primary=True),
        Column("text", "VARCHAR"),
        *(Column(name, "FLOAT_VECTOR", type_params=TypeParams(dim=4)) for name in VECTORS),
    ),
    embeddings=(
        embedded("a", "minilm", "1" * 16),
        embedded("b", "bge", "2" * 16),
        embedded("c", "bge.as.minilm", "1" * 16),
        embedded("d", "minilm", None),
        embedded("e", "", None),
    ),
    metrics=dict.fromkeys(VECTORS, "COSINE"),
)
OTHER = replace(TABLE, name="other")

OF_TWO_ENCODERS = (
    "SELECT a <=> b FROM papers",
    "SELECT d <-> b FROM papers",
    "SELECT cosine_distance(a, b) FROM papers",
    "SELECT avg(a) <=> avg(b) FROM papers",
    "SELECT subvector(a, 1, 2) <=> subvector(b, 1, 2) FROM papers",
    "SELECT p.id FROM papers p JOIN other o ON p.a <=> o.b < 0.5",
    "WITH w AS (SELECT id, b AS v FROM other) SELECT p.a <=> w.v FROM papers p JOIN w ON w.id = p.id",
    "WITH w AS (SELECT avg(b) AS m FROM other) SELECT p.a <=> w.m FROM papers p, w",
    "SELECT p.a <=> w.m FROM papers p, (SELECT l2_normalize(o.m) AS m FROM (SELECT b AS m FROM other) o) w",
    "SELECT a <=> (SELECT b FROM other WHERE id = 1) FROM papers",
)
OF_ONE_SPACE = (
    "SELECT a <=> c FROM papers",
    "SELECT a <=> d FROM papers",
    "SELECT b <=> e FROM papers",
    "SELECT a <=> own FROM papers",
    "SELECT a <=> (SELECT c FROM other WHERE id = 1) FROM papers",
    "WITH w AS (SELECT avg(c) AS m FROM other) SELECT p.a <=> w.m FROM papers p, w",
)


class Milvus:
    """Of a plan, nothing is read but what there is."""

    def get_server_version(self) -> str:
        return "2.6.0"

    def has_collection(self, name: str) -> bool:
        return False


def plan(statement: str) -> None:
    session = Session(tables={TABLE.name: TABLE, OTHER.name: OTHER})
    parsed = parse(statement)
    steps = plan_relational(session, parsed.source, parsed.tree, bind_params(None))
    drive(cast(MilvusClient, Milvus()), steps)


@pytest.mark.parametrize("statement", OF_TWO_ENCODERS)
def test_a_distance_between_columns_of_two_encoders_is_refused(statement: str) -> None:
    with pytest.raises(SqlTypeMismatch, match="not comparable with those of"):
        plan(statement)


@pytest.mark.parametrize("statement", OF_ONE_SPACE)
def test_columns_of_one_space_are_compared(statement: str) -> None:
    plan(statement)


@pytest.mark.parametrize(("column", "is_refused"), [("b", True), ("c", False), ("d", False), ("own", False)])
def test_so_is_a_search_for_a_stored_vector_of_another_encoder(column: str, is_refused: bool) -> None:
    statement = f"SELECT id FROM papers ORDER BY a <=> (SELECT {column} FROM other WHERE id = 1) LIMIT 3"
    session = Session(tables={TABLE.name: TABLE, OTHER.name: OTHER})
    steps = plan_select(session, parse(statement), bind_params(None))
    if is_refused:
        with pytest.raises(SqlTypeMismatch, match="column a holds vectors of minilm"):
            drive(cast(MilvusClient, Milvus()), steps)
    else:
        drive(cast(MilvusClient, Milvus()), steps)
