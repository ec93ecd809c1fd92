"""Collections that others change are read again after some seconds."""

from __future__ import annotations

from typing import Any, cast

import pytest
from pymilvus import DataType, FunctionType, MilvusClient, MilvusException

from nestvec.milvus.catalog import Table, table_steps
from nestvec.milvus.fingerprints import RecordedUpgrade, upgrade_property
from nestvec.milvus.process_changes import TABLE_SECONDS
from nestvec.milvus.steps import drive
from nestvec.sql import Session
from nestvec.sql.bind.vectors.distance import DistanceRanking
from nestvec.sql.execute.choose_search import searched_index
from nestvec.sql.parse.parse import parse
from nestvec.sql.plan.index_kinds import Workload
from nestvec.sql.plan.search_method import by_index
from nestvec.sql.settings import IndexSettings

STATEMENT = parse("SELECT id FROM Papers ORDER BY v <=> '[1, 2]' LIMIT 3").tree


class Milvus:
    """One collection, whose index the test changes."""

    def __init__(self) -> None:
        self.index: dict[str, Any] = {"index_type": "HNSW", "metric_type": "COSINE", "field_name": "v"}
        self.encoder, self.upgrade = "", ""
        self.reads = 0
        self.exists = True
        self.reachable = True

    def has_collection(self, name: str) -> bool:
        if not self.reachable:
            raise MilvusException(message="server unavailable")
        return self.exists and name == "papers"

    def list_collections(self) -> list[str]:
        return ["papers"] if self.exists else []

    def describe_collection(self, name: str) -> dict[str, Any]:
        self.reads += 1
        return {
            "collection_name": name,
            "fields": [
                {"name": "id", "type": DataType.INT64, "params": {}, "is_primary": True},
                {"name": "v", "type": DataType.FLOAT_VECTOR, "params": {"dim": 2}},
                {"name": "text", "type": DataType.VARCHAR, "params": {"max_length": 100}},
            ],
            "functions": [self.function] if self.encoder else [],
            "properties": {upgrade_property("v"): self.upgrade} if self.upgrade else {},
        }

    @property
    def function(self) -> dict[str, Any]:
        endpoint = f"http://127.0.0.1:8080?encoder={self.encoder}&dim=2"
        return {
            "name": "f",
            "type": FunctionType.TEXTEMBEDDING,
            "input_field_names": ["text"],
            "output_field_names": ["v"],
            "params": {"provider": "tei", "endpoint": endpoint},
        }

    def list_indexes(self, name: str) -> list[str]:
        return ["v"]

    def describe_index(self, name: str, index: str) -> dict[str, Any]:
        return self.index


class Clock:
    """Seconds that pass when the test says so."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def milvus() -> Milvus:
    return Milvus()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def session(milvus: Milvus, clock: Clock) -> Session:
    session = Session()
    session.search_cache.clock = clock
    read(session, milvus)
    assert refresh(session, milvus) is session.tables["papers"]
    return session


def read(session: Session, milvus: Milvus) -> Table:
    session.tables["papers"] = table = drive(cast(MilvusClient, milvus), table_steps("papers"))
    return table


def refresh(session: Session, milvus: Milvus) -> Table | None:
    drive(cast(MilvusClient, milvus), session.refresh_aged(STATEMENT))
    return session.tables.get("papers")


def test_a_table_is_read_again_when_it_is_old(session: Session, milvus: Milvus, clock: Clock) -> None:
    first = session.tables["papers"]
    milvus.index = milvus.index | {"metric_type": "L2"}
    clock.now += TABLE_SECONDS - 1
    assert refresh(session, milvus) is first
    assert milvus.reads == 1
    clock.now += 1
    second = refresh(session, milvus)
    assert second is not None
    assert (first.metrics, second.metrics) == ({"v": "COSINE"}, {"v": "L2"})


def test_a_table_that_is_what_it_was_stays_the_same_object(
    session: Session, milvus: Milvus, clock: Clock
) -> None:
    first = session.tables["papers"]
    for reads in (2, 3):
        clock.now += TABLE_SECONDS
        assert refresh(session, milvus) is first
        assert refresh(session, milvus) is first
        assert milvus.reads == reads


def test_a_table_that_is_being_upgraded_is_read_for_each_statement(milvus: Milvus, clock: Clock) -> None:
    """So that no query is embedded by the encoder of before once the name leads to other vectors."""
    session = Session()
    session.search_cache.clock = clock
    milvus.encoder, milvus.upgrade = "old", RecordedUpgrade(old="old", encoder="new").model_dump_json()
    assert read(session, milvus).embeddings[0].config.encoder == "old"
    milvus.encoder, milvus.upgrade = "new", ""
    switched = refresh(session, milvus)
    assert switched is not None
    assert switched.embeddings[0].config.encoder == "new"
    refresh(session, milvus)
    assert milvus.reads == 2


def test_a_table_that_is_gone_is_forgotten(session: Session, milvus: Milvus, clock: Clock) -> None:
    clock.now += TABLE_SECONDS
    milvus.exists = False
    assert refresh(session, milvus) is None


def test_an_error_of_milvus_is_left_to_the_statement(session: Session, milvus: Milvus, clock: Clock) -> None:
    first = session.tables["papers"]
    clock.now += TABLE_SECONDS
    milvus.reachable = False
    assert refresh(session, milvus) is first
    milvus.reachable, milvus.index = True, milvus.index | {"metric_type": "IP"}
    changed = refresh(session, milvus)
    assert changed is not None
    assert changed.metrics == {"v": "IP"}


def test_a_sparse_index_without_its_small_weights_is_approximate(session: Session, milvus: Milvus) -> None:
    milvus.index = {"index_type": "SPARSE_INVERTED_INDEX", "metric_type": "IP", "field_name": "v"}
    nearest = DistanceRanking("v", "IP", ())
    for ratio, described in (
        ("0.0", "exact: SPARSE_INVERTED_INDEX compares every vector"),
        (
            "0.2",
            "approximate: SPARSE_INVERTED_INDEX was built with drop_ratio_build 0.2: small weights are not",
        ),
    ):
        milvus.index = milvus.index | {"drop_ratio_build": ratio}
        table = read(session, milvus)
        index = drive(cast(MilvusClient, milvus), searched_index(session, table, nearest))
        method = by_index(index, Workload(3, rows=9, matching=9, recall=0.99), IndexSettings())
        assert method.described.startswith(described)
