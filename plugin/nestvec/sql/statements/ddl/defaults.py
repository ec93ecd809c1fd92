"""Defaults that Milvus does not hold: properties of the collection, and SET DEFAULT and DROP DEFAULT."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from sqlglot import exp

from nestvec.ingest.row_schema import row_schema
from nestvec.milvus.catalog import Column, Table
from nestvec.milvus.catalog.column_properties import default_property
from nestvec.milvus.steps import Steps, call
from nestvec.sql.bind.ddl.column_types import type_sql
from nestvec.sql.bind.ddl.columns import ColumnDraft
from nestvec.sql.bind.ddl.defaults import DefaultExpression, bind_default, read_default
from nestvec.sql.bind.dml.defaults import default_query
from nestvec.sql.bind.dml.literals import fit_value
from nestvec.sql.bind.params import Params
from nestvec.sql.bind.scope import FLOATS, INTEGERS, STRINGS, Scope
from nestvec.sql.parse.source import SourceText, without_parens
from nestvec.sql.session import Session
from nestvec.sql.statements.dml.defaults import Default, computed_values, default_values
from nestvec_schemas.errors import SqlError

_NAMES: Final = {
    "VARCHAR": "text", "BOOL": "boolean", "INT64": "bigint", "INT32": "integer", "INT16": "smallint",
    "DECIMAL": "numeric", "FLOAT": "real", "DOUBLE": "double precision",
}  # fmt: skip
"""PostgreSQL's names of Milvus's types."""
_TIMES: Final = ("DATE", "TIMESTAMP", "TIME")


def default_properties(
    session: Session, source: SourceText, drafts: Sequence[ColumnDraft]
) -> Steps[Mapping[str, str]]:
    """The properties of a collection that hold the defaults of these columns, evaluated once as a check.

    Raises SqlError for one that cannot be evaluated, or is of another type than its column.
    """
    properties = {}
    for draft in drafts:
        if isinstance(draft.default, DefaultExpression):
            yield from _check(session, source, draft.column, draft.default)
            properties[default_property(draft.name)] = draft.default.sql
    return properties


def _check(session: Session, source: SourceText, column: Column, default: DefaultExpression) -> Steps[None]:
    text, node = default_query(default.sql)
    kind = ""
    checked = Default(column, text, node)
    try:
        if not isinstance(without_parens(node), exp.Literal) or not node.is_string:
            kind = (yield from computed_values(session, [checked], 1))[0].type
        (values,) = yield from default_values(session, [checked], 1)
        if values and values[0] is not None and not _is_assignable(kind, column):
            type_ = type_sql(column).lower()
            raise source.type_mismatch(
                f"column {column.name} is of type {type_}, but default expression is of type",
                _NAMES.get(kind, kind.lower()),
                default.node,
                "Cast the default to the type of the column.",
            )
        for value in values:
            fit_value(checked.scope, row_schema(Table("", (column,))), value, column, node)
    except SqlError as error:
        # In the statement, not in the text of the default.
        raise _located(error, source, default) from None


def _located(error: SqlError, source: SourceText, default: DefaultExpression) -> SqlError:
    if error.statement == source.text:
        return error
    located = error.reworded()
    located.statement = source.text
    located.position = default.start + max(0, (error.position or 0) - len("SELECT "))
    return located


def _is_assignable(kind: str, column: Column) -> bool:
    """Whether PostgreSQL assigns a value of a type to a column without a cast."""
    if not kind or kind == "ANY" or (column.type in STRINGS and not column.type_params.sql_type):
        return True
    return _family(kind) == _family(column.type_params.sql_type.upper() or column.type)


def _family(kind: str) -> str:
    name = kind.partition("(")[0].partition("[")[0].partition(" ")[0]
    if kind.endswith("[]") or name == "ARRAY":
        return "ARRAY"
    if name.endswith("_VECTOR") or name in ("VECTOR", "HALFVEC", "SPARSEVEC"):
        return "VECTOR"
    if name in INTEGERS | FLOATS | {"DECIMAL", "NUMERIC", "INT2", "INT4", "HUGEINT", "UINT64"}:
        return "NUMBER"
    if name.startswith(_TIMES):
        return "TIME"
    return {"BLOB": "BYTEA", "TEXT": "VARCHAR", "BPCHAR": "VARCHAR"}.get(name, name)


def run_alter_column(
    session: Session, source: SourceText, table: Table, node: exp.Expr, params: Params
) -> Steps[None]:
    """ALTER COLUMN … SET DEFAULT and DROP DEFAULT. Raises SqlError, StoreError."""
    scope = Scope(source, table, table.name, params)
    column = scope.column(exp.Column(this=node.this))
    value = node.args.get("default")
    if value is None and not (node.args.get("drop") and node.args.get("allow_null") is None):
        raise source.not_supported(
            "this form of ALTER COLUMN", node, "Write ALTER COLUMN a SET DEFAULT value, or DROP DEFAULT."
        )
    if column.auto_id or column.name in table.generated:
        raise source.syntax_error(f"column {column.name} is generated", node, "Omit the default.")
    key = default_property(column.name)
    default = None
    if value is not None:
        read = read_default(source, value, source.position(node.this) or 0)
        default = read if bind_default(scope, column, read) is not None else None
    if default is None:
        if column.has_default:
            raise source.not_supported(
                f"removing the default of column {column.name}, which Milvus holds,", node,
                "SET DEFAULT replaces it; only a new table is without one.",
            )  # fmt: skip
        if key in table.properties:
            doing = f"removing the default of {table.name}.{column.name}"
            yield call(doing, "drop_collection_properties", table.name, [key])
        return
    yield from _check(session, source, column, default)
    doing = f"recording the default of {table.name}.{column.name}"
    yield call(doing, "alter_collection_properties", table.name, {key: default.sql})


def drop_default(table: Table, column: str) -> Steps[None]:
    """Remove what is recorded of the default of a column that is dropped."""
    key = default_property(column)
    if key in table.properties:
        yield call(
            f"removing the default of {table.name}.{column}", "drop_collection_properties", table.name, [key]
        )
