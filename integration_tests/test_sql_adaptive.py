"""Adaptive retrieval on the real Milvus Lite, with the real encoder behind its functions."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator

import pytest
from pymilvus import DataType, MilvusClient

import nestvec
from nestvec.milvus.catalog import read_table
from nestvec.milvus.connection import open_milvus
from nestvec.milvus.steps import drive
from nestvec.sql import Session, SessionSettings, StatementResult, execute
from nestvec.sql.bind.params import ParameterValues, bind_params
from nestvec.sql.execute.sampling import sample_queries
from nestvec.sql.parse.parse import parse
from nestvec.sql.plan.nodes import Plan, Rescore, source_of
from nestvec.sql.plan.statistics import MIN_QUERIES, PROPERTY_PREFIX, FamilyStatistics, load_statistics
from nestvec.sql.result import Row
from nestvec.sql.statements.select import plan_select
from nestvec_schemas.samples.docstrings import sample_texts

ROWS = 260
DIMS = (32, 128, 384)
CHARACTERS = 120
STORED = f"{PROPERTY_PREFIX}doc_384"
WHOLE, PLANNED = SessionSettings(shortlist="off"), SessionSettings()
NEAR = "SELECT id FROM docs ORDER BY doc <=> 'read rows of a csv file' LIMIT 10"


@pytest.fixture(scope="module")
def uri(service: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database with ``docs``: real texts, embedded at three lengths, scanned without an index; analyzed.

    The keys are texts with the characters that filters escape.
    """
    uri = str(tmp_path_factory.mktemp("adaptive") / "docs.db")
    with open_milvus(uri) as client:
        schema = client.create_schema()
        schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=50)
        schema.add_field("doc", DataType.VARCHAR, max_length=500)
        schema.add_field("kind", DataType.VARCHAR, max_length=50)
        schema.add_field("year", DataType.INT16, nullable=True)
        nestvec.add_embedding(schema, "doc", encoder="minilm", dims=DIMS, service=service, client=client)
        index = client.prepare_index_params()
        for dim in DIMS:
            index.add_index(f"doc_{dim}", index_type="FLAT", metric_type="COSINE")
        client.create_collection("docs", schema=schema, index_params=index)
        texts = dict.fromkeys(text[:CHARACTERS].strip() for text in sample_texts(ROWS))
        rows = [
            {
                "id": f'"k"\\{n}',
                "doc": text,
                "kind": f"k{n % 5}",
                "year": None if n % 7 == 0 else 1990 + n % 30,
            }
            for n, text in enumerate(texts)
        ]
        client.insert("docs", rows)
    found = asyncio.run(awaited(uri, "ANALYZE docs"))
    assert {row[:2] for row in found} == {("doc_32", 32), ("doc_128", 128)}
    shares = {row[1:3]: row[3] for row in found}
    assert all(shares[32, size] <= shares[32, larger] for size, larger in ((10, 20), (20, 50), (50, 200)))
    return uri


async def awaited(uri: str, statement: str) -> list[Row]:
    async with nestvec.aconnect(uri) as connection:
        cursor = await connection.execute(statement)
        return await cursor.fetchall()


@pytest.fixture
def client(uri: str) -> Iterator[MilvusClient]:
    with open_milvus(uri) as opened:
        opened.load_collection("docs")
        yield opened


def run(
    client: MilvusClient,
    statement: str,
    settings: SessionSettings = WHOLE,
    given: ParameterValues | None = None,
) -> StatementResult:
    return execute(client, statement, given, session=Session(settings))


def planned(client: MilvusClient, statement: str, settings: SessionSettings) -> Plan:
    return drive(client, plan_select(Session(settings), parse(statement), bind_params(None)))


def explained(client: MilvusClient, statement: str, settings: SessionSettings = PLANNED) -> str:
    return "\n".join(row[0] for row in run(client, f"EXPLAIN {statement}", settings).rows)


def statements(seed: int, count: int) -> Iterator[str]:
    """SELECTs by the family, of every shape that may have a shortlist."""
    draw = random.Random(seed)
    texts = ("parse a csv", "open a socket", "the square root", "it''s a thread", "sort")
    filters = (
        "",
        "year > 2003",
        "kind IN (''k1'', ''k2'')".replace("''", "'"),
        "year IS NULL",
        "doc <=> '{text}' < 0.9",
        "1 - (doc <=> '{text}') > 0.2 AND year > 2000",
        "NOT kind = 'k0'",
    )
    for _ in range(count):
        text, where = draw.choice(texts), draw.choice(filters)
        where = where.replace("{text}", text)
        near = f"doc <=> '{text}'"
        chosen, order = draw.choice(
            [
                ("id", near),
                ("id, year, kind", near),
                (f"id, {near} AS d", "d"),
                (f"1 - ({near}) AS s, id", "s DESC"),
                ("id, doc_32", near),
                ("id", f"{near}, year DESC"),
            ]
        )
        limit = draw.choice(["1", "5", "10", "37", "10 OFFSET 3", "5 OFFSET 300", "100", "1000"])
        yield f"SELECT {chosen} FROM docs {f'WHERE {where}' if where else ''} ORDER BY {order} LIMIT {limit}"


