"""What is done here with rows that are found: kept, sorted, told apart, cut."""

from __future__ import annotations

from typing import Any

from nestvec.milvus.steps import Steps
from nestvec.sql.bind.expressions.expressions import Expression
from nestvec.sql.bind.order import Key
from nestvec.sql.execute.evaluate import ScoredRow, evaluate, holds
from nestvec.sql.plan.nodes import Distinct, Filter, Limit, SingleRow, Sort
from nestvec.sql.session import Session


def run_single(session: Session, node: SingleRow) -> Steps[list[ScoredRow]]:
    """One row without columns."""
    yield from ()
    return [ScoredRow({})]


def filter_rows(node: Filter, rows: list[ScoredRow]) -> list[ScoredRow]:
    """The rows for which the condition is true."""
    return [row for row in rows if holds(node.condition, row)]


def sort_rows(node: Sort, rows: list[ScoredRow]) -> list[ScoredRow]:
    """The rows by the keys, the first of them first; as they were where all are the same."""
    for key in reversed(node.keys):
        rows = _sort_by(key, rows)
    return rows


def _sort_by(key: Key, rows: list[ScoredRow]) -> list[ScoredRow]:
    values = [(evaluate(key.expression, row), row) for row in rows]
    nulls = [row for value, row in values if value is None]
    others = [pair for pair in values if pair[0] is not None]
    others.sort(key=lambda pair: pair[0], reverse=key.descending)
    non_nulls = [row for _, row in others]
    return nulls + non_nulls if key.nulls_first else non_nulls + nulls


def distinct(node: Distinct, rows: list[ScoredRow]) -> list[ScoredRow]:
    """Of rows with the same values, the first; NULLs are the same here."""
    first: dict[Any, ScoredRow] = {}
    for row in rows:
        first.setdefault(group_key(node.values, row), row)
    return list(first.values())


def group_key(values: tuple[Expression, ...], row: ScoredRow) -> tuple[Any, ...]:
    """What rows have in common whose values are the same, for dicts."""
    return tuple(hashable(evaluate(expression, row)) for expression in values)


def hashable(value: Any) -> Any:
    """Numbers and texts as they are; JSON tells True from 1, so booleans are told apart by their type."""
    if isinstance(value, dict):
        return ("{", frozenset((name, hashable(item)) for name, item in value.items()))
    if isinstance(value, list):
        return ("[", *(hashable(item) for item in value))
    return (bool, value) if isinstance(value, bool) else value


def limit_rows(node: Limit, rows: list[ScoredRow]) -> list[ScoredRow]:
    """The rows after the offset, up to the limit."""
    return rows[node.offset : None if node.limit is None else node.offset + node.limit]
