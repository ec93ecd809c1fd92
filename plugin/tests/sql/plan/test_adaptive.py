"""Which vectors of a family a search reads: families, hints, statistics, and the choice. No Milvus."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymilvus import MilvusClient

from nestvec.milvus.catalog import Column, EmbeddingColumn, Table, TypeParams
from nestvec.milvus.providers import Endpoint
from nestvec.milvus.steps import drive
from nestvec.sql import Session, SessionSettings
from nestvec.sql.bind.params import bind_params
from nestvec.sql.parse.parse import parse
from nestvec.sql.plan.adaptive import shorten_target
from nestvec.sql.plan.explain import as_lines, explain_plan
from nestvec.sql.plan.explain_details import CollectionContext, add_details
from nestvec.sql.plan.nodes import Plan, Rescore, VectorSearch, source_of
from nestvec.sql.plan.statistics import (
    PROPERTY_PREFIX,
    FamilyStatistics,
    ShorterColumn,
    ShortlistRecall,
    dump_statistics,
    load_statistics,
)
from nestvec.sql.relational.relations import RankingScan, RelationalPlan
from nestvec.sql.statements.analyze import run_analyze
from nestvec.sql.statements.select import plan_select, plan_statement
from nestvec_schemas.embedding_config import EmbeddingConfig
from nestvec_schemas.errors import SqlError, SqlNotSupported, SqlSyntaxError, SqlTypeMismatch

SERVICE = "http://127.0.0.1:8080"
NEAR = "SELECT id FROM papers ORDER BY abstract <=> 'q' LIMIT 10"


def embedded(column: str, dim: int, encoder: str = "minilm", exit: int | None = None) -> EmbeddingColumn:
    return EmbeddingColumn(
        "abstract", column, Endpoint("openai", SERVICE, EmbeddingConfig(encoder, dim, exit))
    )


def papers(
    *embeddings: EmbeddingColumn, statistics: FamilyStatistics | str | None = None, index: str = "FLAT"
) -> Table:
    filled = embeddings or tuple(embedded(f"abstract_{dim}", dim) for dim in (384, 64, 128))
    columns = (
        Column("id", "INT64", primary=True),
        Column("abstract", "VARCHAR", type_params=TypeParams(max_length=9000)),
        Column("title", "VARCHAR", type_params=TypeParams(max_length=200)),
        Column("year", "INT16", nullable=True),
        *(Column(one.column, "FLOAT_VECTOR", type_params=TypeParams(dim=one.dim)) for one in filled),
    )
    text = dump_statistics(statistics) if isinstance(statistics, FamilyStatistics) else statistics
    return Table(
        "papers",
        columns,
        filled,
        metrics={one.column: "COSINE" for one in filled},
        indexes={one.column: index for one in filled},
        properties={} if text is None else {f"{PROPERTY_PREFIX}abstract_384": text},
    )


def plan(statement: str, table: Table, given: Any = None, **changed: Any) -> Plan:
    session = Session(SessionSettings(**changed), tables={"papers": table})
    return drive(cast(MilvusClient, None), plan_select(session, parse(statement), bind_params(given)))


def measured(
    floors: dict[tuple[str, int], float], rows: int = 1_000_000, easy: float | None = None
) -> FamilyStatistics:
    """Statistics with these floors of recall@10 by dim and size; longer answers have worse."""
    by_column: dict[str, list[ShortlistRecall]] = {}
    for (column, size), least in floors.items():
        for count, share in ((1, min(1.0, least + 0.005)), (10, least), (100, max(0.0, least - 0.02))):
            if count <= size:
                gaps = (easy, easy) if count == 10 else (None, None)
                found = ShortlistRecall(
                    count=count, size=size, mean=min(1.0, share + 0.001), floor=share, easy=gaps
                )
                by_column.setdefault(column, []).append(found)
    shorter = tuple(
        ShorterColumn(column=column, dim=int(column.split("_")[1]), recall=tuple(recall))
        for column, recall in by_column.items()
    )
    return FamilyStatistics(column="abstract_384", dim=384, rows=rows, queries=200, shorter=shorter)


GOOD = {
    ("abstract_64", 50): 0.95,
    ("abstract_64", 200): 0.992,
    ("abstract_64", 800): 0.999,
    ("abstract_128", 50): 0.995,
    ("abstract_128", 200): 1.0,
}


def test_a_text_column_is_its_family_and_a_vector_column_is_itself() -> None:
    table = papers(statistics=measured(GOOD))
    node = plan(NEAR, table).node
    assert isinstance(node, Rescore)
    assert (node.full_search.nearest.column, node.full_search.nearest.shorter) == (
        "abstract_384",
        ("abstract_64", "abstract_128"),
    )
    named = plan(NEAR.replace("abstract <=>", "abstract_384 <=>"), table)
    assert isinstance(named.node, VectorSearch)
    assert (named.node.nearest.column, named.node.nearest.shorter, named.notes) == ("abstract_384", (), ())


def test_the_full_search_is_by_the_longest_vector_of_the_deepest_exit() -> None:
    table = papers(embedded("short", 64), embedded("deep", 384), embedded("early", 384, exit=3))
    node = plan(NEAR, table).node
    assert isinstance(node, VectorSearch)
    assert (node.nearest.column, node.nearest.shorter) == ("deep", ("short",))


def test_several_encoders_are_ambiguous() -> None:
    with pytest.raises(SqlNotSupported, match="several encoders embed") as caught:
        plan(NEAR, papers(embedded("a", 64), embedded("b", 384, "other")))
    assert "Name one of a, b" in str(caught.value)


def test_without_embeddings_a_text_cannot_be_searched_for() -> None:
    with pytest.raises(SqlTypeMismatch, match="column title is text that no EMBED"):
        plan(NEAR.replace("abstract <=>", "title <=>"), papers())


def test_the_cheapest_reliable_shortlist_is_chosen() -> None:
    node = plan(NEAR, papers(statistics=measured(GOOD))).node
    assert isinstance(node, Rescore)
    first = node.shortlist
    assert (first.nearest.column, first.limit, first.offset, first.fields) == ("abstract_64", 200, 0, ("id",))
    assert node.full_search == replace(node.full_search, limit=10, offset=0, filter="")


@pytest.mark.parametrize(
    ("statement", "chosen"),
    [
        (NEAR.replace("LIMIT 10", "LIMIT 5 OFFSET 5"), ("abstract_64", 200)),
        # Between the lengths that were measured, the worse of both counts; beyond them, nothing is known.
        (NEAR.replace("LIMIT 10", "LIMIT 11"), None),
        (NEAR.replace("LIMIT 10", "LIMIT 101"), None),
        (NEAR.replace("LIMIT 10", "LIMIT 0"), None),
    ],
)
def test_other_limits(statement: str, chosen: tuple[str, int] | None) -> None:
    node = plan(statement, papers(statistics=measured(GOOD))).node
    found = (node.shortlist.nearest.column, node.shortlist.limit) if isinstance(node, Rescore) else None
    assert found == chosen


@given(st.floats(0, 1), st.integers(1, 120), st.dictionaries(st.sampled_from(sorted(GOOD)), st.floats(0, 1)))
@settings(max_examples=80, deadline=None)
def test_no_chosen_shortlist_is_below_the_target(
    target: float, count: int, floors: dict[tuple[str, int], float]
) -> None:
    known = measured(floors)
    node = plan(NEAR.replace("10", str(count)), papers(statistics=known), recall=target).node
    if isinstance(node, Rescore):
        column, size = node.shortlist.nearest.column, node.shortlist.limit
        of_size = [
            one for each in known.shorter if each.column == column for one in each.recall if one.size == size
        ]
        assert size >= count
        assert min(one.floor for one in of_size if one.count >= count) <= 1
        assert max(one.floor for one in of_size if one.count >= count) >= target


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT year, id FROM papers GROUP BY year ORDER BY abstract <=> 'q' LIMIT 10",
        "SELECT id FROM papers ORDER BY RRF(abstract <=> 'q', abstract_64 <=> 'r') DESC LIMIT 10",
    ],
)
def test_queries_that_a_shortlist_might_change_have_none(statement: str) -> None:
    node = source_of(plan(statement, papers(statistics=measured(GOOD)), shortlist="64:100").node)
    assert not isinstance(node, Rescore)


def test_a_sum_is_truncated_once_it_is_computed() -> None:
    node = plan(NEAR.replace("'q'", "EMBED('q') - EMBED('r')"), papers(), shortlist="64:100").node
    assert isinstance(node, Rescore)
    assert node.shortlist.nearest.target == node.full_search.nearest.target
    assert (node.dim, node.shortlist.nearest.column) == (64, "abstract_64")


def notes(table: Table, statement: str = NEAR, **changed: Any) -> str:
    found = plan(statement, table, **changed)
    assert isinstance(found.node, VectorSearch)
    return " ".join(found.notes)


@pytest.mark.parametrize(
    ("said", "table"),
    [
        ("run ANALYZE papers to enable shortlists by shorter vectors", papers()),
        (
            "no shortlist is certain to reach a recall of 0.99",
            papers(statistics=measured({("abstract_64", 50): 0.98})),
        ),
        ("costs less than a second search", papers(statistics=measured(GOOD, rows=5000))),
        # A graph reads so little that a second search is dearer.
        ("costs less than a second search", papers(statistics=measured(GOOD), index="HNSW")),
        (
            "ANALYZE sampled 3 queries, fewer than 30",
            papers(statistics=measured(GOOD).model_copy(update={"queries": 3})),
        ),
        ("are unusable (", papers(statistics="garbage")),
        (
            "are unusable (version:",
            papers(statistics=json.dumps({**measured(GOOD).model_dump(), "version": 9})),
        ),
        ("made for other", papers(statistics=measured(GOOD).model_copy(update={"column": "other"}))),
    ],
)
def test_full_vectors_and_the_reason(said: str, table: Table) -> None:
    assert said in notes(table)
    assert said in "\n".join(as_lines(explain_plan(plan(NEAR, table))))


@given(
    st.text(max_size=80)
    | st.recursive(st.none() | st.floats() | st.text(max_size=5), st.lists).map(json.dumps)
)
@settings(max_examples=60, deadline=None)
def test_garbage_among_the_properties_changes_nothing(text: str) -> None:
    assert isinstance(load_statistics(text), str)
    assert "are unusable" in notes(papers(statistics=text))


def test_statistics_are_read_as_they_are_written() -> None:
    known = measured(GOOD, easy=0.1)
    assert load_statistics(dump_statistics(known)) == known
    assert load_statistics(dump_statistics(known).replace("0.992", "1.992")) != known
    assert isinstance(load_statistics(dump_statistics(known).replace("0.992", "1.992")), str)
    assert isinstance(load_statistics(" " * 70_000 + dump_statistics(known)), str)


def test_a_hint_overrides() -> None:
    table = papers(statistics=measured(GOOD))
    for statement, changed in (
        (NEAR.replace("SELECT", "SELECT /*+ shortlist(128, 70) */"), {}),
        ("/*+ Shortlist( 128,70 )*/ " + NEAR, {"shortlist": "64:200"}),
        (NEAR, {"shortlist": "128:70"}),
    ):
        for over in (table, papers()):
            node = plan(statement, over, **changed).node
            assert isinstance(node, Rescore)
            assert (node.shortlist.nearest.column, node.shortlist.limit) == ("abstract_128", 70)
            assert node.early_stop_gap is None
    assert "the shortlist is off" in notes(table, NEAR.replace("SELECT", "SELECT /*+ shortlist(off) */"))
    assert "the shortlist is off" in notes(table, shortlist="off")
    assert "papers has no vectors of 32 dims" in notes(table, shortlist="32:100")


def test_a_hint_holds_where_duckdb_computes_the_list() -> None:
    session = Session(tables={"papers": papers()})
    hinted = NEAR.replace("SELECT id", "SELECT /*+ shortlist(128, 70) */ id, upper(title)")
    planned = drive(cast(MilvusClient, None), plan_statement(session, parse(hinted), bind_params(None)))
    assert isinstance(planned, RelationalPlan)
    (ranking,) = planned.relations
    assert isinstance(ranking, RankingScan)
    assert isinstance(ranking.plan.node, Rescore)
    assert (ranking.plan.node.dim, ranking.plan.node.shortlist.limit) == (128, 70)
    assert ranking.plan.columns == ("id", "title")


def test_a_shortlist_is_never_shorter_than_the_result() -> None:
    node = plan(NEAR.replace("SELECT", "SELECT /*+ shortlist(64, 3) */") + " OFFSET 7", papers()).node
    assert isinstance(node, Rescore)
    assert node.shortlist.limit == 17


@pytest.mark.parametrize(
    ("said", "statement", "error"),
    [
        ("no such hint: shortlist(64)", "SELECT ‸/*+ shortlist(64) */ id FROM papers", SqlSyntaxError),
        ("no such hint: shortlst(64, 2)", "SELECT id ‸/*+ shortlst(64, 2) */ FROM papers", SqlSyntaxError),
        ("no such hint: shortlist(0, 2)", "SELECT ‸/*+ shortlist(0, 2) */ id FROM papers", SqlSyntaxError),
        ("no such hint: ", "‸/*+*/ SELECT id FROM papers", SqlSyntaxError),
        (
            "more than one hint",
            "SELECT /*+ shortlist(off) */ id ‸/*+ shortlist(64, 2) */ FROM papers",
            SqlSyntaxError,
        ),
        (
            "without a search by a family of vectors",
            "SELECT ‸/*+ shortlist(64, 20) */ id FROM papers",
            SqlNotSupported,
        ),
        (
            "without a search by a family of vectors",
            "SELECT ‸/*+ shortlist(64, 20) */ id FROM papers ORDER BY abstract_384 <=> 'q' LIMIT 1",
            SqlNotSupported,
        ),
        (
            "no shorter vectors of this dim: 63. Available: 64, 128",
            "SELECT ‸/*+ shortlist(63, 20) */ id FROM papers ORDER BY abstract <=> 'q' LIMIT 1",
            SqlTypeMismatch,
        ),
    ],
)
def test_a_wrong_hint_is_marked(said: str, statement: str, error: type[SqlError]) -> None:
    with pytest.raises(error) as caught:
        plan(statement.replace("‸", ""), papers())
    assert said in str(caught.value)
    assert caught.value.position == statement.index("‸")


def test_a_comment_or_a_text_is_not_a_hint() -> None:
    noted = NEAR.replace("SELECT", "SELECT /* + shortlist(64) */").replace("'q'", "'/*+ shortlist(64) */'")
    assert isinstance(plan(noted, papers()).node, VectorSearch)


def test_an_early_stop_is_for_results_without_distances() -> None:
    table = papers(statistics=measured(GOOD, easy=0.125))
    assert getattr(plan(NEAR, table).node, "early_stop_gap", None) == 0.125
    year = plan(NEAR.replace("SELECT id", "SELECT year, title"), table).node
    assert isinstance(year, Rescore)
    assert (year.early_stop_gap, year.shortlist.fields) == (0.125, ("id", "year", "title"))
    for other in (
        NEAR.replace("SELECT id", "SELECT id, abstract <=> 'q' AS d"),
        NEAR.replace("SELECT id", "SELECT id, 1 - (abstract <=> 'q') AS s"),
        NEAR.replace("SELECT id", "SELECT id, abstract"),
        NEAR.replace("SELECT id", "SELECT id, abstract_384"),
        NEAR.replace("LIMIT 10", "LIMIT 9"),
        NEAR.replace("ORDER", "WHERE abstract <=> 'q' < 0.4 ORDER"),
    ):
        node = source_of(plan(other, table).node)
        assert isinstance(node, Rescore)
        assert node.early_stop_gap is None
        assert node.shortlist.fields == ("id",)
    strict = papers(statistics=measured({("abstract_64", 200): 1.0}, easy=0.125))
    assert getattr(plan(NEAR, strict, recall=0.999).node, "early_stop_gap", 0) is None


def test_a_vector_is_truncated_like_nested_vectors() -> None:
    unit = tuple(float(one) for one in np.full(384, 384**-0.5))
    short = shorten_target(unit, 64)
    assert isinstance(short, tuple)
    assert math.hypot(*short) == pytest.approx(1)
    assert shorten_target((3.0, 4.0, 5.0), 2) == (3.0, 4.0)
    assert shorten_target((0.0, 1.0), 1) == (0.0,)
    assert shorten_target("text", 2) == "text"
    node = plan(NEAR.replace("'q'", "$1"), papers(), [list(unit)], shortlist="64:100").node
    assert isinstance(node, Rescore)
    assert (node.shortlist.nearest.target, node.full_search.nearest.target) == (short, unit)


EXPLAINED = """\
Answer
     columns: id
     embedded by: http://127.0.0.1:8080
     reads: about 256.31 MB of vectors; a search by the full vectors only: about 1,536.00 MB of vectors
  -> Rescore papers: 10 rows of 200
       expected: recall@10 0.9930, at least 0.9920 (95 % confidence), over 200 queries
       stops early: no
       result: approximate: a row that the shortlist misses is not in it
    -> Search papers: 200 rows by COSINE of abstract_64 to 'q'
         filter: year > 2000
         fields: id
         index: FLAT, COSINE
         embeds: 1 text by minilm, the deepest exit, 64 dims, at http://127.0.0.1:8080, called by Milvus
         reads: about 256.00 MB of vectors
    -> Search papers: 10 rows by COSINE of abstract_384 to 'q'
         filter: id in [the 200 shortlisted ids]
         fields: id
         index: FLAT, COSINE
         embeds: 1 text by minilm, the deepest exit, 384 dims, at http://127.0.0.1:8080, called by Milvus
         reads: about 0.31 MB of vectors"""


def test_explain() -> None:
    table = papers(statistics=measured(GOOD))
    found = plan(NEAR.replace("ORDER", "WHERE year > 2000 ORDER"), table)
    tree = add_details(explain_plan(found), CollectionContext(table, 1_000_000))
    assert "\n".join(as_lines(tree)) == EXPLAINED
    stale = "\n".join(as_lines(add_details(explain_plan(found), CollectionContext(table, 2_000_000))))
    assert (
        "the statistics cover 1,000,000 rows, but the collection has 2,000,000: run ANALYZE papers" in stale
    )


def analyze(statement: str, table: Table) -> object:
    session = Session(tables={"papers": table})
    return drive(cast(MilvusClient, None), run_analyze(session, parse(statement), bind_params(None)))


@pytest.mark.parametrize(
    ("said", "statement"),
    [
        ("ANALYZE of every collection", "‸ANALYZE"),
        ("'papers' is not valid here", "ANALYZE VERBOSE ‸papers"),
        ("has no such column", "ANALYZE papers (‸abstrct)"),
        (
            "column title is no vector, and has no vectors of several lengths",
            "ANALYZE papers (abstract, ‸title)",
        ),
        ("syntax error at 'title'", "ANALYZE papers (abstract ‸title)"),
        ("'1' is not valid here", "ANALYZE papers (‸1)"),
    ],
)
def test_invalid_analyze_statements(said: str, statement: str) -> None:
    with pytest.raises(SqlError) as caught:
        analyze(statement.replace("‸", ""), papers())
    assert said in str(caught.value)
    assert caught.value.position == statement.index("‸")
