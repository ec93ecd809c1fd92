"""Statements as steps: what both kinds of connection run."""

from __future__ import annotations

from collections.abc import Iterable

from sqlglot import exp

from nestvec.sql.answer import Answer
from nestvec.sql.bind.params import Given, params
from nestvec.sql.language.parse import parse
from nestvec.sql.session import Session
from nestvec.sql.statements import execute
from nestvec.sql.statements.insert import insert_many
from nestvec.steps import Steps


def execute_many(session: Session, statement: str, given: Iterable[Given]) -> Steps[Answer]:
    """Run one statement with each of several values; how many rows were changed in all.

    An INSERT is checked whole and written in batches. Any other is run once a value: what ran before one that
    fails is done. Raises what ``execute`` does.
    """
    parsed = parse(statement)
    if isinstance(parsed.tree, exp.Insert):
        bound = [params(one) for one in given]
        return (
            (yield from insert_many(session, parsed, bound)) if bound else Answer(tag="INSERT 0 0", count=0)
        )
    count, seconds, tag = 0, 0.0, ""
    for one in given:
        answer = yield from execute(session, statement, one)
        count += max(answer.count, 0)
        seconds += answer.seconds
        tag = answer.tag
    return Answer(tag=tag, count=count, seconds=seconds)


def only_reads(statement: str) -> bool:
    """Whether a statement changes nothing, of the collections or of the connection. Raises SqlSyntaxError."""
    parsed = parse(statement)
    return bool(parsed.words) or isinstance(parsed.tree, exp.Select)
