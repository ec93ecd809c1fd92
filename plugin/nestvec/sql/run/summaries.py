"""Aggregates: NULLs do not count, and of nothing there is no sum."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

from nestvec.sql.bind.expressions import Summary, written
from nestvec.sql.plan.nodes import Aggregate, Count
from nestvec.sql.run.evaluate import Found, evaluate, placed
from nestvec.sql.run.evaluate.numbers import checked
from nestvec.sql.run.evaluate.unfit import Unfit
from nestvec.sql.run.shaping import hashable, same
from nestvec.sql.session import Session
from nestvec.steps import Steps, call


def run_count(session: Session, node: Count) -> Steps[list[Found]]:
    """One row: how many rows Milvus counts."""
    # Milvus Lite counts in every partition where it is given no filter.
    every = "true" if session.settings.partitions and (yield from session.lite()) else ""
    found = yield call(
        f"counting rows of collection {node.collection}",
        "query",
        node.collection,
        filter=node.filter or every,
        output_fields=["count(*)"],
        **session.reading(),
    )
    return [Found({"count(*)": int(found[0]["count(*)"])})]


def aggregated(node: Aggregate, rows: list[Found]) -> list[Found]:
    """A row a group, in the order in which groups first come up. Raises SqlTypeMismatch beyond 64 bits."""
    groups: dict[Any, list[Found]] = {} if node.keys else {(): []}
    for one in rows:
        groups.setdefault(same(node.keys, one), []).append(one)
    return [_of_group(node, members) for members in groups.values()]


def _of_group(node: Aggregate, members: list[Found]) -> Found:
    row = {written(key): evaluate(key, members[0]) for key in node.keys}
    return Found(row | {written(one): _summary(one, members) for one in node.summaries})


def _summary(summary: Summary, members: Sequence[Found]) -> Any:
    if summary.argument is None:
        return len(members)
    values = [value for one in members if (value := evaluate(summary.argument, one)) is not None]
    if summary.distinct:
        values = list({hashable(value): value for value in values}.values())
    try:
        return _SUMMARIES[summary.name](values)
    except Unfit as error:
        raise placed(error, summary.mark) from error


def _sum(values: Sequence[Any]) -> int | float | None:
    if not values:
        return None
    if all(isinstance(one, int) for one in values):
        return checked(sum(values))
    return _exact_sum(values)


def _exact_sum(values: Sequence[Any]) -> float:
    try:
        return math.fsum(values)
    except OverflowError as error:
        raise Unfit("value out of range: overflow", f"{len(values)} values", "Sum smaller ones.") from error


def _average(values: Sequence[Any]) -> float | None:
    return _exact_sum(values) / len(values) if values else None


_SUMMARIES: Final[dict[str, Callable[[Sequence[Any]], Any]]] = {
    "count": len,
    "sum": _sum,
    "avg": _average,
    "min": lambda values: min(values, default=None),
    "max": lambda values: max(values, default=None),
}
