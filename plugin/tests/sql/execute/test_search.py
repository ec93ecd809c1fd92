"""What searches send to Milvus, and what they do with answers that are short. A fake Milvus records it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
from pymilvus import MilvusClient

from nestvec.milvus.catalog import Column, EmbeddingColumn, Table, TypeParams
from nestvec.milvus.providers import Endpoint
from nestvec.sql import Session, SessionSettings, execute
from nestvec.sql.search_cache import COUNT_SECONDS, SearchCache
from nestvec.sql.settings import IndexSettings
from nestvec_schemas.embedding_config import EmbeddingConfig

QUERY = [1.0, 0.0]


class FakeMilvus:
    """Rows 0, 1, … whose distance to QUERY grows with their id. An index that finds ``reach`` rows at most,
    eight times as many each time it is asked more widely."""

    def __init__(self, rows: int, reach: int = 1 << 30, version: str = "2.6.0") -> None:
        angles = np.arange(rows) / max(rows, 1)
        self.rows: list[dict[str, Any]] = [
            {"id": number, "even": number % 2 == 0, "v": [float(np.cos(a)), float(np.sin(a))]}
            for number, a in enumerate(angles)
        ]
        self.reach, self.version = reach, version
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def get_server_version(self) -> str:
        return self.version

    def get_load_state(self, name: str) -> dict[str, Any]:
        return {"state": 3}

    def list_partitions(self, name: str) -> list[str]:
        return ["_default"]

    def get_collection_stats(self, name: str) -> dict[str, int]:
        return {"row_count": len(self.rows)}

    def list_indexes(self, name: str, **options: Any) -> list[str]:
        self.calls.append(("list_indexes", options))
        return ["by_v"]

    def describe_index(self, name: str, index: str) -> dict[str, str]:
        return {"field_name": "v", "index_type": "IVF_FLAT", "nlist": "64"}

    def matching(self, where: str) -> list[dict[str, Any]]:
        if where.startswith("id in ["):
            wanted = {int(number) for number in where[7:-1].split(",")}
            return [row for row in self.rows if row["id"] in wanted]
        if where.startswith("id < "):
            return [row for row in self.rows if row["id"] < int(where[5:])]
        return [row for row in self.rows if not where or row["even"]]

    def query(self, name: str, **options: Any) -> list[dict[str, Any]]:
        self.calls.append(("query", options))
        rows = self.matching(options.get("filter", ""))
        if options["output_fields"] == ["count(*)"]:
            return [{"count(*)": len(rows)}]
        return [{field: row[field] for field in options["output_fields"]} for row in rows[: options["limit"]]]

    def search(self, name: str, **options: Any) -> list[list[dict[str, Any]]]:
        self.calls.append(("search", options))
        rows = self.matching(options["filter"])[: self.reach]
        self.reach *= 8
        offset = options["search_params"]["offset"]
        hits = [
            {"distance": row["v"][0], "entity": {field: row[field] for field in options["output_fields"]}}
            for row in rows[offset : offset + options["limit"]]
        ]
        return [hits for _ in options["data"]]

    def query_iterator(self, name: str, **options: Any) -> Iterator[Any]:
        self.calls.append(("query_iterator", options))
        rows = self.matching(options["filter"])
        fields = options["output_fields"]

        class Pages:
            at = 0

            def next(self) -> list[dict[str, Any]]:
                page = rows[self.at : self.at + options["batch_size"]]
                self.at += len(page)
                return [{field: row[field] for field in fields} for row in page]

            def close(self) -> None:
                pass

        return cast(Any, Pages())

    def named(self, method: str) -> list[dict[str, Any]]:
        return [options for name, options in self.calls if name == method]


def table(index: str = "HNSW", metric: str = "COSINE") -> Table:
    return Table(
        "t",
        (
            Column("id", "INT64", primary=True),
            Column("even", "BOOL"),
            Column("v", "FLOAT_VECTOR", type_params=TypeParams(dim=2)),
        ),
        metrics={"v": metric},
        indexes={"v": index},
    )


def run(
    milvus: FakeMilvus, statement: str, index: str = "HNSW", settings: SessionSettings | None = None
) -> tuple[list[int], Session]:
    session = Session(settings or SessionSettings(), tables={"t": table(index)})
    answer = execute(cast(MilvusClient, milvus), statement, {"q": QUERY}, session=session)
    return [row[0] for row in answer.rows], session


NEAR = "SELECT id FROM t {} ORDER BY v <=> :q LIMIT {} OFFSET {}"


@pytest.mark.parametrize(("count", "offset"), [(10, 0), (10, 200), (500, 3), (1, 0)])
def test_ef_is_at_least_limit_plus_offset_and_what_recall_needs(count: int, offset: int) -> None:
    milvus = FakeMilvus(20_000)
    ids, _ = run(milvus, NEAR.format("", count, offset))
    assert ids == list(range(offset, offset + count))
    (search,) = milvus.named("search")
    narrow = search["search_params"]["params"]["ef"]
    assert narrow >= max(count + offset, 200)
    milvus = FakeMilvus(20_000)
    run(milvus, NEAR.format("", count, offset), settings=SessionSettings(recall=0.999))
    wide = milvus.named("search")[0]["search_params"]["params"]["ef"]
    # A row that is missed before a page shifts the page: an OFFSET is searched as widely as it gets.
    assert wide == narrow if offset else wide > narrow


def test_rows_are_counted_once_a_minute_and_after_each_write_of_the_session() -> None:
    milvus, now = FakeMilvus(20_000), [0.0]
    session = Session(tables={"t": table()})
    session.search_cache.clock = lambda: now[0]

    def search() -> int:
        execute(cast(MilvusClient, milvus), NEAR.format("", 5, 0), {"q": QUERY}, session=session)
        return len(milvus.named("query"))

    assert [search(), search()] == [1, 1]
    now[0] = COUNT_SECONDS
    assert [search(), search()] == [2, 2]
    session.search_cache.forget_counts()
    assert search() == 3
    session.forget("t")
    session.tables["t"] = table()
    assert search() == 4


def test_a_repeated_search_follows_the_settings_the_index_and_the_number_of_rows() -> None:
    milvus, now = FakeMilvus(20_000), [0.0]
    session = Session(tables={"t": table()})
    session.search_cache.clock = lambda: now[0]

    def params() -> dict[str, int]:
        execute(cast(MilvusClient, milvus), NEAR.format("", 5, 0), {"q": QUERY}, session=session)
        return dict(milvus.named("search")[-1]["search_params"].get("params", {}))

    narrow = params()
    assert params() == narrow
    session.settings = SessionSettings(recall=0.999)
    wide = params()
    assert wide["ef"] > narrow["ef"]
    session.tables["t"] = table("IVF_FLAT")
    assert params().keys() == {"nprobe"}
    session.tables["t"] = table("FLAT")
    assert params() == {}
    session.tables["t"] = table()
    assert params() == wide
    milvus.rows *= 20
    assert params() == wide
    now[0] = COUNT_SECONDS
    assert params()["ef"] > wide["ef"]


def test_an_exact_index_is_searched_without_counting() -> None:
    milvus = FakeMilvus(20_000)
    ids, _ = run(milvus, NEAR.format("WHERE even", 5, 0), "FLAT")
    assert ids == [0, 2, 4, 6, 8]
    assert [name for name, _ in milvus.calls] == ["search"]
    assert milvus.calls[0][1]["search_params"] == {"metric_type": "COSINE", "offset": 0}


def test_lists_are_read_from_the_index_once() -> None:
    milvus = FakeMilvus(20_000)
    _, session = run(milvus, NEAR.format("", 5, 0), "IVF_FLAT")
    assert milvus.named("search")[0]["search_params"]["params"] == {"nprobe": 16}
    execute(cast(MilvusClient, milvus), NEAR.format("", 3000, 0), {"q": QUERY}, session=session)
    assert milvus.named("search")[1]["search_params"]["params"] == {"nprobe": 64}
    assert len(milvus.named("list_indexes")) == 1


@pytest.mark.parametrize(
    ("rows", "where", "count", "offset"),
    [(150, "", 10, 0), (150, "WHERE even", 100, 3), (20_000, "", 3000, 0), (20_000, "", 10, 5000)],
)
@pytest.mark.parametrize("version", ["2.6.0", "milvus_lite-3.2.2"])
def test_few_and_deep_rows_are_compared_without_a_search(
    rows: int, where: str, count: int, offset: int, version: str
) -> None:
    milvus = FakeMilvus(rows, reach=1, version=version)
    ids, _ = run(milvus, NEAR.format(where, count, offset))
    step = 2 if where else 1
    assert ids == list(range(0, rows, step))[offset : offset + count]
    assert milvus.named("search") == []


def test_a_short_answer_is_completed_by_comparing_every_row_that_matches() -> None:
    milvus = FakeMilvus(20_000, reach=7)
    ids, _ = run(milvus, NEAR.format("WHERE even", 60, 0))
    assert ids == list(range(0, 120, 2))
    assert len(milvus.named("search")) == 1


def test_relaxed_order_completes_a_short_answer_by_wider_searches(caplog: pytest.LogCaptureFixture) -> None:
    relaxed = SessionSettings(index=IndexSettings(iterative_scan="relaxed_order"))
    milvus = FakeMilvus(20_000, reach=10)
    ids, _ = run(milvus, NEAR.format("", 60, 0), settings=relaxed)
    assert ids == list(range(60))
    widths = [search["search_params"]["params"]["ef"] for search in milvus.named("search")]
    assert len(widths) == 2
    assert widths[1] == 8 * widths[0]
    assert milvus.named("query_iterator") == []
    with caplog.at_level(logging.WARNING):
        milvus = FakeMilvus(20_000, reach=0)
        assert run(milvus, NEAR.format("", 60, 0), settings=relaxed)[0] == []
    assert "found 0 of 60 rows" in caplog.text


def test_off_leaves_a_short_answer_as_it_is() -> None:
    milvus = FakeMilvus(20_000, reach=10)
    off = SessionSettings(index=IndexSettings(iterative_scan="off"))
    assert run(milvus, NEAR.format("", 60, 0), settings=off)[0] == list(range(10))
    assert len(milvus.named("search")) == 1


def test_fewer_rows_than_limit_are_right_where_there_are_no_more() -> None:
    milvus = FakeMilvus(20_000)
    ids, _ = run(milvus, NEAR.format("WHERE id < 300", 400, 200))
    assert ids == list(range(200, 300))


def test_a_count_that_is_out_of_date_does_not_decide_the_answer() -> None:
    milvus = FakeMilvus(20_000)
    _, session = run(milvus, NEAR.format("", 5, 0))
    milvus.rows, milvus.reach = milvus.rows[:40], 3
    answer = execute(cast(MilvusClient, milvus), NEAR.format("", 60, 0), {"q": QUERY}, session=session)
    assert [row[0] for row in answer.rows] == list(range(40))
    milvus = FakeMilvus(50)
    _, session = run(milvus, NEAR.format("", 5, 0))
    milvus.rows = FakeMilvus(5000).rows
    answer = execute(cast(MilvusClient, milvus), NEAR.format("", 3, 0), {"q": QUERY}, session=session)
    assert [row[0] for row in answer.rows] == [0, 1, 2]


def explained(milvus: FakeMilvus, statement: str, over: Table) -> str:
    session = Session(tables={"t": over})
    answer = execute(cast(MilvusClient, milvus), statement, {"q": QUERY}, session=session)
    return "\n".join(row[0] for row in answer.rows)


def test_explain_says_exact_or_approximate_and_what_was_widened() -> None:
    near = NEAR.format("", 60, 0)
    text = explained(FakeMilvus(20_000), f"EXPLAIN {near}", table())
    assert "result: approximate: HNSW with ef " in text
    assert "result: exact: FLAT compares every vector" in explained(
        FakeMilvus(20_000), f"EXPLAIN {near}", table("FLAT")
    )
    text = explained(FakeMilvus(20_000, reach=7), f"EXPLAIN ANALYZE {near}", table())
    assert "done: the index found 7 of 60 rows: all vectors that match were compared" in text
    assert "measured: 60 rows" in text


def test_a_service_that_only_milvus_reaches_leaves_the_search_to_the_index(
    caplog: pytest.LogCaptureFixture,
) -> None:
    service = "http://127.0.0.1:9"
    over = table()
    over = replace(
        over,
        columns=(*over.columns, Column("body", "VARCHAR", type_params=TypeParams(max_length=99))),
        embeddings=(EmbeddingColumn("body", "v", Endpoint("openai", service, EmbeddingConfig("tiny", 2))),),
    )
    near = "SELECT id FROM t ORDER BY body <=> 'few rows' LIMIT 5"
    plan = explained(FakeMilvus(150), f"EXPLAIN {near}", over)
    assert "result: exact: nestvec compares all 150 matching rows" in plan
    assert "called by nestvec; by Milvus, with its index, if it answers only Milvus" in plan
    milvus = FakeMilvus(150)
    with caplog.at_level(logging.WARNING):
        text = explained(milvus, f"EXPLAIN ANALYZE {near}", over)
    assert milvus.named("search")[0]["data"] == ["few rows"]
    said = f"{service} does not answer nestvec, only Milvus: approximate: HNSW with ef "
    assert f"done: {said}" in text
    assert said in caplog.text


def test_a_threshold_is_searched_more_widely() -> None:
    milvus = FakeMilvus(20_000)
    run(milvus, "SELECT id FROM t WHERE v <=> :q < 0.9 ORDER BY v <=> :q LIMIT 10")
    plain = FakeMilvus(20_000)
    run(plain, NEAR.format("", 10, 0))
    wide, narrow = (each.named("search")[0]["search_params"]["params"]["ef"] for each in (milvus, plain))
    assert wide > narrow


@pytest.mark.parametrize(
    ("rows", "bound", "told"),
    [(20_000, 1e-9, True), (20_000, 0.9, False), (1_500, 1e-9, False)],
    ids=["a threshold ends it", "LIMIT ends it", "exact"],
)
def test_a_threshold_whose_rows_may_be_missed_is_told(rows: int, bound: float, *, told: bool) -> None:
    near = f"SELECT id FROM t WHERE v <=> :q < {bound} ORDER BY v <=> :q LIMIT 10"
    _, session = run(FakeMilvus(rows), near)
    texts = session.notices.take()
    assert any("within the threshold may be missing" in text for text in texts) is told


def test_parts_of_a_hybrid_search_are_as_wide() -> None:
    over = table()
    over = replace(
        over,
        columns=(*over.columns, Column("w", "FLOAT_VECTOR", type_params=TypeParams(dim=2))),
        metrics={"v": "COSINE", "w": "L2"},
        indexes={"v": "HNSW", "w": "FLAT"},
    )
    statement = "SELECT id FROM t ORDER BY RRF(v <=> :q, w <-> :q) DESC LIMIT 5"
    session = Session(tables={"t": over})
    sent: list[Sequence[Any]] = []

    class Hybrid(FakeMilvus):
        def hybrid_search(self, name: str, parts: Sequence[Any], ranker: Any, **options: Any) -> Any:
            sent.append(parts)
            rows = self.rows[: 3 if len(sent) == 1 else options["limit"]]
            return [[{"distance": 1.0, "entity": {"id": row["id"]}} for row in rows]]

    milvus = cast(MilvusClient, Hybrid(20_000))
    answer = execute(milvus, statement, {"q": QUERY}, session=session)
    assert [row[0] for row in answer.rows] == [0, 1, 2, 3, 4]
    first, second = [[part.param.get("params") for part in parts] for parts in sent]
    assert first[1] is second[1] is None
    assert 200 <= first[0]["ef"] < second[0]["ef"]


def test_how_a_search_is_made_is_not_remembered_by_a_long_filter() -> None:
    cache = SearchCache()
    for filter_ in ("id > 1", f"id in [{'1, ' * 2_000}1]"):
        cache.remember_choice(("t", filter_), object())
    assert [len(str(key[1])) for key in cache._choices] == [6]
