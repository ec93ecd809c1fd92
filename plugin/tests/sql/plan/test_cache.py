"""Cached plans equal new ones, whatever the parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymilvus import MilvusClient

from nestvec.milvus.catalog import Column, EmbeddingColumn, LexicalColumn, Table, TypeParams
from nestvec.milvus.providers import Endpoint
from nestvec.milvus.steps import drive
from nestvec.sql import Session
from nestvec.sql.bind.params import bind_params
from nestvec.sql.parse.parse import parse
from nestvec.sql.plan.nodes import Plan, VectorSearch, source_of
from nestvec.sql.settings import SessionSettings
from nestvec.sql.statements import select
from nestvec.sql.statements.select import plan_select
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import SqlError

SERVICE = "http://127.0.0.1:8080"
PAPERS = Table(
    name="papers",
    columns=(
        Column("id", "INT64", primary=True),
        Column("body", "VARCHAR", type_params=TypeParams(max_length=1000)),
        Column("year", "INT16", nullable=True),
        Column("price", "DOUBLE"),
        Column("body_2", "FLOAT_VECTOR", type_params=TypeParams(dim=2)),
        Column("body_4", "FLOAT_VECTOR", type_params=TypeParams(dim=4)),
        Column("words", "SPARSE_FLOAT_VECTOR"),
        Column("code", "BINARY_VECTOR", type_params=TypeParams(dim=16)),
    ),
    embeddings=(
        EmbeddingColumn("body", "body_2", Endpoint("openai", SERVICE, EmbeddingConfig("minilm", 2))),
        EmbeddingColumn("body", "body_4", Endpoint("openai", SERVICE, EmbeddingConfig("minilm", 4))),
        EmbeddingColumn(
            "body", "code", Endpoint("nestvec", SERVICE, EmbeddingConfig("minilm", 16, form="binary"))
        ),
    ),
    lexical=(LexicalColumn("body", "words"),),
    metrics={"body_2": "COSINE", "body_4": "COSINE", "words": "BM25", "code": "HAMMING"},
)

STATEMENTS: Final = (
    "SELECT id, 1 - (body_4 <=> :a) AS score FROM papers ORDER BY score DESC LIMIT 3",
    "SELECT id FROM papers WHERE year > :b ORDER BY body <=> :a LIMIT 3 OFFSET 1",
    "SELECT id FROM papers p ORDER BY :a <=> p.body_4 LIMIT :b",
    "SELECT id, body_4 <=> :a AS d FROM papers WHERE body_4 <=> :a < 0.5 ORDER BY d, year LIMIT 3",
    "SELECT id, body_4 <=> :b AS d FROM papers ORDER BY body_4 <=> :a LIMIT 3",
    "SELECT id, body_4 <=> 'x' AS d FROM papers ORDER BY body_4 <=> :a LIMIT 3",
    "SELECT id FROM papers WHERE body = :a ORDER BY body_4 <=> :a LIMIT 3",
    "SELECT id FROM papers ORDER BY body <=> :a LIMIT 3 /*+ shortlist(2, 8) */",
    "SELECT id FROM papers ORDER BY body_4 <=> EMBED(:a) LIMIT 3",
    "SELECT id FROM papers ORDER BY body_4 <=> :a + :b LIMIT 3",
    "SELECT id FROM papers ORDER BY body_4 <=> :a::vector LIMIT 3",
    "SELECT id, RRF(body_4 <=> :a, body <@> :b) AS s FROM papers ORDER BY s DESC LIMIT 3",
    "SELECT id FROM papers ORDER BY WEIGHTED(body_4 <=> :a, body <@> 'x', weights => :b) DESC LIMIT 3",
    "SELECT id FROM papers WHERE price = :b ORDER BY body <@> :a LIMIT 3",
    "SELECT id FROM papers ORDER BY body <@> :a RERANK BY 'cross' LIMIT 3",
    "SELECT id FROM papers ORDER BY RRF(body_4 <=> :a, body <@> :a) DESC "
    "RERANK BY 'cross' WITH (column = body) LIMIT 3",
    "SELECT id FROM papers ORDER BY code <~> :a LIMIT 3",
    "SELECT year, MIN(body_4 <=> :a) AS d FROM papers GROUP BY year ORDER BY d LIMIT 3",
    "SELECT id FROM papers WHERE price = :a OR year = :b",
    "SELECT :a AS one, :b AS other FROM papers LIMIT 3",
    "SELECT id FROM papers WHERE id = ANY(:a) LIMIT 3",
    "SELECT id FROM papers ORDER BY body_4 <=> (SELECT body_4 FROM papers WHERE id = :a) LIMIT 3",
    "SELECT q.t, p.id FROM (VALUES (:a), (:b)) AS q(t), "
    "LATERAL (SELECT id FROM papers ORDER BY body_4 <=> q.t LIMIT 2) AS p",
    "SELECT :a + 1 AS one",
)

VECTORS: Final = ([0.6, 0.8, 0.0, 0.0], [0, -0.0, 0.8, True], "[0.6, 0.8, 0, 0]")
ODD_LISTS: Final = (
    [0.7, 0.3], ["a"], [5], [0.6, 0.8, 0.0, float("nan")], [1e39, 0.0, 0.0, 0.0],
    [3.4e38, -3.4e38, 0.0, 3.4e38],
)  # fmt: skip
usual = st.sampled_from(["a", "b", "0110100101101001", 2000, 3, *VECTORS])
odd = st.sampled_from(
    ["", "[1]", "a\0", 1, 1.0, True, -0.0, 0.0, None, float("nan"), b"ab", 10**20, *ODD_LISTS]
)


@st.composite
def rounds(draw: st.DrawFn) -> list[tuple[Any, Any]]:
    """Values of two parameters, the same ones in every combination and in any order."""
    pool = draw(st.lists(st.one_of(usual, usual, odd), min_size=2, max_size=4, unique_by=repr))
    return draw(st.permutations([(a, b) for a in pool for b in pool]))


class _Milvus:
    """Has only the collections that a session holds."""

    def has_collection(self, name: str) -> bool:
        return False

    def list_collections(self) -> list[str]:
        return []


def planned(session: Session, statement: str, asked: Mapping[str, Any]) -> Plan:
    steps = plan_select(session, parse(statement), bind_params(asked))
    return drive(cast(MilvusClient, _Milvus()), steps)


def outcome(session: Session, statement: str, asked: Mapping[str, Any]) -> str:
    """The plan in full, types of numbers and signs of zeros included, or the error."""
    try:
        return repr(planned(session, statement, asked))
    except SqlError as error:
        return f"{type(error).__name__} {error.position} {error}"


def fresh(over: Table = PAPERS, **changed: Any) -> Session:
    return Session(SessionSettings(**changed), tables={"papers": over})


@pytest.mark.parametrize("statement", STATEMENTS)
@given(rounds())
@settings(max_examples=40, deadline=None)
def test_a_cached_plan_equals_a_new_one(statement: str, asked: list[tuple[Any, Any]]) -> None:
    kept = fresh()
    for a, b in asked:
        both = {"a": a, "b": b}
        assert outcome(kept, statement, both) == outcome(fresh(), statement, both)


@pytest.mark.parametrize(
    ("statement", "one", "other"),
    [
        (STATEMENTS[0], {"a": [0.6, 0.8, 0.0, 0.0]}, {"a": [0.0, 0.0, 0.6, 0.8]}),
        (STATEMENTS[1], {"a": "x", "b": 2000}, {"a": "y", "b": 2000}),
        (STATEMENTS[3], {"a": "x"}, {"a": "y"}),
        (STATEMENTS[11], {"a": [0.6, 0.8, 0.0, 0.0], "b": "x"}, {"a": [0.0, 0.0, 0.6, 0.8], "b": "y"}),
        (STATEMENTS[18], {"a": 0.5, "b": 3}, {"a": 0.5, "b": 3}),
    ],
)
def test_targets_of_distances_share_a_plan(
    monkeypatch: pytest.MonkeyPatch, statement: str, one: dict[str, Any], other: dict[str, Any]
) -> None:
    kept = fresh()
    planned(kept, statement, one)
    anew = planned(fresh(), statement, other)
    monkeypatch.setattr(select, "bind_query", lambda *_: pytest.fail("it is bound again"))
    assert planned(kept, statement, other) == anew


def test_another_table_or_service_is_planned_again() -> None:
    kept = fresh()
    statement, asked = STATEMENTS[0], {"a": [0.6, 0.8, 0.0, 0.0]}
    assert planned(kept, statement, asked)
    kept.tables["papers"] = replace(PAPERS, metrics={"body_4": "L2"})
    with pytest.raises(SqlError, match="column body_4 is indexed by L2"):
        planned(kept, statement, asked)
    elsewhere = "SELECT id FROM papers ORDER BY own <=> EMBED('x', 'other') LIMIT 1"
    own = Column("own", "FLOAT_VECTOR", type_params=TypeParams(dim=2))
    kept = fresh(replace(PAPERS, columns=(*PAPERS.columns, own), metrics={"own": "COSINE"}))
    assert planned(kept, elsewhere, {}).services == ("http://127.0.0.1:8080",)
    kept.settings = SessionSettings(service="http://other:1")
    assert planned(kept, elsewhere, {}).services == ("http://other:1",)


def test_a_shortlist_follows_the_current_settings() -> None:
    kept = fresh()
    statement, asked = "SELECT id FROM papers ORDER BY body <=> :a LIMIT 3", {"a": "x"}
    whole = planned(kept, statement, asked)
    kept.settings = SessionSettings(shortlist="2:8")
    assert isinstance(source_of(whole.node), VectorSearch)
    assert planned(kept, statement, asked) == planned(fresh(shortlist="2:8"), statement, asked) != whole


def test_the_cache_is_bounded_and_excludes_long_statements() -> None:
    kept = fresh()
    for at in range(300):
        planned(kept, f"SELECT id FROM papers WHERE id = {at}", {})
    first = len(kept.plan_cache.plans)
    assert 0 < first < 300
    planned(kept, f"SELECT id FROM papers WHERE body = '{'x' * 5000}'", {})
    planned(kept, "SELECT id FROM papers WHERE body = :a", {"a": "x" * 5000})
    assert max(len(str(key)) for key in kept.plan_cache.plans) < 5000


@pytest.mark.parametrize("clock", ["now()", "current_timestamp", "current_date"])
def test_the_time_is_read_for_each_execution(clock: str) -> None:
    kind = "date" if clock == "current_date" else "timestamptz"
    changed = Column("changed", "INT64", type_params=TypeParams(sql_type=kind))
    kept = fresh(replace(PAPERS, columns=(*PAPERS.columns, changed)))
    rankers = f"RERANK BY DECAY(changed, origin => {clock}, scale => INTERVAL '1 day')"
    planned(kept, f"SELECT id FROM papers ORDER BY body_4 <=> 'x' {rankers} LIMIT 1", {})
    assert not kept.plan_cache.plans
