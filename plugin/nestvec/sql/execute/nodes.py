"""The nodes of a plan, run: a row a node. Texts go as texts: Milvus has them embedded."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from nestvec.milvus.steps import Steps
from nestvec.sql.answer import StatementResult
from nestvec.sql.bind.expressions.expressions import Expression, Field
from nestvec.sql.bind.select import MOST_ROWS
from nestvec.sql.execute.dynamic import with_dynamic_fields
from nestvec.sql.execute.each import run_lateral
from nestvec.sql.execute.evaluate import ScoredRow, evaluate
from nestvec.sql.execute.profile import PROFILE, timed
from nestvec.sql.execute.rankings import run_hybrid, run_search
from nestvec.sql.execute.reading import ReadRequest, read_rows
from nestvec.sql.execute.rescore import run_rescore
from nestvec.sql.execute.shaping import distinct, filter_rows, limit_rows, run_single, sort_rows
from nestvec.sql.execute.summaries import aggregate, run_count
from nestvec.sql.execute.ties import run_top_k_with_ties
from nestvec.sql.plan.nodes import (
    Aggregate,
    CountRows,
    Distinct,
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
)
from nestvec.sql.session import Session
from nestvec_schemas.errors import SqlNotSupported


def run_plan(session: Session, plan: Plan) -> Steps[StatementResult]:
    """Ask Milvus. Raises StoreRefused, StoreUnreachable; SqlNotSupported where rows would be lost unseen."""
    yield from session.ensure_served(plan.services)
    if plan.node.collection:
        yield from session.ensure_loaded(plan.node.collection)
    started = time.perf_counter()
    scored_rows = yield from run_node(session, plan.node)
    rows = tuple(zip(*(_column_values(one.expression, scored_rows) for one in plan.outputs), strict=True))
    return StatementResult(
        plan.columns,
        tuple(one.type for one in plan.outputs),
        rows,
        f"SELECT {len(rows)}",
        len(rows),
        time.perf_counter() - started,
    )


def _column_values(expression: Expression, scored_rows: list[ScoredRow]) -> list[Any]:
    """One column of the answer; mostly it is one of the rows' own."""
    if isinstance(expression, Field):
        name = expression.name
        return [scored_row.row[name] for scored_row in scored_rows]
    return [evaluate(expression, scored_row) for scored_row in scored_rows]


def run_node(session: Session, node: Node, timed_as: Node | None = None) -> Steps[list[ScoredRow]]:
    """The rows of one node, in its order. EXPLAIN ANALYZE counts it as ``counted``, a node of the plan."""
    steps = _RUNNERS[type(node)](session, node)
    profile = PROFILE.get()
    return (yield from steps if profile is None else timed(profile, timed_as or node, steps))


def _fetch(session: Session, node: Fetch) -> Steps[list[ScoredRow]]:
    if node.limit <= 0:
        return []
    doing = f"querying collection {node.collection}"
    request = ReadRequest(doing, node.collection, node.filter, node.fields, session.read_options())
    # One more tells whether there is more than may be read.
    limit = min(node.limit + node.every_row, MOST_ROWS + 1)
    rows = yield from read_rows(session, request, limit, node.offset)
    if len(rows) > MOST_ROWS:
        raise SqlNotSupported(
            f"{node.windowed_clause or 'an answer'} of more than {MOST_ROWS:,} rows is not supported",
            next_step="They are all in memory here: add LIMIT, or narrow them with WHERE.",
        )
    return [ScoredRow(row) for row in with_dynamic_fields(session, node.collection, node.fields, rows)]


def _unary(
    work: Callable[[Any, list[ScoredRow]], list[ScoredRow]],
) -> Callable[[Session, Any], Steps[list[ScoredRow]]]:
    """The runner of a node that does ``work`` with the rows of another."""

    def run(session: Session, node: Any) -> Steps[list[ScoredRow]]:
        rows = yield from run_node(session, node.input)
        return work(node, rows)

    return run


_RUNNERS: dict[type[Any], Callable[[Session, Any], Steps[list[ScoredRow]]]] = {
    Fetch: _fetch,
    VectorSearch: run_search,
    HybridSearch: run_hybrid,
    CountRows: run_count,
    SingleRow: run_single,
    Filter: _unary(filter_rows),
    Aggregate: _unary(aggregate),
    Distinct: _unary(distinct),
    Sort: _unary(sort_rows),
    Limit: _unary(limit_rows),
    TopKWithTies: lambda session, node: run_top_k_with_ties(run_node, session, node),
    ForEachQuery: lambda session, node: run_lateral(run_node, session, node),
    Rescore: lambda session, node: run_rescore(run_node, session, node),
}