def test_the_async_version_gives_the_same_rows(uri: str) -> None:
    """Including ANALYZE, which the fixture awaits."""
    hinted = NEAR.replace("SELECT", "SELECT /*+ shortlist(128, 50) */")
    told = asyncio.run(awaited(uri, f"EXPLAIN ANALYZE {hinted}"))
    assert any("Rescore docs: 10 rows of 50" in row[0] for row in told)
    with open_milvus(uri) as client:
        client.load_collection("docs")
        assert asyncio.run(awaited(uri, hinted)) == list(run(client, hinted).rows)


def test_a_shortlist_of_all_rows_gives_the_exact_result(client: MilvusClient) -> None:
    """The same rows in the same order, with the same distances, to the last bit."""
    for number, statement in enumerate(statements(7, 50)):
        dim = DIMS[number % 2]
        settings = SessionSettings(shortlist=f"{dim}:{ROWS}")
        node = source_of(planned(client, statement, settings).node)
        assert isinstance(node, Rescore), statement
        expected = run(client, statement)
        found = run(client, statement, settings)
        assert (found.columns, found.rows, found.tag) == (expected.columns, expected.rows, expected.tag), (
            statement
        )


OTHERS = (
    "SELECT kind, id FROM docs GROUP BY kind ORDER BY doc <=> 'parse a csv' LIMIT 3",
    "SELECT id FROM docs ORDER BY RRF(doc <=> 'parse a csv', doc_32 <=> 'open a socket') DESC LIMIT 10",
    "SELECT id FROM docs ORDER BY doc_384 <=> 'parse a csv' LIMIT 10",
    "SELECT kind, count(*) FROM docs GROUP BY kind ORDER BY 1",
)


@pytest.mark.parametrize("statement", OTHERS)
def test_queries_without_a_shortlist_are_unchanged(client: MilvusClient, statement: str) -> None:
    settings = SessionSettings(shortlist="32:10")
    assert "Rescore" not in explained(client, statement, settings)
    assert run(client, statement, settings).rows == run(client, statement).rows


def test_a_sum_of_vectors_is_truncated_once_computed(client: MilvusClient) -> None:
    for target in ("EMBED('parse a csv') - 0.5 * EMBED('open a socket')", "2 * EMBED('threads')"):
        statement = f"SELECT id, doc <=> {target} AS d FROM docs ORDER BY d LIMIT 20"
        expected = run(client, statement)
        found = run(client, statement, SessionSettings(shortlist=f"32:{ROWS}"))
        assert found.rows == expected.rows
        assert (
            len(set(run(client, statement, SessionSettings(shortlist="128:100")).rows) & set(expected.rows))
            >= 18
        )


def test_a_vector_for_the_family_is_truncated(client: MilvusClient) -> None:
    vector = run(client, "SELECT doc_384 FROM docs LIMIT 1").rows[0][0]
    statement = "SELECT id, doc <=> $1 AS d FROM docs ORDER BY d LIMIT 20"
    expected = run(client, statement, given=[vector])
    assert run(client, statement, SessionSettings(shortlist=f"32:{ROWS}"), [vector]).rows == expected.rows
    some = run(client, statement, SessionSettings(shortlist="128:100"), [vector]).rows
    assert some[0] == expected.rows[0]
    assert len(set(some) & set(expected.rows)) >= 18


def pretend(client: MilvusClient, rows: int) -> FamilyStatistics:
    """The same statistics for a collection so large that a shortlist pays off."""
    known = read_table(client, "docs").properties[STORED]
    found = load_statistics(known)
    assert isinstance(found, FamilyStatistics)
    larger = found.model_copy(update={"rows": rows})
    client.alter_collection_properties("docs", {STORED: larger.model_dump_json()})
    return found


@pytest.fixture
def large(client: MilvusClient) -> Iterator[FamilyStatistics]:
    found = pretend(client, 1_000_000)
    yield found
    client.alter_collection_properties("docs", {STORED: found.model_dump_json()})


