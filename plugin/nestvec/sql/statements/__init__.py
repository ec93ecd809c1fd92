"""The kinds of statements, a row each: a tree's class, and the steps that run it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlglot import exp

from nestvec.sql.answer import Answer
from nestvec.sql.bind.params import Given, Params, params
from nestvec.sql.language.parse import Parsed, parse
from nestvec.sql.session import Session
from nestvec.sql.statements.alter import run_alter
from nestvec.sql.statements.analyze import run_analyze
from nestvec.sql.statements.command import run_command
from nestvec.sql.statements.copy import run_copy
from nestvec.sql.statements.create import run_create
from nestvec.sql.statements.delete import run_delete
from nestvec.sql.statements.drop import run_drop, run_truncate
from nestvec.sql.statements.explain import run_explain
from nestvec.sql.statements.insert import run_insert
from nestvec.sql.statements.select import run_select
from nestvec.sql.statements.settings import run_set
from nestvec.sql.statements.show import run_describe
from nestvec.sql.statements.transaction import run_transaction
from nestvec.sql.statements.update import run_update
from nestvec.steps import Steps
from nestvec_schemas.errors import NestvecError

Handler = Callable[[Session, Parsed, Params], Steps[Answer]]

HANDLERS: Final[dict[type[exp.Expr], Handler]] = {
    exp.Select: run_select,
    exp.Analyze: run_analyze,
    exp.Set: run_set,
    exp.Command: run_command,
    exp.Create: run_create,
    exp.Drop: run_drop,
    exp.TruncateTable: run_truncate,
    exp.Alter: run_alter,
    exp.Describe: run_describe,
    exp.Insert: run_insert,
    exp.Update: run_update,
    exp.Delete: run_delete,
    exp.Copy: run_copy,
    exp.Transaction: run_transaction,
    exp.Commit: run_transaction,
    exp.Rollback: run_transaction,
}


def execute(session: Session, statement: str, given: Given | None = None) -> Steps[Answer]:
    """Run one statement. Raises SqlError where it is wrong, StoreError where Milvus is."""
    parsed = parse(statement)
    handler = run_explain if parsed.words else HANDLERS.get(type(parsed.tree))
    if handler is None:
        first = parsed.source.tokens[0]
        raise parsed.source.not_supported(first.text.upper()[:40], first.start, "Write a SELECT.")
    bound = params(given)
    remembered = frozenset(session.tables)
    try:
        return (yield from handler(session, parsed, bound))
    except NestvecError:
        # What failed by a collection as it once was is tried again by what it is now.
        tree = parsed.tree
        if not isinstance(tree, exp.Select) or not (yield from session.outdated(tree, remembered)):
            raise
    return (yield from handler(session, parsed, bound))
