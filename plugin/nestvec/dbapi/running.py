"""Statements as steps: what both kinds of connection run."""

from __future__ import annotations

from collections.abc import Iterable

from sqlglot import exp

from nestvec.milvus.steps import Steps
from nestvec.sql.answer import StatementResult
from nestvec.sql.bind.params import Given, params
from nestvec.sql.parse.parse import parse
from nestvec.sql.session import Session
from nestvec.sql.statements import execute_steps
from nestvec.sql.statements.dml.insert import insert_many


def execute_many(session: Session, statement: str, param_sets: Iterable[Given]) -> Steps[StatementResult]:
    """Run one statement with each of several values; how many rows were changed in all.

    An INSERT is checked whole and written in batches. Any other is run once a value: what ran before one that
    fails is done. Raises what ``execute`` does.
    """
    parsed = parse(statement)
    if isinstance(parsed.tree, exp.Insert):
        bound = [params(values) for values in param_sets]
        return (
            (yield from insert_many(session, parsed, bound))
            if bound
            else StatementResult(tag="INSERT 0 0", count=0)
        )
    count, seconds, tag = 0, 0.0, ""
    for values in param_sets:
        answer = yield from execute_steps(session, statement, values)
        count += max(answer.count, 0)
        seconds += answer.seconds
        tag = answer.tag
    return StatementResult(tag=tag, count=count, seconds=seconds)


def is_read_only(statement: str) -> bool:
    """Whether a statement changes nothing, of the collections or of the connection. Raises SqlSyntaxError."""
    parsed = parse(statement)
    return bool(parsed.words) or isinstance(parsed.tree, exp.Select)
