"""Aggregates: NULLs do not count, and of nothing there is no sum."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

from nestvec.milvus.steps import Steps, call
from nestvec.sql.bind.expressions.expressions import Summary, written
from nestvec.sql.execute.evaluate import ScoredRow, evaluate, located
from nestvec.sql.execute.evaluate.numbers import checked
from nestvec.sql.execute.evaluate.unfit import EvaluationError
from nestvec.sql.execute.shaping import group_key, hashable
from nestvec.sql.plan.nodes import Aggregate, CountRows
from nestvec.sql.session import Session


def run_count(session: Session, node: CountRows) -> Steps[list[ScoredRow]]:
    """One row: how many rows Milvus counts."""
    # Milvus Lite counts in every partition where it is given no filter.
    every = "true" if session.settings.partitions and (yield from session.is_lite()) else ""
    counted = yield call(
        f"counting rows of collection {node.collection}",
        "query",
        node.collection,
        filter=node.filter or every,
        output_fields=["count(*)"],
        **session.read_options(),
    )
    return [ScoredRow({"count(*)": int(counted[0]["count(*)"])})]


def aggregate(node: Aggregate, rows: list[ScoredRow]) -> list[ScoredRow]:
    """A row a group, in the order in which groups first come up. Raises SqlTypeMismatch beyond 64 bits."""
    groups: dict[Any, list[ScoredRow]] = {} if node.keys else {(): []}
    for row in rows:
        groups.setdefault(group_key(node.keys, row), []).append(row)
    return [_aggregate_group(node, members) for members in groups.values()]


def _aggregate_group(node: Aggregate, members: list[ScoredRow]) -> ScoredRow:
    row = {written(key): evaluate(key, members[0]) for key in node.keys}
    return ScoredRow(
        row | {written(summary): _evaluate_summary(summary, members) for summary in node.summaries}
    )


def _evaluate_summary(summary: Summary, members: Sequence[ScoredRow]) -> Any:
    if summary.argument is None:
        return len(members)
    values = [value for member in members if (value := evaluate(summary.argument, member)) is not None]
    if summary.distinct:
        values = list({hashable(value): value for value in values}.values())
    try:
        return _SUMMARIES[summary.name](values)
    except EvaluationError as error:
        raise located(error, summary.mark) from error


def _sum(values: Sequence[Any]) -> int | float | None:
    if not values:
        return None
    if all(isinstance(value, int) for value in values):
        return checked(sum(values))
    return _exact_sum(values)


def _exact_sum(values: Sequence[Any]) -> float:
    try:
        return math.fsum(values)
    except OverflowError as error:
        raise EvaluationError(
            "value out of range: overflow", f"{len(values)} values", "Sum smaller ones."
        ) from error


def _average(values: Sequence[Any]) -> float | None:
    return _exact_sum(values) / len(values) if values else None


_SUMMARIES: Final[dict[str, Callable[[Sequence[Any]], Any]]] = {
    "count": len,
    "sum": _sum,
    "avg": _average,
    "min": lambda values: min(values, default=None),
    "max": lambda values: max(values, default=None),
}
