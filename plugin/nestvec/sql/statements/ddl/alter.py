"""ALTER TABLE: RENAME TO, ADD COLUMN, DROP COLUMN, ALTER COLUMN … SET EXPRESSION, SET and DROP DEFAULT."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from sqlglot import exp

from nestvec.milvus.catalog import Table
from nestvec.milvus.steps import Steps, call
from nestvec.sql.bind.ddl.generated import EmbedColumn, bind_generated
from nestvec.sql.bind.params import Params
from nestvec.sql.bind.scope import Scope
from nestvec.sql.parse.completeness import check_consumed
from nestvec.sql.parse.dialect import SetExpression
from nestvec.sql.parse.parse import ParsedStatement
from nestvec.sql.parse.source import SourceText, identifier_name, stray_parts
from nestvec.sql.result import StatementResult
from nestvec.sql.session import Session
from nestvec.sql.statements.ddl.aliases import readers_alias
from nestvec.sql.statements.ddl.alter_columns import COLUMN_ACTIONS, alter_columns
from nestvec.sql.statements.ddl.change_table import complete_change
from nestvec.sql.statements.ddl.defaults import run_alter_column
from nestvec.sql.statements.ddl.embeddings import replace_embedding
from nestvec.sql.statements.tables import plain_table
from nestvec_schemas.errors import StoreError

_WRITE = (
    "Write ALTER TABLE t RENAME TO u, ADD COLUMN a INT, DROP COLUMN a, ALTER COLUMN a SET DEFAULT 1, or "
    "ALTER COLUMN a SET EXPRESSION AS (EMBED(text, 'encoder'))."
)


def run_alter(session: Session, parsed: ParsedStatement, params: Params) -> Steps[StatementResult]:
    """ALTER TABLE. Raises SqlError, StoreError."""
    source, tree = parsed.source, parsed.tree
    for part in stray_parts(tree, ("this", "kind", "exists", "actions")):
        raise source.not_supported(f"{part.upper()} in ALTER TABLE", 0, _WRITE)
    if str(tree.args.get("kind")).upper() != "TABLE":
        raise source.not_supported(f"ALTER {tree.args.get('kind')}", 0, _WRITE)
    actions = tree.args["actions"]
    handler = _handler(source, actions)
    plain_table(source, tree.this)
    check_consumed(source, tree)
    if tree.args.get("exists"):
        raise source.not_supported("IF EXISTS in ALTER TABLE", tree.this, _WRITE)
    names = tuple(dict.fromkeys((identifier_name(tree.this.this), str(tree.this.name))))
    for name in names:
        yield from complete_change(session, name)
    session.forget(*names)
    table = yield from session.table(source, tree.this)
    yield from handler(session, source, table, actions, params)
    session.forget(table.name)
    return StatementResult(tag="ALTER TABLE")


def _handler(source: SourceText, actions: Sequence[exp.Expr]) -> _Handler:
    """What carries out these actions: several only if they add and drop columns. Raises SqlNotSupported."""
    for node in actions:
        if isinstance(node, exp.Drop) and (
            str(node.args.get("kind")).upper() != "COLUMN" or len(node.args["tables"]) != 1
        ):
            raise source.not_supported("this form of ALTER TABLE", node, _WRITE)
    if all(isinstance(node, COLUMN_ACTIONS) for node in actions):
        return alter_columns
    if len(actions) > 1:
        raise source.not_supported(
            "several changes in one ALTER TABLE that are not ADD COLUMN and DROP COLUMN",
            actions[1],
            "Write one ALTER TABLE for each.",
        )
    action = _ACTIONS.get(type(actions[0]))
    if action is None:
        raise source.not_supported("this form of ALTER TABLE", actions[0], _WRITE)

    def handler(
        session: Session, source: SourceText, table: Table, nodes: Sequence[exp.Expr], params: Params
    ) -> Steps[None]:
        yield from action(session, source, table, nodes[0], params)

    return handler


def _rename(
    session: Session, source: SourceText, table: Table, node: exp.Expr, params: Params
) -> Steps[None]:
    name = plain_table(source, node.this)
    if (yield call(f"looking for collection {name}", "has_collection", name)):
        raise source.type_mismatch(
            "a collection of this name already exists", name, node.this, "Choose another name."
        )
    alias = readers_alias(source, node.parent.this, table) if node.parent is not None else None
    if alias is not None:
        # Renamed under it, the collection would keep the old name, too.
        yield call(f"dropping alias {alias}", "drop_alias", alias)
    try:
        yield call(f"renaming collection {table.name}", "rename_collection", table.name, name)
    except StoreError:
        if alias is not None:
            yield call(f"creating alias {alias}", "create_alias", table.name, alias)
        raise


def _set_expression(
    session: Session, source: SourceText, table: Table, node: exp.Expr, params: Params
) -> Steps[None]:
    scope = Scope(source, table, table.name, params)
    column = scope.column(node.this)
    function = bind_generated(scope, node.args["expression"])
    embedding = table.embedding(column.name)
    if embedding is None:
        filled = ", ".join(embedding.column for embedding in table.embeddings) or "none"
        raise source.type_mismatch(
            "this column is not generated by EMBED", column.name, node.this, f"Columns that are: {filled}."
        )
    if not isinstance(function, EmbedColumn):
        raise source.not_supported(
            f"{function.function} of a column that EMBED generated", node.args["expression"], _WRITE
        )
    yield from replace_embedding(session, source, table, embedding, node.this, function)


_Action = Callable[[Session, SourceText, Table, exp.Expr, Params], Steps[None]]
_Handler = Callable[[Session, SourceText, Table, Sequence[exp.Expr], Params], Steps[None]]

_ACTIONS: Final[dict[type[exp.Expr], _Action]] = {
    exp.AlterRename: _rename,
    exp.AlterColumn: run_alter_column,
    SetExpression: _set_expression,
}
