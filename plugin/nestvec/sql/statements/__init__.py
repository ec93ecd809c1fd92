"""The kinds of statements, a row each: a tree's class, and the steps that run it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlglot import exp

from nestvec.milvus.steps import Steps
from nestvec.sql.answer import StatementResult
from nestvec.sql.bind.params import Given, Params, params
from nestvec.sql.parse.parse import Parsed, parse
from nestvec.sql.session import Session
from nestvec.sql.statements.analyze import run_analyze
from nestvec.sql.statements.command import run_keyword_command
from nestvec.sql.statements.ddl.alter import run_alter
from nestvec.sql.statements.ddl.create import run_create
from nestvec.sql.statements.ddl.drop import run_drop, run_truncate
from nestvec.sql.statements.dml.copy import run_copy
from nestvec.sql.statements.dml.delete import run_delete
from nestvec.sql.statements.dml.insert import run_insert
from nestvec.sql.statements.dml.update import run_update
from nestvec.sql.statements.explain import run_explain
from nestvec.sql.statements.select import run_select
from nestvec.sql.statements.settings import run_set
from nestvec.sql.statements.show import run_describe
from nestvec.sql.statements.transaction import run_transaction
from nestvec_schemas.errors import NestvecError

Handler = Callable[[Session, Parsed, Params], Steps[StatementResult]]

HANDLERS: Final[dict[type[exp.Expr], Handler]] = {
    exp.Select: run_select,
    exp.Analyze: run_analyze,
    exp.Set: run_set,
    exp.Command: run_keyword_command,
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


def execute_steps(session: Session, statement: str, values: Given | None = None) -> Steps[StatementResult]:
    """Run one statement. Raises SqlError where it is wrong, StoreError where Milvus is."""
    parsed = parse(statement)
    handler = run_explain if parsed.words else HANDLERS.get(type(parsed.tree))
    if handler is None:
        first = parsed.source.tokens[0]
        raise parsed.source.not_supported(first.text.upper()[:40], first.start, "Write a SELECT.")
    bound = params(values)
    remembered = frozenset(session.tables)
    try:
        return (yield from handler(session, parsed, bound))
    except NestvecError:
        # What failed by a collection as it once was is tried again by what it is now.
        tree = parsed.tree
        if not isinstance(tree, exp.Select) or not (yield from session.refresh_changed(tree, remembered)):
            raise
    return (yield from handler(session, parsed, bound))
