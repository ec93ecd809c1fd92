"""LATERAL: queries that differ only in the target share one search of Milvus."""

from __future__ import annotations

from typing import Any

from nestvec.milvus.steps import Steps
from nestvec.sql.bind.lateral import side_column
from nestvec.sql.execute.choose_search import table_of
from nestvec.sql.execute.rows import ScoredRow, value_of
from nestvec.sql.execute.search import search_many
from nestvec.sql.execute.timing import RunNode
from nestvec.sql.execute.upgrades.dual_reading import old_reading
from nestvec.sql.plan.lateral import search_batches
from nestvec.sql.plan.nodes import ForEachQuery, Plan, VectorSearch
from nestvec.sql.session import Session


def run_lateral(run: RunNode, session: Session, node: ForEachQuery) -> Steps[list[ScoredRow]]:
    """The rows of every query, in the order of the queries. Raises what a search raises."""
    rows_by_plan: dict[int, list[ScoredRow]] = {}
    for batch in search_batches(node.plans):
        nodes = [node.plans[number].node for number in batch]
        first = nodes[0]
        if isinstance(first, VectorSearch):
            old_reading(session, (yield from table_of(session, first.collection)), [first.nearest.column])
            targets = [search.nearest.target for search in nodes if isinstance(search, VectorSearch)]
            results = yield from search_many(session, first, targets)
            rows_by_plan |= zip(batch, results, strict=True)
        else:
            rows_by_plan[batch[0]] = yield from run(session, first, None)
    rows: list[ScoredRow] = []
    for number, (plan, row) in enumerate(zip(node.plans, node.rows, strict=True)):
        left = {
            side_column(node.left, column): value for column, value in zip(node.columns, row, strict=True)
        }
        rows += [ScoredRow({**left, **_right_columns(node, plan, right)}) for right in rows_by_plan[number]]
        if node.outer and not rows_by_plan[number]:
            nulls = {side_column(node.right, column): None for column in plan.columns}
            rows.append(ScoredRow({**left, **nulls}))
    return rows


def _right_columns(node: ForEachQuery, plan: Plan, scored_row: ScoredRow) -> dict[str, Any]:
    return {
        side_column(node.right, output.name): value_of(output.expression, scored_row)
        for output in plan.outputs
    }
