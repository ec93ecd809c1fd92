"""How a search is made, from the collection as it is: numbers of rows, the index, what ANALYZE measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from nestvec.milvus.catalog import Column, Table, table_steps
from nestvec.milvus.indexes import drop_ratio_property
from nestvec.milvus.steps import Steps, call
from nestvec.sql.bind.query import MAX_SCAN_ROWS
from nestvec.sql.bind.vectors.distance import DistanceRanking
from nestvec.sql.execute.distances import decode_vectors, row_bytes
from nestvec.sql.execute.read import ReadRequest, query_rows
from nestvec.sql.plan.index_kinds import MAX_LISTS, Workload
from nestvec.sql.plan.nodes import VectorSearch
from nestvec.sql.plan.search_method import SearchedIndex, SearchMethod, by_index, choose_method
from nestvec.sql.plan.width_statistics import stored_widths
from nestvec.sql.session import Session
from nestvec.sql.settings import SessionSettings
from nestvec_schemas.errors import SqlNotSupported

_UNKNOWN_INDEX = "UNKNOWN"

_SAMPLED_LENGTHS: Final = 64
"""Vectors whose lengths are compared."""

_SAME_LENGTH: Final = 0.02
"""The difference of lengths, relative to the largest, up to which they are taken for the same."""


@dataclass(frozen=True)
class ChosenSearch:
    """A method, with what it was chosen for."""

    method: SearchMethod
    index: SearchedIndex
    workload: Workload
    table: Table
    settings: SessionSettings
    """Those that it was chosen under."""
    counted: bool = True
    """Whether it depends on numbers of rows: where the index compares every vector, nothing is chosen."""


def table_of(session: Session, collection: str) -> Steps[Table]:
    """The collection, as the session holds it or else as it is."""
    table = session.collection(collection)
    if table is None:
        table = session.tables[collection] = yield from table_steps(collection)
    return table


def choose_search(
    session: Session, node: VectorSearch, *, own_rows: bool = True, fresh: bool = False
) -> Steps[ChosenSearch]:
    """How the rows of a search are found. Raises StoreError.

    ``own_rows``: nestvec may read the vectors itself; false for a part of Milvus's hybrid search.
    ``fresh``: rows are counted anew.
    """
    table = yield from table_of(session, node.collection)
    nearest, settings = node.nearest, session.settings
    ranking = (nearest.column, nearest.metric, node.limit, node.offset)
    key = (node.collection, node.filter, *ranking, node.exact, own_rows)
    last = session.search_cache.choice(key)
    if not isinstance(last, ChosenSearch) or last.table is not table or last.settings is not settings:
        last = None
    elif not last.counted:
        return last
    count = node.limit + node.offset
    if last is None:
        index = yield from searched_index(session, table, nearest)
        if index.kind.exact and index.same_metric:
            # Nothing is chosen, so nothing is counted.
            workload = Workload(count, rows=0, matching=0, recall=settings.recall)
            method = by_index(index, workload, settings.index)
            chosen = ChosenSearch(method, index, workload, table, settings, counted=False)
            session.search_cache.remember_choice(key, chosen)
            return chosen
    rows = yield from count_matching(session, node.collection, "", fresh=fresh)
    matching = rows
    if node.filter:
        matching = yield from count_matching(session, node.collection, node.filter, fresh=fresh)
    if last is not None:
        if (last.workload.rows, last.workload.matching) == (max(rows, matching), matching):
            return last
        # Rows were written: their vectors may be the first.
        index = yield from searched_index(session, table, nearest)
    lite = yield from session.is_lite()
    workload = Workload(
        count,
        rows=max(rows, matching),
        matching=matching,
        recall=settings.recall,
        # A row that is missed before a page shifts all of it.
        exact=node.exact or node.offset > 0,
        lite=lite,
    )
    choose = choose_method if own_rows else by_index
    method = choose(index, workload, settings.index)
    if not index.same_metric and not method.scan:
        raise _other_metric(node, index, matching)
    chosen = ChosenSearch(method, index, workload, table, settings)
    session.search_cache.remember_choice(key, chosen)
    return chosen


def _other_metric(node: VectorSearch, index: SearchedIndex, matching: int) -> SqlNotSupported:
    return SqlNotSupported(
        f"the index {index.name} of {node.nearest.column} is of another metric than {node.nearest.metric}, "
        f"and the vectors of {matching:,} rows cannot be compared without it",
        next_step="Narrow the rows with WHERE, or create an index of this metric.",
    )


def searched_index(session: Session, table: Table, nearest: DistanceRanking) -> Steps[SearchedIndex]:
    """The index of the column that a search is by."""
    column = table.column(nearest.column)
    if column is None:
        return SearchedIndex(_UNKNOWN_INDEX, 0)
    name = table.indexes.get(column.name, "")
    index = SearchedIndex(
        name,
        row_bytes(column.type, column.dim or 0, nearest.metric),
        same_metric=table.metrics.get(column.name, nearest.metric) == nearest.metric,
        statistics=stored_widths(table, column.name),
        drop_ratio=table.properties.get(drop_ratio_property(column.name), ""),
    )
    if index.kind.parameter != "nprobe":
        if nearest.metric != "IP" or index.kind.exact or not (index.kind.parameter and index.row_bytes):
            return index
        return replace(index, uneven=(yield from _is_uneven(session, table, column)))
    params = yield from _index_params(session, table.name, column.name)
    lists = str(params.get("nlist", ""))
    return SearchedIndex(
        name,
        index.row_bytes,
        same_metric=index.same_metric,
        lists=int(lists) if lists.isdecimal() and int(lists) > 0 else MAX_LISTS,
        statistics=index.statistics,
    )


def _is_uneven(session: Session, table: Table, column: Column) -> Steps[bool]:
    """Whether vectors of a column differ in length, by some of them."""
    key = (table.name, column.name)
    uneven = session.search_cache.uneven.get(key)
    if uneven is None:
        doing = f"reading vectors of {table.name}.{column.name}"
        request = ReadRequest(doing, table.name, "", (column.name,), session.read_options())
        rows = yield from query_rows(session, request, _SAMPLED_LENGTHS)
        values = [row[column.name] for row in rows if row.get(column.name) is not None]
        if not values:
            return False
        lengths = np.linalg.norm(decode_vectors(column.type, values).astype(np.float64), axis=1)
        uneven = bool(np.ptp(lengths) > _SAME_LENGTH * lengths.max())
        session.search_cache.uneven[key] = uneven
    return uneven


def _index_params(session: Session, collection: str, column: str) -> Steps[Mapping[str, str]]:
    """How the index of a column was built."""
    key = (collection, column)
    params = session.search_cache.index_params.get(key)
    if params is None:
        doing = f"reading the index of {collection}.{column}"
        names = yield call(doing, "list_indexes", collection, field_name=column)
        described = (yield call(doing, "describe_index", collection, names[0])) if names else {}
        params = {str(name): str(value) for name, value in (described or {}).items()}
        session.search_cache.index_params[key] = params
    return params


def count_matching(session: Session, collection: str, where: str, *, fresh: bool = False) -> Steps[int]:
    """The number of rows that pass a filter in the partitions of the settings, as it was lately."""
    key = (collection, where, session.settings.partitions)
    count = None if fresh else session.search_cache.count(key)
    if count is None:
        answer = yield call(
            f"counting the rows of {collection}",
            "query",
            collection,
            filter=where,
            output_fields=["count(*)"],
            **session.read_options(),
        )
        count = int(answer[0]["count(*)"])
        session.search_cache.remember(key, count)
    return count


def count_groups(session: Session, node: VectorSearch) -> Steps[int]:
    """The number of values of the column that a search groups by, among the rows that match, now."""
    doing = f"counting the values of {node.collection}.{node.group}"
    request = ReadRequest(doing, node.collection, node.filter, (node.group,), session.read_options())
    rows = yield from query_rows(session, request, MAX_SCAN_ROWS)
    return len({row.get(node.group) for row in rows})
