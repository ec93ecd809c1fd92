"""ALTER TABLE: RENAME TO, ADD COLUMN, DROP COLUMN, ALTER COLUMN … SET EXPRESSION, SET and DROP DEFAULT."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from sqlglot import exp

from nestvec.milvus.catalog import Table
from nestvec.milvus.pymilvus_features import data_type
from nestvec.milvus.steps import Steps, call
from nestvec.sql.bind.ddl.columns import bind_column, field_spec, settle_default
from nestvec.sql.bind.ddl.defaults import DefaultExpression
from nestvec.sql.bind.ddl.generated import EmbedColumn, bind_generated
from nestvec.sql.bind.params import Params
from nestvec.sql.bind.scope import Scope
from nestvec.sql.parse.completeness import check_consumed
from nestvec.sql.parse.dialect import SetExpression
from nestvec.sql.parse.parse import ParsedStatement
from nestvec.sql.parse.source import SourceText, stray_parts
from nestvec.sql.result import StatementResult
from nestvec.sql.session import Session
from nestvec.sql.statements.ddl.aliases import readers_alias
from nestvec.sql.statements.ddl.defaults import drop_default, run_alter_column
from nestvec.sql.statements.ddl.embeddings import add_embedded_column, drop_vectors, replace_embedding
from nestvec.sql.statements.tables import plain_table
from nestvec.sqltypes import type_property
from nestvec_schemas.errors import StoreError, StoreRefused, StoreUnreachable

_WRITE = (
    "Write ALTER TABLE t RENAME TO u, ADD COLUMN a INT, DROP COLUMN a, ALTER COLUMN a SET DEFAULT 1, or "
    "ALTER COLUMN a SET EXPRESSION AS (EMBED(text, 'encoder'))."
)


def run_alter(session: Session, parsed: ParsedStatement, params: Params) -> Steps[StatementResult]:
    """ALTER TABLE, one change at a time. Raises SqlError, StoreError."""
    source, tree = parsed.source, parsed.tree
    for part in stray_parts(tree, ("this", "kind", "exists", "actions")):
        raise source.not_supported(f"{part.upper()} in ALTER TABLE", 0, _WRITE)
    if str(tree.args.get("kind")).upper() != "TABLE":
        raise source.not_supported(f"ALTER {tree.args.get('kind')}", 0, _WRITE)
    actions = tree.args["actions"]
    if len(actions) > 1:
        raise source.not_supported(
            "several changes in one ALTER TABLE", actions[1], "Write one ALTER TABLE for each."
        )
    handler = _ACTIONS.get(type(actions[0]))
    if handler is None:
        raise source.not_supported("this form of ALTER TABLE", actions[0], _WRITE)
    plain_table(source, tree.this)
    check_consumed(source, tree)
    if tree.args.get("exists"):
        raise source.not_supported("IF EXISTS in ALTER TABLE", tree.this, _WRITE)
    session.forget(str(tree.this.name), str(tree.this.name).lower())
    table = yield from session.table(source, tree.this)
    yield from handler(session, source, table, actions[0], params)
    session.forget(table.name)
    return StatementResult(tag="ALTER TABLE")


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


def _add(session: Session, source: SourceText, table: Table, node: exp.Expr, params: Params) -> Steps[None]:
    if not isinstance(node, exp.ColumnDef):
        raise source.not_supported("this form of ALTER TABLE", node, _WRITE)
    scope = Scope(source, table, table.name, params)
    draft = bind_column(scope, node)
    settle_default(scope, draft)
    if table.column(draft.name) is not None:
        if node.args.get("exists"):
            return
        raise source.type_mismatch(
            "the table already has a column of this name", draft.name, node, "Choose another name."
        )
    if isinstance(draft.function, EmbedColumn):
        yield from add_embedded_column(session, source, table, draft, draft.function)
        return
    if isinstance(draft.default, DefaultExpression):
        raise source.not_supported(
            "adding a column with a default that Milvus does not hold", draft.default.start,
            "Add the column, UPDATE its rows, and write ALTER COLUMN … SET DEFAULT.",
        )  # fmt: skip
    for wrong, what in (
        (draft.primary or draft.auto_id, "a primary key"),
        (draft.nullable is False and draft.default is None, "a NOT NULL column without a default"),
        (draft.function is not None, "a generated column"),
        (draft.type.name.endswith("_VECTOR"), "a vector column"),
    ):
        if wrong:
            raise source.not_supported(
                f"adding {what}", node, "Milvus adds nullable scalar columns only: create a new table."
            )
    spec = field_spec(source, draft)
    options: dict[str, Any] = {
        "nullable": True,
        "default_value": spec.default,
        "max_length": spec.max_length,
        "element_type": None if spec.element_type is None else data_type(spec.element_type),
        "max_capacity": spec.max_capacity,
    }
    set_options = {key: value for key, value in options.items() if value is not None}
    doing = f"adding column {draft.name} to {table.name}"
    adding = call(doing, "add_collection_field", table.name, draft.name, data_type(spec.type), **set_options)
    yield from _call_or_not_supported(source, node, "ADD COLUMN", adding)
    yield from _set_sql_type(table, draft.name, spec.sql_type)


def _drop(session: Session, source: SourceText, table: Table, node: exp.Expr, params: Params) -> Steps[None]:
    if str(node.args.get("kind")).upper() != "COLUMN" or len(node.args["tables"]) != 1:
        raise source.not_supported("this form of ALTER TABLE", node, _WRITE)
    for part in stray_parts(node, ("kind", "tables", "exists", "restrict")):
        raise source.not_supported(f"{part.upper()} in DROP COLUMN", node, _WRITE)
    name = node.args["tables"][0]
    if (
        node.args.get("exists")
        and table.column(str(name.name)) is None
        and table.column(name.name.lower()) is None
    ):
        return
    column = Scope(source, table, table.name, params).column(name)
    generated = sorted(target for target, of in table.generated.items() if of == column.name)
    if column.primary or column.partition_key or generated:
        why = f"{', '.join(generated)} is generated from it" if generated else "it is a key"
        raise source.type_mismatch(
            f"this column cannot be dropped: {why}", column.name, name, "Create a new table."
        )
    if column.is_vector:
        yield from drop_vectors(session, source, table, column.name, name)
        return
    doing = f"dropping column {column.name} of {table.name}"
    yield from _call_or_not_supported(
        source, name, "DROP COLUMN", call(doing, "drop_collection_field", table.name, column.name)
    )
    yield from _set_sql_type(table, column.name, "")
    yield from drop_default(table, column.name)


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


def _set_sql_type(table: Table, column: str, sql_type: str) -> Steps[None]:
    """Record the SQL type of a column, or remove what is recorded of a column of its name."""
    doing, key = f"recording the type of {table.name}.{column}", type_property(column)
    if sql_type:
        yield call(doing, "alter_collection_properties", table.name, {key: sql_type})
    elif key in table.properties:
        yield call(doing, "drop_collection_properties", table.name, [key])


def _call_or_not_supported(source: SourceText, node: exp.Expr, what: str, request: Any) -> Steps[None]:
    try:
        yield request
    except (StoreRefused, StoreUnreachable) as error:
        # A method that the server does not have is rejected by gRPC, not by Milvus.
        if "UNIMPLEMENTED" not in str(error.value) and "not implemented" not in str(error.value).lower():
            raise
        raise source.not_supported(
            f"{what} on this Milvus",
            node,
            "Milvus Lite does not support it: create a new table, or use a server, version 2.6 or later.",
        ) from error


_Action = Callable[[Session, SourceText, Table, exp.Expr, Params], Steps[None]]

_ACTIONS: Final[dict[type[exp.Expr], _Action]] = {
    exp.AlterRename: _rename,
    exp.ColumnDef: _add,
    exp.Drop: _drop,
    exp.AlterColumn: run_alter_column,
    SetExpression: _set_expression,
}
