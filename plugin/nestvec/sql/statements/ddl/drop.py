"""DROP TABLE and TRUNCATE; DROP INDEX has its own file."""

from __future__ import annotations

from functools import partial

from sqlglot import exp

from nestvec.collections.change.interrupted import discard
from nestvec.milvus.catalog import Table
from nestvec.milvus.steps import BlockingCall, Steps, call
from nestvec.sql.bind.params import Params
from nestvec.sql.parse.completeness import check_consumed
from nestvec.sql.parse.parse import ParsedStatement
from nestvec.sql.parse.source import SourceText, stray_parts
from nestvec.sql.parse.view_errors import SqlNamesView
from nestvec.sql.result import StatementResult
from nestvec.sql.session import Session
from nestvec.sql.statements.ddl.aliases import readers_alias
from nestvec.sql.statements.ddl.index import run_drop_index
from nestvec.sql.statements.tables import plain_table
from nestvec.sql.statements.views import run_drop_view
from nestvec_schemas.errors import SqlUnknownName


def run_drop(session: Session, parsed: ParsedStatement, params: Params) -> Steps[StatementResult]:
    """DROP TABLE or DROP INDEX. All tables must exist before one is dropped. Raises SqlError, StoreError."""
    source, tree = parsed.source, parsed.tree
    kind = str(tree.args.get("kind") or "").upper()
    check_consumed(source, tree)
    if kind == "INDEX":
        return (yield from run_drop_index(session, parsed, params))
    if kind == "VIEW":
        return (yield from run_drop_view(session, parsed, params))
    if kind != "TABLE":
        raise source.not_supported(f"DROP {kind}", 0, "Write DROP TABLE or DROP INDEX.")
    for part in stray_parts(tree, ("exists", "tables", "kind", "cascade", "restrict")):
        raise source.not_supported(f"{part.upper()} in DROP TABLE", 0, "Write DROP TABLE [IF EXISTS] a, b.")
    aliases = dict[str, str | None]()
    for node in tree.args["tables"]:
        table = yield from _existing_table(session, source, node, bool(tree.args.get("exists")))
        if table is not None:
            aliases[table.name] = readers_alias(source, node, table) or aliases.get(table.name)
    for name, alias in aliases.items():
        yield BlockingCall(partial(discard, collection=alias or name))
        if alias is not None:
            yield call(f"dropping alias {alias}", "drop_alias", alias)
        yield call(f"dropping collection {name}", "drop_collection", name)
        session.forget(name)
    return StatementResult(tag="DROP TABLE")


def run_truncate(session: Session, parsed: ParsedStatement, params: Params) -> Steps[StatementResult]:
    """TRUNCATE deletes every row and keeps the tables. Raises SqlError, StoreError."""
    source, tree = parsed.source, parsed.tree
    for part in stray_parts(tree, ("expressions", "option")):
        what = "RESTART IDENTITY" if part == "identity" else part.upper().replace("_", " ")
        raise source.not_supported(f"{what} in TRUNCATE", 0, "Write TRUNCATE a, b: generated keys go on.")
    check_consumed(source, tree)
    tables = []
    for node in tree.expressions:
        tables.append((yield from _existing_table(session, source, node, False)))
    for table in tables:
        if table is not None:
            yield call(f"emptying collection {table.name}", "truncate_collection", table.name)
    return StatementResult(tag="TRUNCATE TABLE")


def _existing_table(
    session: Session, source: SourceText, node: exp.Expr, may_lack: bool
) -> Steps[Table | None]:
    """A table as it is now; None if it does not exist and need not."""
    name = plain_table(source, node)
    session.forget(name, str(node.this.this))
    try:
        if not isinstance(node, exp.Table):
            return None
        table = yield from session.table(source, node)
    except SqlUnknownName as error:
        if may_lack and not isinstance(error, SqlNamesView):
            return None
        raise
    readers_alias(source, node, table)
    return table
