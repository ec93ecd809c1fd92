"""Work on rows in nestvec: filter, sort, distinct, limit, and aggregates as PostgreSQL defines them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

from nestvec.milvus.steps import Steps, call
from nestvec.sql.bind.expressions.nodes import AggregateCall, Expression, expression_sql
from nestvec.sql.bind.order import SortKey
from nestvec.sql.execute.evaluate import ScoredRow, evaluate, holds, located
from nestvec.sql.execute.evaluate.evaluation_error import EvaluationError
from nestvec.sql.execute.evaluate.numbers import checked
from nestvec.sql.plan.nodes import Aggregate, CountRows, Distinct, Filter, Limit, SingleRow, Sort
from nestvec.sql.session import Session


def run_single(session: Session, node: SingleRow) -> Steps[list[ScoredRow]]:
    """One row without columns."""
    yield from ()
    return [ScoredRow({})]


def filter_rows(node: Filter, rows: list[ScoredRow]) -> list[ScoredRow]:
    """The rows for which the condition is true."""
    return [row for row in rows if holds(node.condition, row)]


def sort_rows(node: Sort, rows: list[ScoredRow]) -> list[ScoredRow]:
    """The rows in the order of the keys; rows with equal keys keep their order."""
    for key in reversed(node.keys):
        rows = _sort_by(key, rows)
    return rows


def _sort_by(key: SortKey, rows: list[ScoredRow]) -> list[ScoredRow]:
    values = [(evaluate(key.expression, row), row) for row in rows]
    nulls = [row for value, row in values if value is None]
    others = [pair for pair in values if pair[0] is not None]
    others.sort(key=lambda pair: pair[0], reverse=key.descending)
    non_nulls = [row for _, row in others]
    return nulls + non_nulls if key.nulls_first else non_nulls + nulls


def distinct(node: Distinct, rows: list[ScoredRow]) -> list[ScoredRow]:
    """The first of the rows that have the same values; NULL equals NULL."""
    first: dict[Any, ScoredRow] = {}
    for row in rows:
        first.setdefault(group_key(node.values, row), row)
    return list(first.values())


def group_key(values: tuple[Expression, ...], row: ScoredRow) -> tuple[Any, ...]:
    """A hashable key that is equal for rows with the same values."""
    return tuple(hashable(evaluate(expression, row)) for expression in values)


def hashable(value: Any) -> Any:
    """A value as a key of a dict; booleans carry their type, because in Python True equals 1."""
    if isinstance(value, dict):
        return ("{", frozenset((name, hashable(item)) for name, item in value.items()))
    if isinstance(value, list):
        return ("[", *(hashable(item) for item in value))
    return (bool, value) if isinstance(value, bool) else value


def limit_rows(node: Limit, rows: list[ScoredRow]) -> list[ScoredRow]:
    """The rows after the offset, up to the limit."""
    return rows[node.offset : None if node.limit is None else node.offset + node.limit]


def run_count(session: Session, node: CountRows) -> Steps[list[ScoredRow]]:
    """One row with the number of rows that Milvus counts."""
    # Without a filter Milvus Lite counts the rows of every partition.
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
    """One row per group, in the order of their first rows. Raises SqlTypeMismatch beyond 64 bits.

    Aggregates ignore NULL, and are NULL without any value.
    """
    groups: dict[Any, list[ScoredRow]] = {} if node.keys else {(): []}
    for row in rows:
        groups.setdefault(group_key(node.keys, row), []).append(row)
    return [_aggregate_group(node, members) for members in groups.values()]


def _aggregate_group(node: Aggregate, members: list[ScoredRow]) -> ScoredRow:
    row = {expression_sql(key): evaluate(key, members[0]) for key in node.keys}
    return ScoredRow(
        row | {expression_sql(summary): _evaluate_aggregate(summary, members) for summary in node.aggregates}
    )


def _evaluate_aggregate(summary: AggregateCall, members: Sequence[ScoredRow]) -> Any:
    if summary.argument is None:
        return len(members)
    values = [value for member in members if (value := evaluate(summary.argument, member)) is not None]
    if summary.distinct:
        values = list({hashable(value): value for value in values}.values())
    try:
        return _AGGREGATES[summary.name](values)
    except EvaluationError as error:
        raise located(error, summary.location) from error


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


_AGGREGATES: Final[dict[str, Callable[[Sequence[Any]], Any]]] = {
    "count": len,
    "sum": _sum,
    "avg": _average,
    "min": lambda values: min(values, default=None),
    "max": lambda values: max(values, default=None),
}
