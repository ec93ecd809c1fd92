"""Runs a plan: one function for each type of node. Texts are sent as text: Milvus has them embedded."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from nestvec.milvus.steps import Steps
from nestvec.sql.bind.query import MAX_SCAN_ROWS
from nestvec.sql.bind.select_list import output_label
from nestvec.sql.bind.values import ColumnRef
from nestvec.sql.execute.choose_search import choose_search
from nestvec.sql.execute.lateral import run_lateral
from nestvec.sql.execute.rankers import run_decay_scores
from nestvec.sql.execute.read import ReadRequest, query_rows, with_dynamic_fields
from nestvec.sql.execute.rescore import run_rescore
from nestvec.sql.execute.rows import (
    ScoredRow,
    column_values,
    filter_rows,
    limit_rows,
    missing_column,
    run_count,
    run_single,
    sort_rows,
)
from nestvec.sql.execute.ties import run_top_k_with_ties
from nestvec.sql.execute.timing import PROFILE, timed
from nestvec.sql.execute.upgrades.dual_reading import run_hybrid_search, run_vector_search
from nestvec.sql.plan.nodes import (
    CountRows,
    DecayScores,
    Fetch,
    Filter,
    ForEachQuery,
    HybridSearch,
    Limit,
    Node,
    Plan,
    Rescore,
    SingleRow,
    Sort,
    TopKWithTies,
    VectorSearch,
    source_of,
)
from nestvec.sql.result import StatementResult
from nestvec.sql.session import Session
from nestvec_schemas.errors import SqlNotSupported


def run_plan(session: Session, plan: Plan) -> Steps[StatementResult]:
    """Run a plan. Raises StoreRefused, StoreUnreachable, SqlNotSupported for too many rows, and SqlDataError
    where a collection has changed under it.
    """
    if plan.services:
        yield from session.ensure_served(plan.services)
    if plan.node.collection:
        yield from session.ensure_loaded(plan.node.collection)
    started = time.perf_counter()
    try:
        scored_rows = yield from run_node(session, plan.node)
        columns = [column_values(output.expression, scored_rows) for output in plan.outputs]
    except KeyError as error:
        table = session.tables.get(source_of(plan.node).collection)
        if table is None or table.column(error.args[0]) is None:
            raise
        raise missing_column(error.args[0]) from error
    rows = tuple(zip(*columns, strict=True))
    return StatementResult(
        tuple(map(output_label, plan.columns)),
        tuple(output.type for output in plan.outputs),
        rows,
        tag=f"SELECT {len(rows)}",
        count=len(rows),
        seconds=time.perf_counter() - started,
        elements=_elements(session, plan),
    )


def _elements(session: Session, plan: Plan) -> dict[int, str]:
    """The types of the elements of arrays, by the positions of their columns."""
    arrays = {
        at: output.expression.name
        for at, output in enumerate(plan.outputs)
        if output.type == "ARRAY" and isinstance(output.expression, ColumnRef)
    }
    table = session.tables.get(source_of(plan.node).collection) if arrays else None
    columns = {at: table.column(name) for at, name in arrays.items()} if table is not None else {}
    return {
        at: column.type_params.element_type
        for at, column in columns.items()
        if column is not None and column.type_params.element_type
    }


def run_node(session: Session, node: Node, timed_as: Node | None = None) -> Steps[list[ScoredRow]]:
    """The rows of one node, in its order. EXPLAIN ANALYZE measures it as ``timed_as``, a node of the plan."""
    steps = _RUNNERS[type(node)](session, node)
    profile = PROFILE.get()
    return (yield from steps if profile is None else timed(profile, timed_as or node, steps))


def _fetch(session: Session, node: Fetch) -> Steps[list[ScoredRow]]:
    if node.limit <= 0:
        return []
    doing = f"querying collection {node.collection}"
    request = ReadRequest(doing, node.collection, node.filter, node.fields, session.read_options())
    # One row more shows whether the limit is exceeded.
    limit = min(node.limit + node.every_row, MAX_SCAN_ROWS + 1)
    rows = yield from query_rows(session, request, limit, node.offset)
    if len(rows) > MAX_SCAN_ROWS:
        # ORDER BY reads every row, whatever LIMIT is.
        step = "narrow them with WHERE." if node.windowed_clause else "add LIMIT, or narrow them with WHERE."
        raise SqlNotSupported(
            f"{node.windowed_clause or 'a result'} of more than {MAX_SCAN_ROWS:,} rows is not supported",
            next_step=f"nestvec holds them all in memory: {step}",
        )
    return [ScoredRow(row) for row in with_dynamic_fields(session, node.collection, node.fields, rows)]


def _filter(session: Session, node: Filter) -> Steps[list[ScoredRow]]:
    rows = yield from run_node(session, node.input)
    within = filter_rows(node, rows)
    if len(within) < len(rows):
        # The threshold ends the result, not LIMIT: it is to have every row within it.
        yield from _note_missing(session, source_of(node))
    return within


def _note_missing(session: Session, search: Node) -> Steps[None]:
    """Tell that an approximate search may miss rows within a threshold."""
    if isinstance(search, VectorSearch):
        if (yield from choose_search(session, search)).method.exact:
            return
    elif not isinstance(search, Rescore):
        return
    session.notices.note(
        f"rows of {search.collection} within the threshold may be missing: the search is approximate, as "
        "EXPLAIN shows. SET nestvec.recall = 1 compares every row"
    )


def _unary(
    work: Callable[[Any, list[ScoredRow]], list[ScoredRow]],
) -> Callable[[Session, Any], Steps[list[ScoredRow]]]:
    """The runner of a node that does ``work`` on the rows of its input."""

    def run(session: Session, node: Any) -> Steps[list[ScoredRow]]:
        rows = yield from run_node(session, node.input)
        return work(node, rows)

    return run


_RUNNERS: dict[type[Any], Callable[[Session, Any], Steps[list[ScoredRow]]]] = {
    Fetch: _fetch,
    VectorSearch: run_vector_search,
    HybridSearch: run_hybrid_search,
    CountRows: run_count,
    SingleRow: run_single,
    Filter: _filter,
    Sort: _unary(sort_rows),
    Limit: _unary(limit_rows),
    TopKWithTies: lambda session, node: run_top_k_with_ties(run_node, session, node),
    DecayScores: lambda session, node: run_decay_scores(run_node, session, node),
    ForEachQuery: lambda session, node: run_lateral(run_node, session, node),
    Rescore: lambda session, node: run_rescore(run_node, session, node),
}
