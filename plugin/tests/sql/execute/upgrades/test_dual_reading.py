"""Dual reading: which collection it reads, and that a second key of ORDER BY does not undo its order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest
from pymilvus import MilvusClient, MilvusException

from nestvec.milvus.catalog import Table
from nestvec.milvus.fingerprints import RecordedUpgrade
from nestvec.milvus.providers import Endpoint
from nestvec.milvus.steps import Steps, drive
from nestvec.sql import Session, SessionSettings
from nestvec.sql.execute.executor import run_node
from nestvec.sql.execute.rows import ScoredRow
from nestvec.sql.execute.upgrades import dual_reading
from nestvec.sql.plan.nodes import HybridSearch, Plan, Rescore, VectorSearch, source_of
from nestvec.sql.plan.reading_statistics import READING_PREFIX, Reading, ReadingStatistics
from nestvec.sql.settings import IndexSettings
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import CollectionNotFound

Planned = Callable[..., Plan]

OLD = [1, 2, 3, 4]
"""The keys by the old vectors, nearest first; 3 and 4 are equally far away."""

DISTANCES = {1: 0.1, 2: 0.2, 3: 0.3, 4: 0.3}
UPGRADE = RecordedUpgrade(old="minilm", encoder="new", dim=64, target="pydoc__2")


def upgraded(table: Table, encoder: str = "minilm", upgrade: RecordedUpgrade | None = UPGRADE) -> Table:
    """The table with ``doc_64`` by an encoder, and what is recorded of its upgrade."""
    endpoint = Endpoint("openai", "http://127.0.0.1:8080", EmbeddingConfig(encoder, 64))
    first, *others = table.embeddings
    return replace(table, embeddings=(replace(first, endpoint=endpoint, upgrade=upgrade), *others))


class Copied:
    """A Milvus in which every row has new vectors."""

    def __init__(self, keys: tuple[int, ...]) -> None:
        self.keys = keys
        """The rows by these, nearest first."""

    def has_collection(self, name: str) -> bool:
        return True

    def get_server_version(self) -> str:
        return "2.6.0"

    def get_load_state(self, name: str) -> dict[str, Any]:
        return {"state": 3}

    def load_collection(self, name: str) -> None:
        pass

    def search(self, name: str, **options: Any) -> list[list[dict[str, Any]]]:
        assert name == UPGRADE.target
        return [[{"entity": {"id": key}} for key in self.keys]]

    def query(self, name: str, **options: Any) -> list[dict[str, Any]]:
        assert name == UPGRADE.target
        return [{"id": key} for key in OLD]


@pytest.fixture
def read(planned: Planned, table: Table, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs a statement where ``target`` is the collection that the record names; returns rows and session."""
    upgraded_table = upgraded(table)

    def run_search(session: Session, node: VectorSearch) -> Steps[list[ScoredRow]]:
        yield from ()
        return [ScoredRow({"id": key}, DISTANCES[key]) for key in OLD][: node.limit]

    def resolve(session: Session, targets: list[Any]) -> Steps[list[list[float]]]:
        yield from ()
        return [[1.0]]

    def run(
        target: Table | None,
        statement: str,
        keys: tuple[int, ...] = (3, 1, 4, 2),
        *,
        mode: str = "on",
        own: Table = upgraded_table,
    ) -> tuple[list[ScoredRow], Session]:
        def table_steps(name: str) -> Steps[Table]:
            yield from ()
            assert name == UPGRADE.target
            if target is None:
                raise CollectionNotFound("there is no collection of this name", value=name, next_step="")
            return target

        monkeypatch.setattr(dual_reading, "table_steps", table_steps)
        settings = SessionSettings(index=IndexSettings(dual_reading=mode))
        session = Session(settings, tables={own.name: own})
        node = planned(statement, over=own).node
        return drive(cast(MilvusClient, Copied(keys)), run_node(session, node)), session

    monkeypatch.setattr(dual_reading, "run_search", run_search)
    monkeypatch.setattr(dual_reading, "resolve_targets", resolve)
    return run


