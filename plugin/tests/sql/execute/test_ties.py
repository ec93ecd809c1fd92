"""ORDER BY a distance and a second key: how many rows are searched for, and which are in the result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

import pytest
from pymilvus import MilvusClient

from nestvec.milvus.steps import Steps, drive
from nestvec.sql import Session
from nestvec.sql.execute.rows import ScoredRow
from nestvec.sql.execute.ties import run_top_k_with_ties
from nestvec.sql.plan.nodes import Filter, HybridSearch, Node, Plan, Rescore, TopKWithTies, VectorSearch
from nestvec_schemas.errors import SqlNotSupported

Planned = Callable[..., Plan]

STATEMENT = "SELECT id FROM pydoc ORDER BY doc_64 <=> 'x', id DESC LIMIT 2 OFFSET 1"


def ran(node: TopKWithTies, distances: Sequence[float]) -> tuple[list[int], list[int]]:
    """The ids of the answer over rows 0, 1, … as far off as told; and how many rows each search asked for."""
    asked: list[int] = []

    def run(session: Session, search: Node, counted: Node | None) -> Steps[list[ScoredRow]]:
        yield from ()
        assert isinstance(search, (VectorSearch, Rescore, HybridSearch))
        limit = search.full_search.limit if isinstance(search, Rescore) else search.limit
        asked.append(limit)
        return [ScoredRow({"id": at}, distance) for at, distance in enumerate(distances[:limit])]

    rows = drive(cast(MilvusClient, None), run_top_k_with_ties(run, Session(), node))
    return [one.row["id"] for one in rows], asked


@pytest.fixture
def tied(planned: Planned) -> TopKWithTies:
    node = planned(STATEMENT).node
    assert isinstance(node, TopKWithTies)
    return node


@pytest.mark.parametrize(
    ("distances", "ids", "asked"),
    [
        ([0.1, 0.2, 0.3, 0.4] + [0.5] * 40, [1, 2], [19]),
        ([0.1, 0.2, 0.2, 0.2] + [0.5] * 40, [3, 2], [19]),
        ([0.1] + [0.2] * 30 + [0.5] * 400, [30, 29], [19, 152]),
        ([0.1] * 15, [13, 12], [19]),
        ([0.1] * 1000, [998, 997], [19, 152, 1216]),
        ([0.1, 0.2], [1], [19]),
        ([], [], [19]),
    ],
)
def test_ties_of_the_last_row_are_found(
    tied: TopKWithTies, distances: list[float], ids: list[int], asked: list[int]
) -> None:
    assert ran(tied, distances) == (ids, asked)


def test_ties_beyond_the_window_are_an_error(tied: TopKWithTies) -> None:
    with pytest.raises(SqlNotSupported, match="Narrow them"):
        ran(tied, [0.1] * 20_000)
    assert ran(tied, [0.1] * 16_383)[0] == [16_381, 16_380]


def test_a_shortlist_is_not_widened(tied: TopKWithTies) -> None:
    """The whole search, which the shortlist stands for, is."""
    whole = tied.input
    assert isinstance(whole, VectorSearch)
    shortlist = replace(tied, input=Rescore(whole, whole, "id", 32))
    assert ran(shortlist, [0.1] + [0.2] * 30 + [0.5] * 400) == ([30, 29], [19, 152])


def test_a_threshold_applies_to_sorted_rows(planned: Planned) -> None:
    node = planned(STATEMENT.replace("ORDER", "WHERE doc_64 <=> 'x' < 0.5 ORDER")).node
    assert isinstance(node, Filter)
    assert isinstance(node.input, TopKWithTies)


def test_no_search_is_widened_without_need(planned: Planned) -> None:
    assert isinstance(planned(STATEMENT.replace(", id DESC", "")).node, VectorSearch)
    assert isinstance(planned(STATEMENT.replace("LIMIT 2", "LIMIT 0")).node, VectorSearch)
    widest = planned(STATEMENT.replace("LIMIT 2", "LIMIT 16383")).node
    assert isinstance(widest, TopKWithTies)
    assert isinstance(widest.input, VectorSearch)
    assert widest.input.limit == 16_384
