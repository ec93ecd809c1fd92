"""A bound SELECT to its plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from nestvec.sql.bind.expressions import Expression, Summary, fields
from nestvec.sql.bind.nearest import Fused, Ranking
from nestvec.sql.bind.select import MAX_ROWS, MOST_ROWS, Query
from nestvec.sql.plan.filter import render
from nestvec.sql.plan.nodes import (
    Aggregate,
    Count,
    Distinct,
    Fetch,
    Hybrid,
    Keep,
    Node,
    Plan,
    Search,
    Single,
    Slice,
    Sort,
    Tied,
)
from nestvec.sql.plan.rankings import hybrid, reranked, services

_COUNT = (Summary("count"),)

_TIES = 16
"""Rows that are read beyond those wanted, to see which are as far off as the last of them."""


def plan_query(query: Query) -> Plan:
    """Plan a bound query. Raises SqlNotSupported where a column's name has no place in a filter."""
    node = _gathered(query) if query.nearest is None else _ranked(query, query.nearest)
    return Plan(node, query.outputs, services(query.table, query.nearest))


def _ranked(query: Query, nearest: Ranking) -> Node:
    """Rows best first. Those that pass a threshold are the first of them, so OFFSET may count before it."""
    search = _ranking(query, nearest)
    node: Node = search
    if len(query.keys) > 1 and query.limit:
        node = Tied(_wider(search), query.keys, query.limit, query.offset)
    return node if query.keep is None else Keep(node, query.keep)


def _wider(node: Search | Hybrid) -> Node:
    """The same rows from the first on, and some after them, or all that several searches have found."""
    wanted = node.limit + node.offset
    more = sum(part.limit for part in node.parts) if isinstance(node, Hybrid) else wanted + _TIES
    return replace(node, limit=min(more, MAX_ROWS), offset=0)


def _ranking(query: Query, nearest: Ranking) -> Search | Hybrid:
    """The search that gives the rows."""
    collection, where, read = query.table.name, render(query.where), _read(query)
    limit = MAX_ROWS - query.offset if query.limit is None else query.limit
    if isinstance(nearest, Fused):
        fused = hybrid(collection, nearest, where, read, limit, query.offset)
        return fused if query.rerank is None else reranked(fused, query.rerank)
    search = Search(collection, nearest, where, read, limit, query.offset, query.best)
    return search if query.rerank is None else reranked(search, query.rerank)


def _gathered(query: Query) -> Node:
    """Rows in no ranking: as Milvus gives them; or brought together, told apart and sorted here."""
    collection, where, grouping = query.table.name, render(query.where), query.grouping
    needs = _needs(query)
    if not query.table.columns:
        node: Node = Single()
    elif grouping is not None and not grouping.keys and set(grouping.summaries) <= set(_COUNT):
        node = Count(collection, where)
    elif needs:
        node = Fetch(collection, where, _read(query), MOST_ROWS, every_row=True, needs=needs)
    else:
        limit = MOST_ROWS if query.limit is None else query.limit
        return Fetch(collection, where, _read(query), limit, query.offset, every_row=query.limit is None)
    if grouping is not None:
        node = node if isinstance(node, Count) else Aggregate(node, grouping.keys, grouping.summaries)
        node = node if grouping.having is None else Keep(node, grouping.having)
    # The first of like rows is the first by the order, where the order tells.
    node = Sort(node, query.keys) if query.keys else node
    node = node if query.distinct is None else Distinct(node, query.distinct)
    return node if query.limit is None and not query.offset else Slice(node, query.limit, query.offset)


def _needs(query: Query) -> str:
    """The clause for which every row is read; empty where there is none."""
    if query.grouping is not None:
        return "GROUP BY" if query.grouping.keys else "an aggregate"
    if query.distinct is not None:
        return "DISTINCT"
    return "ORDER BY" if query.keys else ""


def _read(query: Query) -> tuple[str, ...]:
    """The columns that the rows are read with."""
    return tuple(dict.fromkeys(name for one in _expressions(query) for name in fields(one)))


def _expressions(query: Query) -> Iterator[Expression]:
    grouping = query.grouping
    if grouping is not None:
        yield from (*grouping.keys, *grouping.summaries)
        return
    yield from (one.expression for one in query.outputs)
    yield from (one.expression for one in query.keys)
    yield from query.distinct or ()
