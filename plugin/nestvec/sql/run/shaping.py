"""What is done here with rows that are found: kept, sorted, told apart, cut."""

from __future__ import annotations

from typing import Any

from nestvec.sql.bind.expressions import Expression
from nestvec.sql.bind.order import Key
from nestvec.sql.plan.nodes import Distinct, Keep, Single, Slice, Sort
from nestvec.sql.run.evaluate import Found, evaluate, holds
from nestvec.sql.session import Session
from nestvec.steps import Steps


def run_single(session: Session, node: Single) -> Steps[list[Found]]:
    """One row without columns."""
    yield from ()
    return [Found({})]


def kept(node: Keep, rows: list[Found]) -> list[Found]:
    """The rows for which the condition is true."""
    return [one for one in rows if holds(node.condition, one)]


def sorted_rows(node: Sort, rows: list[Found]) -> list[Found]:
    """The rows by the keys, the first of them first; as they were where all are the same."""
    for key in reversed(node.keys):
        rows = _by(key, rows)
    return rows


def _by(key: Key, rows: list[Found]) -> list[Found]:
    values = [(evaluate(key.expression, one), one) for one in rows]
    nulls = [one for value, one in values if value is None]
    others = [pair for pair in values if pair[0] is not None]
    others.sort(key=lambda pair: pair[0], reverse=key.descending)
    there = [one for _, one in others]
    return nulls + there if key.nulls_first else there + nulls


def told_apart(node: Distinct, rows: list[Found]) -> list[Found]:
    """Of rows with the same values, the first; NULLs are the same here."""
    first: dict[Any, Found] = {}
    for one in rows:
        first.setdefault(same(node.values, one), one)
    return list(first.values())


def same(values: tuple[Expression, ...], row: Found) -> tuple[Any, ...]:
    """What rows have in common whose values are the same, for dicts."""
    return tuple(hashable(evaluate(one, row)) for one in values)


def hashable(value: Any) -> Any:
    """Numbers and texts as they are; JSON tells True from 1, so booleans are told apart by their type."""
    if isinstance(value, dict):
        return ("{", frozenset((name, hashable(one)) for name, one in value.items()))
    if isinstance(value, list):
        return ("[", *(hashable(one) for one in value))
    return (bool, value) if isinstance(value, bool) else value


def cut(node: Slice, rows: list[Found]) -> list[Found]:
    """The rows after the offset, up to the limit."""
    return rows[node.offset : None if node.limit is None else node.offset + node.limit]