STATEMENT = "SELECT id FROM pydoc ORDER BY doc_64 <=> 'x' LIMIT 4"


@pytest.mark.parametrize(
    ("target", "notice"),
    [
        (None, "there is no collection pydoc__2"),
        (("pydoc", "new", None), "another change has taken the name pydoc__2"),
        (("pydoc__2", "minilm", None), "another change has taken the name pydoc__2"),
        (("pydoc__2", "new", UPGRADE), "another change has taken the name pydoc__2"),
    ],
)
def test_a_collection_without_the_new_vectors_is_not_read(
    read: Callable[..., Any],
    table: Table,
    target: tuple[str, str, RecordedUpgrade | None] | None,
    notice: str,
) -> None:
    named = None
    if target is not None:
        name, encoder, upgrade = target
        named = replace(upgraded(table, encoder, upgrade), name=name)
    rows, session = read(named, STATEMENT)
    assert [row.row["id"] for row in rows] == OLD
    (text,) = session.notices.take()
    assert text.startswith(f"nestvec.dual_reading does not apply to pydoc.doc_64: {notice}")


def test_a_search_of_the_new_vectors_that_fails_is_said(
    read: Callable[..., Any], table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    def search(self: Copied, name: str, **options: Any) -> Any:
        raise MilvusException(106, "collection on recovering")

    monkeypatch.setattr(Copied, "search", search)
    rows, session = read(replace(upgraded(table, "new", None), name="pydoc__2"), STATEMENT)
    assert [row.row["id"] for row in rows] == OLD
    (text,) = session.notices.take()
    assert "does not apply to pydoc.doc_64: pydoc__2 cannot be searched: " in text


def measured(old: float, fused: float, **changes: str) -> str:
    """What ANALYZE stores of ``doc_64``."""
    statistics = ReadingStatistics(
        **{"column": "doc_64", "encoder": "new", "target": "pydoc__2", "started": "", **changes},
        rows=4,
        copied=4,
        queries=100,
        old=Reading(recall=1.0, reciprocal_rank=old),
        fused=Reading(recall=1.0, reciprocal_rank=fused),
    )
    return statistics.model_dump_json()


@pytest.mark.parametrize(
    ("stored", "ids", "notices"),
    [
        (None, OLD, 1),
        ("{}", OLD, 1),
        (measured(0.8, 0.9, target="pydoc__1"), OLD, 1),
        (measured(0.8, 0.9, started="2026-01-01T00:00:00Z"), OLD, 1),
        (measured(0.8, 0.9, column="doc_32"), OLD, 1),
        (measured(0.8, 0.8), OLD, 0),
        (measured(0.8, 0.79), OLD, 0),
        (measured(0.8, 0.9), [1, 3, 2, 4], 0),
    ],
)
def test_auto_fuses_where_analyze_measured_that_it_finds_more(
    read: Callable[..., Any], table: Table, stored: str | None, ids: list[int], notices: int
) -> None:
    target = replace(upgraded(table, "new", None), name="pydoc__2")
    properties = {} if stored is None else {f"{READING_PREFIX}doc_64": stored}
    own = replace(upgraded(table), properties={**table.properties, **properties})
    rows, session = read(target, STATEMENT, mode="auto", own=own)
    assert [row.row["id"] for row in rows] == ids
    texts = session.notices.take()
    assert len(texts) == notices
    assert all("pydoc.doc_64: run ANALYZE pydoc, which" in text for text in texts)


@pytest.mark.parametrize("order", ["", ", id", ", id DESC"])
def test_a_second_key_does_not_undo_the_order_by_both(
    read: Callable[..., Any], table: Table, order: str
) -> None:
    target = replace(upgraded(table, "new", None), name="pydoc__2")
    rows, session = read(target, STATEMENT.replace(" LIMIT", f"{order} LIMIT"))
    # By rank: 1 is first and second, 3 third and first; 2 second and last, 4 last and third.
    assert [row.row["id"] for row in rows] == [1, 3, 2, 4]
    assert session.notices.take() == ()
    assert [row.distance for row in rows] == [0.1, 0.3, 0.2, 0.3]


@pytest.mark.parametrize(("order", "ids"), [("id", [1, 2, 3, 4]), ("id DESC", [2, 1, 4, 3])])
def test_a_second_key_orders_rows_of_the_same_score(
    read: Callable[..., Any], table: Table, order: str, ids: list[int]
) -> None:
    target = replace(upgraded(table, "new", None), name="pydoc__2")
    rows, _ = read(target, STATEMENT.replace(" LIMIT", f", {order} LIMIT"), (2, 1, 4, 3))
    assert [row.row["id"] for row in rows] == ids


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"group": "kind"}, "a search of groups is by the old vectors"),
        ({"exact": True}, "a search with a threshold is by the old vectors"),
        ({"highlight": "doc"}, "a search with highlights is by the old vectors"),
    ],
)
def test_a_notice_says_why_a_search_is_not_fused(
    planned: Planned, table: Table, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], why: str
) -> None:
    def run_search(session: Session, node: VectorSearch) -> Steps[list[ScoredRow]]:
        yield from ()
        return []

    monkeypatch.setattr(dual_reading, "run_search", run_search)
    own = upgraded(table)
    session = Session(SessionSettings(index=IndexSettings(dual_reading="on")), tables={own.name: own})
    search = source_of(planned(STATEMENT, over=own).node)
    assert isinstance(search, VectorSearch)
    for _ in range(2):
        drive(
            cast(MilvusClient, Copied(())), dual_reading.run_vector_search(session, replace(search, **change))
        )
    assert session.notices.take() == (f"nestvec.dual_reading does not apply to pydoc.doc_64: {why}",)


