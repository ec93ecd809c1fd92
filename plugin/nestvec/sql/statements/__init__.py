"""Statements: which steps run which class of syntax tree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pymilvus import MilvusClient
from sqlglot import exp

from nestvec.milvus.steps import Steps, drive
from nestvec.sql.bind.params import ParameterValues, Params, bind_params
from nestvec.sql.parse.parse import ParsedStatement, parse
from nestvec.sql.result import StatementResult
from nestvec.sql.session import Session
from nestvec.sql.statements.analyze import run_analyze
from nestvec.sql.statements.ddl.alter import run_alter
from nestvec.sql.statements.ddl.create import run_create
from nestvec.sql.statements.ddl.drop import run_drop, run_truncate
from nestvec.sql.statements.ddl.extension import run_extension
from nestvec.sql.statements.dml.copy import run_copy
from nestvec.sql.statements.dml.delete import run_delete
from nestvec.sql.statements.dml.insert import run_insert
from nestvec.sql.statements.dml.update import run_update
from nestvec.sql.statements.explain import run_explain
from nestvec.sql.statements.maintenance import run_reindex, run_vacuum
from nestvec.sql.statements.prepared import run_execute, run_prepare
from nestvec.sql.statements.select import run_select
from nestvec.sql.statements.settings import run_reset, run_set
from nestvec.sql.statements.show import run_describe, run_show
from nestvec.sql.statements.transaction import noting_changes, run_savepoint, run_transaction
from nestvec_schemas.errors import CollectionRetired, NestvecError, SqlError

Handler = Callable[[Session, ParsedStatement, Params], Steps[StatementResult]]

HANDLERS: Final[dict[type[exp.Expr], Handler]] = {
    exp.Select: run_select,
    exp.Union: run_select,
    exp.Intersect: run_select,
    exp.Except: run_select,
    exp.Values: run_select,
    exp.Subquery: run_select,
    exp.Analyze: run_analyze,
    exp.Set: run_set,
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

COMMANDS: Final[dict[str, Handler]] = {
    "SHOW": run_show,
    "RESET": run_reset,
    "SET": run_set,
    "CREATE": run_extension,
    "DROP": run_extension,
    "SAVEPOINT": run_savepoint,
    "RELEASE": run_savepoint,
    "PREPARE": run_prepare,
    "DEALLOCATE": run_prepare,
    "EXECUTE": run_execute,
    "VACUUM": run_vacuum,
    "REINDEX": run_reindex,
}
"""Statements that sqlglot leaves unparsed (such as a malformed SET), by their first words."""

_DEFINING: Final = (exp.Create, exp.Drop, exp.TruncateTable, exp.Alter)
"""Statements after which other sessions must read their collections again."""


def execute(
    client: MilvusClient,
    statement: str,
    params: ParameterValues | None = None,
    *,
    session: Session | None = None,
) -> StatementResult:
    """Run one statement. ``params`` are the values of ``:name`` by name, or of ``$1`` in order.

    Raises SqlError for a wrong statement, StoreError for an error of Milvus, ServiceError if a text cannot
    be embedded.
    """
    return drive(client, execute_steps(session or Session(), statement, params))


def execute_steps(
    session: Session, statement: str, values: ParameterValues | None = None
) -> Steps[StatementResult]:
    """The steps of ``execute``, for sync and async clients."""
    parsed = parse(statement)
    handler = _handler(parsed)
    bound = bind_params(values)
    yield from session.refresh_aged(parsed.tree)
    remembered = frozenset(session.tables)
    try:
        return (yield from noting_changes(session, handler(session, parsed, bound)))
    except NestvecError as error:
        # The collection may have changed since it was read: try once more with what it is now.
        changed = not isinstance(parsed.tree, exp.Command) and (
            yield from session.refresh_changed(parsed.tree, remembered)
        )
        if not changed or not _may_repeat(parsed.tree, error):
            raise
    finally:
        if not isinstance(parsed.tree, exp.Query):
            # Numbers of rows decide how collections are searched.
            session.search_cache.forget_counts()
        if isinstance(parsed.tree, _DEFINING):
            session.note_schema_change()
    return (yield from noting_changes(session, handler(session, parsed, bound)))


def _may_repeat(tree: exp.Expr, error: NestvecError) -> bool:
    """Whether a statement that failed has changed nothing: rows are checked before any is written."""
    refused = isinstance(error, SqlError | CollectionRetired) and not error.has_written
    return isinstance(tree, exp.Query) or (isinstance(tree, exp.DML) and refused)


def _handler(parsed: ParsedStatement) -> Handler:
    if parsed.explain_tokens:
        return run_explain
    handler = HANDLERS.get(type(parsed.tree))
    if handler is not None:
        return handler
    first = parsed.source.tokens[0]
    word = first.text.upper()[:40]
    if isinstance(parsed.tree, exp.Command):
        handler = COMMANDS.get(word)
        if handler is None:
            raise parsed.source.not_supported(f"{word} of this form", 0, "Correct the SQL.")
        return handler
    raise parsed.source.not_supported(word, first.start, "Write a SELECT.")
