"""One search for several queries: what Milvus is asked once, where all that differs is the target."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nestvec.milvus.steps import Steps
from nestvec.sql.bind.joined import key
from nestvec.sql.execute.evaluate import ScoredRow, evaluate
from nestvec.sql.execute.rankings import search_many
from nestvec.sql.plan.each import search_batches
from nestvec.sql.plan.nodes import ForEachQuery, Node, Plan, VectorSearch
from nestvec.sql.session import Session

RunNode = Callable[[Session, Node], Steps[list[ScoredRow]]]


def run_lateral(run: RunNode, session: Session, node: ForEachQuery) -> Steps[list[ScoredRow]]:
    """The rows of every query, query after query. Raises what searches do."""
    rows_by_plan: dict[int, list[ScoredRow]] = {}
    for batch in search_batches(node.plans):
        nodes = [node.plans[one].node for one in batch]
        first = nodes[0]
        if isinstance(first, VectorSearch):
            targets = [one.nearest.target for one in nodes if isinstance(one, VectorSearch)]
            answers = yield from search_many(session, first, targets)
            rows_by_plan |= zip(batch, answers, strict=True)
        else:
            rows_by_plan[batch[0]] = yield from run(session, first)
    rows: list[ScoredRow] = []
    for number, (plan, row) in enumerate(zip(node.plans, node.rows, strict=True)):
        left = {key(node.left, column): value for column, value in zip(node.columns, row, strict=True)}
        rows += [ScoredRow({**left, **_right_columns(node, plan, one)}) for one in rows_by_plan[number]]
        if node.outer and not rows_by_plan[number]:
            rows.append(ScoredRow({**left, **{key(node.right, one): None for one in plan.columns}}))
    return rows


def _right_columns(node: ForEachQuery, plan: Plan, scored_row: ScoredRow) -> dict[str, Any]:
    return {key(node.right, output.name): evaluate(output.expression, scored_row) for output in plan.outputs}
