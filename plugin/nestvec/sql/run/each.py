"""One search for several queries: what Milvus is asked once, where all that differs is the target."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nestvec.sql.bind.joined import key
from nestvec.sql.plan.each import batches
from nestvec.sql.plan.nodes import Each, Node, Plan, Search
from nestvec.sql.run.evaluate import Found, evaluate
from nestvec.sql.run.rankings import searched
from nestvec.sql.session import Session
from nestvec.steps import Steps

Run = Callable[[Session, Node], Steps[list[Found]]]


def run_each(run: Run, session: Session, node: Each) -> Steps[list[Found]]:
    """The rows of every query, query after query. Raises what searches do."""
    found: dict[int, list[Found]] = {}
    for batch in batches(node.plans):
        nodes = [node.plans[one].node for one in batch]
        first = nodes[0]
        if isinstance(first, Search):
            targets = [one.nearest.target for one in nodes if isinstance(one, Search)]
            answers = yield from searched(session, first, targets)
            found |= zip(batch, answers, strict=True)
        else:
            found[batch[0]] = yield from run(session, first)
    rows: list[Found] = []
    for number, (plan, row) in enumerate(zip(node.plans, node.rows, strict=True)):
        left = {key(node.left, column): value for column, value in zip(node.columns, row, strict=True)}
        rows += [Found({**left, **_right(node, plan, one)}) for one in found[number]]
        if node.outer and not found[number]:
            rows.append(Found({**left, **{key(node.right, one): None for one in plan.columns}}))
    return rows


def _right(node: Each, plan: Plan, found: Found) -> dict[str, Any]:
    return {key(node.right, one.name): evaluate(one.expression, found) for one in plan.outputs}
