"""Work on rows in nestvec: their values, thresholds, order and limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from nestvec.milvus.steps import Steps, call
from nestvec.sql.bind.highlight import Highlight
from nestvec.sql.bind.order import SortKey
from nestvec.sql.bind.thresholds import COMPARISONS, Threshold
from nestvec.sql.bind.values import ColumnRef, Constant, Distance, Expression
from nestvec.sql.plan.nodes import CountRows, Filter, Limit, SingleRow, Sort
from nestvec.sql.session import Session
from nestvec_schemas.errors import SqlDataError

_COUNT = "count(*)"


class ScoredRow(NamedTuple):
    """A row's fields, and its distance if it comes from a search."""

    row: Mapping[str, Any]
    distance: float | None = None

    fused: float | None = None
    """Its score if dual reading ranks it, by the old vectors and the new ones; greater is nearer."""


def missing_column(name: object) -> SqlDataError:
    """Milvus Lite leaves out a column that a collection no longer has, where a server refuses to read it."""
    return SqlDataError(
        "Milvus returned rows without a column",
        value=str(name)[:100],
        next_step="Run the statement again: the collection may have changed meanwhile.",
    )


def value_of(expression: Expression, row: ScoredRow) -> Any:
    """The value of an expression for a row."""
    if isinstance(expression, (ColumnRef, Highlight)):
        return row.row[expression.name]
    if isinstance(expression, Constant):
        return expression.value
    if isinstance(expression, Distance):
        return _measured(expression, row.distance)
    return row.row[_COUNT]


def _measured(expression: Distance, distance: float | None) -> float | None:
    if distance is None or not expression.form:
        return distance
    return -distance if expression.form == "negative" else 1 - distance


def column_values(expression: Expression, rows: list[ScoredRow]) -> list[Any]:
    """One column of the result."""
    if isinstance(expression, (ColumnRef, Highlight)):
        name = expression.name
        return [row.row[name] for row in rows]
    if isinstance(expression, Distance):
        return [_measured(expression, row.distance) for row in rows]
    return [value_of(expression, row) for row in rows]


def run_single(session: Session, node: SingleRow) -> Steps[list[ScoredRow]]:
    """One row without columns."""
    yield from ()
    return [ScoredRow({})]


def filter_rows(node: Filter, rows: list[ScoredRow]) -> list[ScoredRow]:
    """The rows within all of the thresholds."""
    return [row for row in rows if all(_within(threshold, row) for threshold in node.thresholds)]


def _within(threshold: Threshold, row: ScoredRow) -> bool:
    value = value_of(threshold.value, row)
    return value is not None and COMPARISONS[threshold.comparison](value, threshold.bound)


def sort_rows(node: Sort, rows: list[ScoredRow]) -> list[ScoredRow]:
    """The rows in the order of the keys; rows with equal keys keep their order."""
    for key in reversed(node.keys):
        rows = _sort_by(key, rows)
    return rows


def _sort_by(key: SortKey, rows: list[ScoredRow]) -> list[ScoredRow]:
    values = [(value_of(key.expression, row), row) for row in rows]
    nulls = [row for value, row in values if value is None]
    others = [pair for pair in values if pair[0] is not None]
    others.sort(key=lambda pair: pair[0], reverse=key.descending)
    non_nulls = [row for _, row in others]
    return nulls + non_nulls if key.nulls_first else non_nulls + nulls


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
        output_fields=[_COUNT],
        **session.read_options(),
    )
    return [ScoredRow({_COUNT: int(counted[0][_COUNT])})]
