"""How a search is made for a workload: index, scan, width, and what EXPLAIN says. No Milvus."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec.milvus.catalog import Column, Table, TypeParams
from nestvec.sql.plan.index_kinds import Workload, index_kind
from nestvec.sql.plan.search_method import (
    MAX_SCAN_BYTES,
    SCAN_ROWS,
    SearchedIndex,
    choose_method,
    widened,
)
from nestvec.sql.plan.width_statistics import (
    WIDTHS_PREFIX,
    FilteredRecall,
    WidthRecall,
    WidthStatistics,
    stored_widths,
)
from nestvec.sql.settings import IndexSettings

STRICT = IndexSettings()
HNSW = SearchedIndex("HNSW", 4 * 384)


def work(count: int = 10, rows: int = 100_000, matching: int | None = None, recall: float = 0.99) -> Workload:
    return Workload(count, rows, rows if matching is None else matching, recall)


@given(
    name=st.sampled_from(["HNSW", "AUTOINDEX", "HNSW_SQ", "DISKANN", "GPU_CAGRA"]),
    count=st.integers(1, 16_384),
    rows=st.integers(0, 10_000_000),
    share=st.floats(0, 1),
    recall=st.floats(0, 1),
    lite=st.booleans(),
    ef=st.sampled_from([0, 1, 40, 500]),
)
def test_a_graph_visits_at_least_the_rows_wanted_and_at_most_what_servers_take(
    name: str, count: int, rows: int, share: float, recall: float, lite: bool, ef: int
) -> None:
    workload = Workload(count, rows, int(rows * share), recall, lite=lite)
    method = choose_method(SearchedIndex(name, 4 * 384), workload, IndexSettings(ef_search=ef))
    if method.scan:
        assert (method.exact, method.params) == (True, {})
        return
    (width,) = method.params.values()
    assert count <= width <= index_kind(name).max_width
    assert not method.exact


@given(
    lists=st.integers(1, 65_536),
    count=st.integers(1, 16_384),
    rows=st.integers(0, 1_000_000),
    share=st.floats(0, 1),
    lite=st.booleans(),
)
def test_an_ivf_index_reads_some_lists_or_all_of_them(
    lists: int, count: int, rows: int, share: float, lite: bool
) -> None:
    index = SearchedIndex("IVF_FLAT", 4 * 384, lists=lists)
    method = choose_method(index, Workload(count, rows, int(rows * share), 0.99, lite=lite), STRICT)
    assert 1 <= method.params["nprobe"] <= lists
    # A server searches rows that were just written in lists of its own.
    assert method.exact == (lite and method.params["nprobe"] == lists)
    assert not method.scan


def test_every_list_of_a_server_is_not_every_row() -> None:
    index = SearchedIndex("IVF_FLAT", 4 * 384, lists=64)
    deep = choose_method(index, work(count=3000), STRICT)
    assert deep.described.startswith("approximate: IVF_FLAT reads every list; Milvus searches rows written")
    assert choose_method(index, work(recall=1), STRICT).described.startswith("exact: nestvec compares all")
    lite = choose_method(index, replace(work(recall=1), lite=True), STRICT)
    assert lite.described == "exact: IVF_FLAT reads every list"


@pytest.mark.parametrize(
    ("workload", "words"),
    [
        (work(matching=SCAN_ROWS), "compares the 200 matching rows"),
        (work(rows=100), "compares all 100 matching rows"),
        (work(count=3000), "LIMIT plus OFFSET of 3,000 is deep"),
        (work(count=600, rows=1000), "LIMIT plus OFFSET of 600 is deep"),
        (work(recall=1), "nestvec.recall is 1"),
        (replace(work(rows=1500), exact=True), "compares all 1,500"),
        (replace(work(matching=1000), lite=True), "the index would have to visit as many"),
    ],
)
def test_few_rows_and_deep_limits_are_compared_by_nestvec(workload: Workload, words: str) -> None:
    method = choose_method(HNSW, workload, STRICT)
    assert (method.scan, method.exact) == (True, True)
    assert words in method.described
    assert method.described.startswith("exact: ")
    for mode in ("off", "relaxed_order"):
        by_index = choose_method(HNSW, workload, IndexSettings(iterative_scan=mode))
        assert (by_index.scan, by_index.exact) == (False, False)


def test_more_vectors_than_nestvec_reads_are_searched_by_the_index_which_the_plan_says() -> None:
    rows = MAX_SCAN_BYTES // HNSW.row_bytes + 1
    method = choose_method(HNSW, work(count=3000, rows=rows), STRICT)
    assert not method.scan
    assert method.params["ef"] >= 3000
    assert method.described.startswith("approximate: HNSW with ef ")
    assert "too many to be compared" in method.described


def test_an_index_that_compares_every_vector_needs_nothing() -> None:
    for name in ("FLAT", "BIN_FLAT", "", "SPARSE_INVERTED_INDEX"):
        method = choose_method(SearchedIndex(name, 4), work(count=16_000), STRICT)
        assert (method.exact, method.scan, method.params) == (True, False, {})


def test_an_index_of_another_metric_is_not_searched() -> None:
    method = choose_method(replace(HNSW, same_metric=False), work(rows=50_000), STRICT)
    assert method.scan
    assert "another metric" in method.reason


def test_narrower_filters_and_higher_recalls_are_searched_more_widely() -> None:
    widths = [
        choose_method(HNSW, workload, STRICT).params["ef"]
        for workload in (work(recall=0.9), work(), work(recall=0.999), work(recall=0.999, matching=20_000))
    ]
    assert widths == sorted(set(widths))
    lite = choose_method(HNSW, replace(work(matching=50_000), lite=True), STRICT)
    assert lite.params["ef"] >= 2 * choose_method(HNSW, work(), STRICT).params["ef"]


def test_settings_of_pgvector_are_followed() -> None:
    settings = IndexSettings(ef_search=40, probes=3)
    assert choose_method(HNSW, work(), settings).params == {"ef": 40}
    assert choose_method(HNSW, work(count=100), settings).params == {"ef": 100}
    lists = choose_method(SearchedIndex("IVF_FLAT", 4, lists=100), work(), settings)
    assert (lists.params, lists.reason) == ({"nprobe": 3}, "IVF_FLAT with nprobe 3, as ivfflat.probes says")
    scann = choose_method(SearchedIndex("SCANN", 4, lists=100), work(count=100), settings)
    assert scann.params == {"nprobe": 3, "reorder_k": 400}


def test_a_search_is_widened_up_to_what_there_is() -> None:
    workload, widths = work(rows=5000), []
    method = choose_method(HNSW, workload, IndexSettings(ef_search=16))
    while method is not None:
        widths.append(method.params["ef"])
        method = widened(HNSW, workload, method)
    assert widths == [16, 128, 1024, 5000]
    lists, workload = SearchedIndex("IVF_FLAT", 4, lists=16), replace(workload, lite=True)
    narrow = choose_method(lists, workload, IndexSettings(probes=1))
    wide = widened(lists, workload, widened(lists, workload, narrow) or narrow)
    assert wide is not None
    assert (wide.params, wide.exact) == ({"nprobe": 16}, True)


def measured(rows: int = 100_000, index: str = "HNSW") -> WidthStatistics:
    def recalls(*pairs: tuple[int, float]) -> tuple[WidthRecall, ...]:
        return tuple(WidthRecall(width=width, mean=floor, floor=floor) for width, floor in pairs)

    return WidthStatistics(
        column="v",
        index=index,
        rows=rows,
        queries=64,
        measured=(
            FilteredRecall(selectivity=1.0, widths=recalls((32, 0.9), (64, 0.985), (128, 0.995))),
            FilteredRecall(selectivity=0.1, widths=recalls((128, 0.9), (1024, 0.992))),
        ),
    )


@pytest.mark.parametrize(
    ("workload", "width"),
    [
        (work(), 128),
        (work(recall=0.95), 64),
        (work(recall=0.9999), 128),
        (work(count=60), 228),
        # Between the selectivities: the narrower one is the one to rely on; filters have a margin.
        (replace(work(matching=40_000), lite=True), 2048),
        (replace(work(matching=10_000), lite=True), 2048),
    ],
)
def test_what_analyze_measured_decides(workload: Workload, width: int) -> None:
    method = choose_method(replace(HNSW, statistics=measured()), workload, STRICT)
    assert method.params == {"ef": width}
    assert "measured by ANALYZE: recall at least" in method.reason


def test_a_graph_of_vectors_of_different_lengths_is_not_relied_on_until_it_is_measured() -> None:
    uneven, ordinary = replace(HNSW, uneven=True), choose_method(HNSW, work(), STRICT)
    small = choose_method(uneven, work(rows=20_000), STRICT)
    assert small.scan
    assert "graphs of inner products miss rows" in small.reason
    large = choose_method(uneven, work(), STRICT)
    assert not large.exact
    assert large.params["ef"] > 4 * ordinary.params["ef"]
    assert "not known to reach a recall" in large.described
    analyzed = choose_method(replace(uneven, statistics=measured(rows=20_000)), work(rows=20_000), STRICT)
    assert analyzed.params == {"ef": 128}
    stale = choose_method(replace(uneven, statistics=measured(rows=9_000)), work(rows=20_000), STRICT)
    assert stale.scan


def test_statistics_of_other_rows_or_of_another_index_are_not_relied_on() -> None:
    stale = choose_method(replace(HNSW, statistics=measured(rows=50_000)), work(), STRICT)
    assert "ANALYZE is out of date" in stale.reason
    assert stale.params["ef"] >= choose_method(HNSW, work(), STRICT).params["ef"]
    assert measured().stale(105_000) == ""
    assert measured().stale(120_000) == (
        "ANALYZE measured v with 100,000 rows, but the collection has 120,000"
    )

    def table(text: str) -> Table:
        column = Column("v", "FLOAT_VECTOR", type_params=TypeParams(dim=4))
        return Table("t", (column,), indexes={"v": "HNSW"}, properties={f"{WIDTHS_PREFIX}v": text})

    assert stored_widths(table(measured().model_dump_json()), "v") == measured()
    assert stored_widths(table(measured(index="IVF_FLAT").model_dump_json()), "v") is None
    assert stored_widths(table("{"), "v") is None
