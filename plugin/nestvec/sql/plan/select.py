"""A bound SELECT to its plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from nestvec.sql.bind.expressions.expressions import Expression, Summary, fields
from nestvec.sql.bind.select import MAX_ROWS, MOST_ROWS, Query
from nestvec.sql.bind.vectors.nearest import Fused, Ranking
from nestvec.sql.plan.filter import render_filter
from nestvec.sql.plan.nodes import (
    Aggregate,
    CountRows,
    Distinct,
    Fetch,
    Filter,
    HybridSearch,
    Limit,
    Node,
    Plan,
    SingleRow,
    Sort,
    TopKWithTies,
    VectorSearch,
)
from nestvec.sql.plan.rankings import add_rerank, embedding_services, plan_hybrid

_COUNT_STAR = (Summary("count"),)

_EXTRA_ROWS = 16
"""Rows that are read beyond those wanted, to see which are as far off as the last of them."""


def plan_query(query: Query) -> Plan:
    """Plan a bound query. Raises SqlNotSupported where a column's name has no place in a filter."""
    node = _plan_unranked(query) if query.nearest is None else _plan_ranked(query, query.nearest)
    return Plan(node, query.outputs, embedding_services(query.table, query.nearest))


def _plan_ranked(query: Query, nearest: Ranking) -> Node:
    """Rows best first. Those that pass a threshold are the first of them, so OFFSET may count before it."""
    search = _plan_search(query, nearest)
    node: Node = search
    if len(query.keys) > 1 and query.limit:
        node = TopKWithTies(_with_extra_rows(search), query.keys, query.limit, query.offset)
    return node if query.keep is None else Filter(node, query.keep)


def _with_extra_rows(node: VectorSearch | HybridSearch) -> Node:
    """The same rows from the first on, and some after them, or all that several searches have found."""
    end = node.limit + node.offset
    limit = sum(part.limit for part in node.parts) if isinstance(node, HybridSearch) else end + _EXTRA_ROWS
    return replace(node, limit=min(limit, MAX_ROWS), offset=0)


def _plan_search(query: Query, nearest: Ranking) -> VectorSearch | HybridSearch:
    """The search that gives the rows."""
    collection, where, columns = query.table.name, render_filter(query.where), _columns_read(query)
    limit = MAX_ROWS - query.offset if query.limit is None else query.limit
    if isinstance(nearest, Fused):
        hybrid = plan_hybrid(collection, nearest, where, columns, limit, query.offset)
        return hybrid if query.rerank is None else add_rerank(hybrid, query.rerank)
    search = VectorSearch(collection, nearest, where, columns, limit, query.offset, query.best)
    return search if query.rerank is None else add_rerank(search, query.rerank)


def _plan_unranked(query: Query) -> Node:
    """Rows in no ranking: as Milvus gives them; or brought together, told apart and sorted here."""
    collection, where, grouping = query.table.name, render_filter(query.where), query.grouping
    windowed_clause = _windowed_clause(query)
    if not query.table.columns:
        node: Node = SingleRow()
    elif grouping is not None and not grouping.keys and set(grouping.summaries) <= set(_COUNT_STAR):
        node = CountRows(collection, where)
    elif windowed_clause:
        node = Fetch(
            collection,
            where,
            _columns_read(query),
            MOST_ROWS,
            every_row=True,
            windowed_clause=windowed_clause,
        )
    else:
        limit = MOST_ROWS if query.limit is None else query.limit
        return Fetch(
            collection, where, _columns_read(query), limit, query.offset, every_row=query.limit is None
        )
    if grouping is not None:
        node = node if isinstance(node, CountRows) else Aggregate(node, grouping.keys, grouping.summaries)
        node = node if grouping.having is None else Filter(node, grouping.having)
    # The first of like rows is the first by the order, where the order tells.
    node = Sort(node, query.keys) if query.keys else node
    node = node if query.distinct is None else Distinct(node, query.distinct)
    return node if query.limit is None and not query.offset else Limit(node, query.limit, query.offset)


def _windowed_clause(query: Query) -> str:
    """The clause for which every row is read; empty where there is none."""
    if query.grouping is not None:
        return "GROUP BY" if query.grouping.keys else "an aggregate"
    if query.distinct is not None:
        return "DISTINCT"
    return "ORDER BY" if query.keys else ""


def _columns_read(query: Query) -> tuple[str, ...]:
    """The columns that the rows are read with."""
    return tuple(dict.fromkeys(name for expression in _expressions(query) for name in fields(expression)))


def _expressions(query: Query) -> Iterator[Expression]:
    grouping = query.grouping
    if grouping is not None:
        yield from (*grouping.keys, *grouping.summaries)
        return
    yield from (one.expression for one in query.outputs)
    yield from (one.expression for one in query.keys)
    yield from query.distinct or ()
