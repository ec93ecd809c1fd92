"""A bound SELECT to its plan."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from nestvec.milvus.catalog import Table
from nestvec.sql.bind.conditions.nodes import Condition, conjunction, vector_is_null
from nestvec.sql.bind.highlight import Highlight
from nestvec.sql.bind.query import MAX_SCAN_ROWS, MAX_WINDOW, Query
from nestvec.sql.bind.values import ColumnRef, Expression
from nestvec.sql.bind.vectors import targets
from nestvec.sql.bind.vectors.distance import DistanceRanking
from nestvec.sql.bind.vectors.rankers import DecayRanker
from nestvec.sql.bind.vectors.ranking import FusedRanking, Ranking
from nestvec.sql.bind.vectors.rerank import ModelReranker, RerankClause
from nestvec.sql.plan.filter import render_filter
from nestvec.sql.plan.nodes import (
    CountRows,
    DecayScores,
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

DEFAULT_CANDIDATES: Final = 100
"""Minimum number of rows of each distance in a fused ranking: later ranks add little to a score (1 / 160)."""

DEFAULT_RERANKED: Final = 50
"""Rows that a model scores if the statement gives no number: it reads each of them with the query."""

_EXTRA_ROWS: Final = 16
"""Rows read beyond those wanted, to see which are as far away as the last of them."""


def plan_query(query: Query) -> Plan:
    """Plan a bound query. Raises SqlNotSupported for a column whose name cannot be used in a filter."""
    ranking = query.ordering.ranking
    node = _plan_unranked(query) if ranking is None else _plan_ranked(query, ranking)
    return Plan(node, query.outputs, _embedding_services(query.table, ranking))


def _plan_ranked(query: Query, ranking: Ranking) -> Node:
    """Rows best first. Those that pass a threshold are the first of them, so OFFSET may count before it."""
    search = _plan_search(query, ranking)
    if query.ordering.rerank is not None:
        return _reranked(search, query.ordering.rerank)
    node: Node = search
    if len(query.ordering.keys) > 1 and query.limit:
        node = TopKWithTies(_with_extra_rows(search), query.ordering.keys, query.limit, query.offset)
    return Filter(node, query.ordering.thresholds) if query.ordering.thresholds else node


def _with_extra_rows(node: VectorSearch | HybridSearch) -> Node:
    """The same rows from the first on and some after them, or every candidate of a hybrid search."""
    end = node.limit + node.offset
    limit = sum(part.limit for part in node.parts) if isinstance(node, HybridSearch) else end + _EXTRA_ROWS
    return replace(node, limit=min(limit, MAX_WINDOW), offset=0)


def _plan_search(query: Query, ranking: Ranking) -> VectorSearch | HybridSearch:
    """The search that gives the rows."""
    if isinstance(ranking, FusedRanking):
        return _hybrid_search(query, ranking)
    return _vector_search(query, ranking)


def _vector_search(query: Query, nearest: DistanceRanking) -> VectorSearch:
    return VectorSearch(
        query.table.name,
        nearest,
        filter=_filter_ranked(query, nearest),
        fields=_columns_read(query),
        limit=_search_limit(query),
        offset=query.offset,
        group=query.group_column,
        highlight=next((value for value in _values(query) if isinstance(value, Highlight)), None),
        # A row within a threshold that is missed is missing from the result, whatever LIMIT is.
        exact=bool(query.ordering.thresholds),
        null_filter=_null_filter(query, nearest),
    )


def _filter_ranked(query: Query, nearest: DistanceRanking) -> str:
    """The filter of a search, which finds no row whose vector is NULL."""
    return render_filter(_with_null_test(query, nearest, negated=True) or query.where)


def _null_filter(query: Query, nearest: DistanceRanking) -> str:
    return render_filter(_with_null_test(query, nearest, negated=False))


def _with_null_test(query: Query, nearest: DistanceRanking, *, negated: bool) -> Condition | None:
    """WHERE, and that the vector is, or is not, NULL; None if it never is."""
    column = query.table.column(nearest.column)
    if column is None or column.name not in query.table.null_flags:
        return None
    test = vector_is_null(column, negated=negated)
    return test if query.where is None else conjunction((query.where, test))


def _hybrid_search(query: Query, ranking: FusedRanking) -> HybridSearch:
    """A fused ranking, with as many candidates per part as the statement says, and at least those wanted."""
    collection, limit = query.table.name, _search_limit(query)
    candidates = _candidates(ranking.candidates or DEFAULT_CANDIDATES, limit + query.offset)
    parts = (
        VectorSearch(collection, nearest, _filter_ranked(query, nearest), (), candidates)
        for nearest in ranking.parts
    )
    return HybridSearch(
        collection,
        ranking,
        tuple(parts),
        fields=_columns_read(query),
        limit=limit,
        offset=query.offset,
    )


def _reranked(search: VectorSearch | HybridSearch, rerank: RerankClause) -> HybridSearch | DecayScores:
    """The candidates of a search, in the order of the scores that the clause gives them.

    Milvus applies one model or one decay to a search; further decays, and those of fused scores, are
    nestvec's work.
    """
    size = _candidates(rerank.candidates or DEFAULT_RERANKED, search.limit + search.offset)
    reranker: ModelReranker | DecayRanker | None = rerank.model
    decays = rerank.decays
    if isinstance(search, HybridSearch):
        parts = tuple(replace(part, limit=size) for part in search.parts)
        candidates = replace(search, parts=parts, reranker=reranker)
    else:
        # Milvus Lite reads no key for a ranker, and takes it for NULL.
        if reranker is None and decays and not decays[0].column.primary:
            reranker, decays = decays[0], decays[1:]
        candidates = HybridSearch(
            search.collection,
            FusedRanking((search.nearest,)),
            (VectorSearch(search.collection, search.nearest, search.filter, (), size),),
            fields=search.fields,
            limit=search.limit,
            offset=search.offset,
            reranker=reranker,
            boosts=rerank.boosts,
        )
    if not decays:
        return candidates
    fields = dict.fromkeys((*search.fields, *(decay.column.name for decay in decays)))
    every = min(MAX_WINDOW, sum(part.limit for part in candidates.parts))
    candidates = replace(candidates, fields=tuple(fields), limit=every, offset=0)
    return DecayScores(candidates, decays, search.limit, search.offset)


def _candidates(requested: int, count: int) -> int:
    return min(MAX_WINDOW, max(count, requested))


def _search_limit(query: Query) -> int:
    return MAX_WINDOW - query.offset if query.limit is None else query.limit


def _plan_unranked(query: Query) -> Node:
    """Rows in no ranking: as Milvus gives them, or sorted in nestvec."""
    collection, where, columns = query.table.name, render_filter(query.where), _columns_read(query)
    sorts = bool(query.ordering.keys)
    if not query.table.columns:
        node: Node = SingleRow()
    elif query.counts:
        node = CountRows(collection, where)
    elif sorts:
        node = Fetch(collection, where, columns, MAX_SCAN_ROWS, every_row=True, windowed_clause="ORDER BY")
    else:
        limit = MAX_SCAN_ROWS if query.limit is None else query.limit
        return Fetch(collection, where, columns, limit, query.offset, every_row=query.limit is None)
    node = Sort(node, query.ordering.keys) if sorts else node
    return node if query.limit is None and not query.offset else Limit(node, query.limit, query.offset)


def _columns_read(query: Query) -> tuple[str, ...]:
    """The columns that are read of every row."""
    values = _values(query)
    names = [value.name for value in values if isinstance(value, ColumnRef)]
    # Milvus marks words only in columns that it returns.
    names += [value.column for value in values if isinstance(value, Highlight)]
    return tuple(dict.fromkeys(names))


def _values(query: Query) -> list[Expression]:
    """What the result and the order have of each row."""
    return [
        *(output.expression for output in query.outputs),
        *(key.expression for key in query.ordering.keys),
    ]


def _embedding_services(table: Table, ranking: Ranking | None) -> tuple[str, ...]:
    """The services that embed a ranking's texts, called by Milvus or by nestvec; each once."""
    if ranking is None:
        return ()
    services: list[str] = []
    for part in ranking.parts if isinstance(ranking, FusedRanking) else (ranking,):
        embedding = table.embedding(part.column)
        if isinstance(part.target, str):
            services += [embedding.service] if embedding is not None else []
        else:
            services += targets.target_services(part.target)
    return tuple(dict.fromkeys(services))