def test_the_planner_keeps_the_target_on_the_sample(client: MilvusClient, large: FamilyStatistics) -> None:
    """Each sampled query runs both ways, as a statement."""
    target = 0.9
    settings = SessionSettings(recall=target)
    statement = "SELECT id, doc <=> :q AS d FROM docs ORDER BY d LIMIT 10"
    node = drive(client, plan_select(Session(settings), parse(statement), bind_params({"q": "x"}))).node
    assert isinstance(node, Rescore)
    chosen = next(
        one
        for each in large.shorter
        if each.column == node.shortlist.nearest.column
        for one in each.recall
        if (one.count, one.size) == (10, node.shortlist.limit)
    )
    assert chosen.floor >= target
    queries = sample_queries(client, read_table(client, "docs"), "doc").queries[:40]
    shares = []
    for query in queries:
        whole, short = (run(client, statement, one, {"q": query}).rows for one in (WHOLE, settings))
        reach = whole[-1][1] + 1e-6
        shares.append(sum(row[1] <= reach for row in short) / len(whole))
    assert len(queries) >= MIN_QUERIES
    assert sum(shares) / len(shares) >= target
    assert sum(shares) / len(shares) == pytest.approx(chosen.mean, abs=0.04)


def test_easy_queries_stop_early(client: MilvusClient, large: FamilyStatistics) -> None:
    """LIMIT 1: for most queries short vectors already tell the first row."""
    settings = SessionSettings(recall=0.95)
    statement = "SELECT id FROM docs ORDER BY doc <=> :q LIMIT 1"
    node = drive(client, plan_select(Session(settings), parse(statement), bind_params({"q": "x"}))).node
    assert isinstance(node, Rescore)
    assert node.early_stop_gap is not None
    queries = sample_queries(client, read_table(client, "docs"), "doc").queries[:60]
    stopped, right = 0, 0
    for query in queries:
        told = run(client, f"EXPLAIN ANALYZE {statement}", settings, {"q": query}).rows
        stopped += sum("measured: not run" in row[0] for row in told)
        both = [run(client, statement, one, {"q": query}).rows for one in (WHOLE, settings)]
        right += both[0] == both[1]
    assert stopped >= 10
    assert right / len(queries) >= 0.93


def test_explain_shows_the_shortlist(client: MilvusClient, large: FamilyStatistics) -> None:
    told = explained(client, NEAR, SessionSettings(recall=0.9))
    assert "Rescore docs: 10 rows of" in told
    assert "over 200 queries" in told
    assert "index: FLAT, COSINE" in told
    assert "1 text by minilm, the deepest exit, 384 dims, at http://127.0.0.1" in told
    ran = run(client, f"EXPLAIN (ANALYZE, FORMAT JSON) {NEAR}", SessionSettings(recall=0.9)).rows[0][0]
    tree = json.loads(ran)
    rescored = tree["inputs"][0]
    assert rescored["measured"].startswith("10 rows in ")
    assert all("measured" in one for one in rescored["inputs"])
    assert "about" in tree["reads"]
    # The rows are few in truth: had ANALYZE seen these, no shortlist would pay.
    small = explained(client, NEAR.replace("doc <=>", "doc_384 <=>"))
    assert "Rescore" not in small
    assert "note" not in small


def test_statistics_stay_with_the_collection(uri: str) -> None:
    with open_milvus(uri) as client:
        known = load_statistics(read_table(client, "docs").properties[STORED])
        assert isinstance(known, FamilyStatistics)
        assert (known.column, known.queries) == ("doc_384", 200)
        assert "rows costs less than a second search" in explained(client, NEAR)
        grown = known.model_copy(update={"rows": known.rows // 3})
        client.alter_collection_properties("docs", {STORED: grown.model_dump_json()})
        assert "run ANALYZE docs" in explained(client, NEAR)
        client.alter_collection_properties("docs", {STORED: known.model_dump_json()})


@pytest.mark.parametrize("garbage", ["", "{", "null", '{"version": 2}', "\x00\x01", "[1]", "{}"])
def test_invalid_statistics_are_ignored(client: MilvusClient, garbage: str) -> None:
    known = read_table(client, "docs").properties[STORED]
    client.alter_collection_properties("docs", {STORED: garbage})
    try:
        assert len(run(client, NEAR, SessionSettings()).rows) == 10
        assert "are unusable" in explained(client, NEAR)
    finally:
        client.alter_collection_properties("docs", {STORED: known})


def test_hints(client: MilvusClient) -> None:
    expected = run(client, NEAR).rows
    hinted = NEAR.replace("SELECT", f"SELECT /*+ shortlist(32, {ROWS}) */")
    assert run(client, hinted, SessionSettings()).rows == expected
    assert "Rescore docs: 10 rows of 260" in explained(client, hinted)
    # Ten rows by 32 dims alone: rescoring puts them in order, and the rest is lost.
    few = run(client, NEAR.replace("SELECT", "SELECT /*+ shortlist(32, 10) */"), SessionSettings()).rows
    short = run(client, NEAR.replace("doc <=>", "doc_32 <=>")).rows
    assert set(few) == set(short)
    assert few != expected
