"""Executes a statement with several sets of parameters."""

from __future__ import annotations

from collections.abc import Iterable

from sqlglot import exp

from nestvec.milvus.steps import Steps
from nestvec.sql.bind.params import ParameterValues, bind_params
from nestvec.sql.parse.parse import parse
from nestvec.sql.result import StatementResult
from nestvec.sql.session import Session
from nestvec.sql.statements import execute_steps
from nestvec.sql.statements.dml.insert import insert_many
from nestvec.sql.statements.transaction import noting_changes


def execute_many(
    session: Session, statement: str, param_sets: Iterable[ParameterValues]
) -> Steps[StatementResult]:
    """Run one statement with each of several sets of parameters. Returns the total of changed rows.

    An INSERT is checked as a whole and written in batches. Other statements run once per set: those before
    one that fails remain in effect. Raises what ``execute`` raises.
    """
    parsed = parse(statement)
    if isinstance(parsed.tree, exp.Insert):
        bound = [bind_params(values) for values in param_sets]
        if not bound:
            return StatementResult(tag="INSERT 0 0", count=0)
        return (yield from noting_changes(session, insert_many(session, parsed, bound)))
    count, seconds, tag = 0, 0.0, ""
    for values in param_sets:
        result = yield from execute_steps(session, statement, values)
        count += max(result.count, 0)
        seconds += result.seconds
        tag = result.tag
    return StatementResult(tag=tag, count=count, seconds=seconds)


def is_read_only(statement: str) -> bool:
    """Whether a statement changes neither data nor settings. Raises SqlSyntaxError."""
    parsed = parse(statement)
    return bool(parsed.explain_tokens) or isinstance(parsed.tree, exp.Select)