def test_searches_of_several_columns_and_by_a_shortlist_are_by_the_old_vectors_and_say_so(
    planned: Planned, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = list[tuple[str, str]]()

    def run_search(session: Session, node: VectorSearch) -> Steps[list[ScoredRow]]:
        yield from ()
        columns.append((node.nearest.column, session.settings.index.dual_reading))
        return [ScoredRow({"id": key}, DISTANCES[key]) for key in OLD]

    def run_hybrid(session: Session, node: HybridSearch) -> Steps[list[ScoredRow]]:
        yield from ()
        return []

    monkeypatch.setattr(dual_reading, "run_search", run_search)
    monkeypatch.setattr(dual_reading, "run_hybrid", run_hybrid)
    own = upgraded(table)
    search = source_of(planned(STATEMENT, over=own).node)
    assert isinstance(search, VectorSearch)
    short = replace(search, nearest=replace(search.nearest, column="doc_32"))
    hybrid = source_of(
        planned("SELECT id FROM pydoc ORDER BY RRF(doc_64 <=> 'x', doc_l2 <-> 'x') DESC LIMIT 4").node
    )
    for node, why in (
        (Rescore(short, search, "id", 32), "a search by a shortlist is by the old vectors"),
        (hybrid, "a search that Milvus fuses or scores is by the old vectors"),
    ):
        session = Session(SessionSettings(index=IndexSettings(dual_reading="on")), tables={own.name: own})
        drive(cast(MilvusClient, Copied(())), run_node(session, node))
        assert session.notices.take() == (f"nestvec.dual_reading does not apply to pydoc.doc_64: {why}",)
    assert columns == [("doc_32", "off"), ("doc_64", "off")]


def test_what_is_ordered_by_the_distance_itself_is_read_without(table: Table) -> None:
    own = upgraded(table)
    session = Session(SessionSettings(index=IndexSettings(dual_reading="on")), tables={own.name: own})
    reading = dual_reading.old_reading(session, own, ["doc_32"])
    assert reading.settings.index.dual_reading == "off"
    assert session.settings.index.dual_reading == "on"
    assert session.notices.take() == ()
    dual_reading.old_reading(session, own, ["doc_64"])
    (text,) = session.notices.take()
    assert "a statement that DuckDB computes, or LATERAL" in text
    plain = Session(tables={own.name: own})
    assert dual_reading.old_reading(plain, own, ["doc_64"]) is plain
    assert plain.notices.take() == ()
