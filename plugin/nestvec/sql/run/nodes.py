"""The nodes of a plan, run: a row a node. Texts go as texts: Milvus has them embedded."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from nestvec.sql.answer import Answer
from nestvec.sql.bind.expressions import Expression, Field
from nestvec.sql.bind.select import MOST_ROWS
from nestvec.sql.plan.nodes import (
    Aggregate,
    Count,
    Distinct,
    Each,
    Fetch,
    Hybrid,
    Keep,
    Node,
    Plan,
    Rescore,
    Search,
    Single,
    Slice,
    Sort,
    Tied,
)
from nestvec.sql.run.dynamic import with_dynamic
from nestvec.sql.run.each import run_each
from nestvec.sql.run.evaluate import Found, evaluate
from nestvec.sql.run.profile import PROFILE, timed
from nestvec.sql.run.rankings import run_hybrid, run_search
from nestvec.sql.run.reading import Wanted, read_rows
from nestvec.sql.run.rescore import run_rescore
from nestvec.sql.run.shaping import cut, kept, run_single, sorted_rows, told_apart
from nestvec.sql.run.summaries import aggregated, run_count
from nestvec.sql.run.ties import run_tied
from nestvec.sql.session import Session
from nestvec.steps import Steps
from nestvec_schemas.errors import SqlNotSupported


def run_plan(session: Session, plan: Plan) -> Steps[Answer]:
    """Ask Milvus. Raises StoreRefused, StoreUnreachable; SqlNotSupported where rows would be lost unseen."""
    yield from session.served(plan.services)
    if plan.node.collection:
        yield from session.loaded(plan.node.collection)
    started = time.perf_counter()
    found = yield from run_node(session, plan.node)
    rows = tuple(zip(*(_values(one.expression, found) for one in plan.outputs), strict=True))
    return Answer(
        plan.columns,
        tuple(one.type for one in plan.outputs),
        rows,
        f"SELECT {len(rows)}",
        len(rows),
        time.perf_counter() - started,
    )


def _values(expression: Expression, found: list[Found]) -> list[Any]:
    """One column of the answer; mostly it is one of the rows' own."""
    if isinstance(expression, Field):
        name = expression.name
        return [one.row[name] for one in found]
    return [evaluate(expression, one) for one in found]


def run_node(session: Session, node: Node, counted: Node | None = None) -> Steps[list[Found]]:
    """The rows of one node, in its order. EXPLAIN ANALYZE counts it as ``counted``, a node of the plan."""
    steps = _RUNNERS[type(node)](session, node)
    profile = PROFILE.get()
    return (yield from steps if profile is None else timed(profile, counted or node, steps))


def _fetch(session: Session, node: Fetch) -> Steps[list[Found]]:
    if node.limit <= 0:
        return []
    doing = f"querying collection {node.collection}"
    wanted = Wanted(doing, node.collection, node.filter, node.fields, session.reading())
    # One more tells whether there is more than may be read.
    limit = min(node.limit + node.every_row, MOST_ROWS + 1)
    found = yield from read_rows(session, wanted, limit, node.offset)
    if len(found) > MOST_ROWS:
        raise SqlNotSupported(
            f"{node.needs or 'an answer'} of more than {MOST_ROWS:,} rows is not supported",
            next_step="They are all in memory here: add LIMIT, or narrow them with WHERE.",
        )
    return [Found(row) for row in with_dynamic(session, node.collection, node.fields, found)]


def _over(work: Callable[[Any, list[Found]], list[Found]]) -> Callable[[Session, Any], Steps[list[Found]]]:
    """The runner of a node that does ``work`` with the rows of another."""

    def run(session: Session, node: Any) -> Steps[list[Found]]:
        rows = yield from run_node(session, node.input)
        return work(node, rows)

    return run


_RUNNERS: dict[type[Any], Callable[[Session, Any], Steps[list[Found]]]] = {
    Fetch: _fetch,
    Search: run_search,
    Hybrid: run_hybrid,
    Count: run_count,
    Single: run_single,
    Keep: _over(kept),
    Aggregate: _over(aggregated),
    Distinct: _over(told_apart),
    Sort: _over(sorted_rows),
    Slice: _over(cut),
    Tied: lambda session, node: run_tied(run_node, session, node),
    Each: lambda session, node: run_each(run_node, session, node),
    Rescore: lambda session, node: run_rescore(run_node, session, node),
}
