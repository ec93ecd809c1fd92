"""Types that are known before a statement runs: of its parameters, and of its columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

from sqlglot import exp

from nestvec.milvus.catalog import ROW_ID, Column, Table
from nestvec.milvus.steps import Steps
from nestvec.pgwire.catalog.rows import relation_oid
from nestvec.pgwire.outcome import field_of, result_fields
from nestvec.pgwire.protocol.responses import Field
from nestvec.pgwire.types.milvus import column_modifier, type_oid
from nestvec.sql.analysis.column_types import column_oid
from nestvec.sql.bind.params import PARAMETER_NODES, Params, bind_params, parameter_name
from nestvec.sql.bind.values import ColumnRef
from nestvec.sql.parse.completeness import mark_consumed
from nestvec.sql.parse.dialect import VectorDistance
from nestvec.sql.parse.parse import ParsedStatement, parse
from nestvec.sql.parse.source import identifier_name
from nestvec.sql.session import Session
from nestvec.sql.statements.select import columns_of_query, plan_select_alone
from nestvec.sqltypes import oids
from nestvec_schemas.errors import NestvecError, SqlError

_CAST_NAMES: Final = dict.fromkeys(("char", "name", "unknown", "void", "pg_node_tree", "varbit"), "text")
"""Names for the types that the casts of statements do not have."""
_ROW_COUNTS: Final = (exp.Limit, exp.Offset, exp.Fetch)

SAMPLES: Final[Mapping[int, Any]] = {
    oids.BOOL: True,
    **dict.fromkeys(oids.INTEGERS, 1),
    oids.FLOAT4: 1.0,
    oids.FLOAT8: 1.0,
    oids.NUMERIC: Decimal(1),
    oids.DATE: date(2000, 1, 1),
    oids.TIME: time(),
    oids.TIMESTAMP: datetime(2000, 1, 1),
    oids.TIMESTAMPTZ: datetime(2000, 1, 1, tzinfo=UTC),
    oids.INTERVAL: timedelta(0),
    oids.UUID: UUID(int=0),
    oids.BYTEA: b"",
    oids.SPARSEVEC: {0: 1.0},
    oids.JSON: {},
    oids.JSONB: {},
}
"""A value of each type, with which a statement is planned before its parameters have values."""


def read_tables(session: Session, parsed: ParsedStatement) -> Steps[tuple[Table, ...]]:
    """The collections that a statement names; those that do not exist are passed over."""
    yield from session.refresh_aged(parsed.tree)
    tables = list[Table]()
    for node in parsed.tree.find_all(exp.Table):
        if isinstance(node.this, exp.Identifier):
            try:
                tables.append((yield from session.table(parsed.source, node)))
            except NestvecError:
                continue
    return tuple(tables)


def describe_columns(
    session: Session, parsed: ParsedStatement, types: Sequence[int], tables: Sequence[Table]
) -> Steps[tuple[Field, ...] | None]:
    """The columns of a SELECT of Milvus alone, or of RETURNING, by its plan; None for another statement."""
    tree = parsed.tree
    if parsed.explain_tokens:
        return (field_of("QUERY PLAN", oids.TEXT),)
    if isinstance(tree, (exp.Insert, exp.Update, exp.Delete)):
        fields = _returning(tree, tables)
        return (yield from _computed_returning(session, parsed, types, tables)) if fields is None else fields
    if not isinstance(tree, exp.Select):
        return None
    params = bind_params(sample_values(tree, types, tables))
    try:
        plan = yield from plan_select_alone(session, parsed, params if types else Params())
    except NestvecError:
        return None
    outputs = getattr(plan, "outputs", None)
    if outputs is None:
        return None
    return tuple(_output_field(output, tables) for output in outputs)


def query_columns(
    session: Session, parsed: ParsedStatement, types: Sequence[int], tables: Sequence[Table]
) -> Steps[tuple[Field, ...]]:
    """The columns of any query, which is planned with NULLs as its parameters, and not run.

    Where a part of the statement must be a constant, values are tried. Raises SqlError, StoreError.
    """
    try:
        nulls = without_values(parsed, types, tables)
        return result_fields((yield from columns_of_query(session, *nulls)))
    except SqlError as error:
        if not types:
            raise
        refused = error
    values = bind_params(sample_values(parsed.tree, types, tables))
    try:
        return result_fields((yield from columns_of_query(session, parsed, values)))
    except SqlError:
        raise refused from None


def _output_field(output: Any, tables: Sequence[Table]) -> Field:
    """A column of a plan's result; its type is 0 if only the values tell it."""
    expression = getattr(output, "expression", None)
    if isinstance(expression, ColumnRef):
        table = next((table for table in tables if table.column(expression.name) is not None), None)
        column = None if table is None else table.column(expression.name)
        if table is not None and column is not None and column is not ROW_ID:
            field = field_of(output.name, column_oid(column), column_modifier(column))
            return replace(field, table=relation_oid(table.name), column=table.columns.index(column) + 1)
    return field_of(output.name, type_oid(output.type))


def sample_values(tree: exp.Expr, types: Sequence[int], tables: Sequence[Table]) -> list[Any]:
    """A value for each parameter, of its type."""
    return [_sample(oid, tree, number, tables) for number, oid in enumerate(types, 1)]


def without_values(
    parsed: ParsedStatement, types: Sequence[int], tables: Sequence[Table]
) -> tuple[ParsedStatement, Params]:
    """A statement with NULLs of the types of its parameters, which no function refuses.

    Vectors to search for and numbers of rows stay parameters, with values.
    """
    tree = parsed.tree.copy()
    tree.meta.clear()  # what planning keeps there is of the statement with its parameters
    values = dict[str, Any]()
    for node in list(tree.find_all(*PARAMETER_NODES)):
        name = parameter_name(node)
        if name is None or not name.isdecimal() or int(name) > len(types):
            continue
        oid = types[int(name) - 1]
        if _is_row_count(node) or _is_target(node):
            values[name] = _sample(oid, tree, int(name), tables)
            continue
        # A plan for these values is of no use to others: they are of types that no cache takes.
        values.setdefault(name, Decimal(0) if oid == oids.NUMERIC else b"")
        word = _word(node)
        null: exp.Expr = exp.Literal.string(word) if word else exp.Null()
        if not word and not isinstance(node.parent, exp.Cast):
            null = exp.Cast(this=null, to=_data_type(oid).copy())
        null.meta.update(node.meta)
        if isinstance(node.parent, exp.Select) and node.arg_key == "expressions":
            null = exp.alias_(null, "?column?", quoted=True)  # the cast would be a name
        node.replace(null)
    return replace(parsed, tree=tree), Params(values)


def _word(node: exp.Expr) -> str:
    """A word where functions do without a NULL; empty for any other place."""
    if isinstance(node.parent, (exp.Encode, exp.Decode)):
        return "hex" if node.arg_key == "charset" else ""
    is_part = isinstance(node.parent, exp.Extract) and node.arg_key == "this"
    return "day" if is_part or node.arg_key == "unit" else "UTC" if node.arg_key == "zone" else ""


def _is_row_count(node: exp.Expr) -> bool:
    return isinstance(node.find_ancestor(*_ROW_COUNTS, exp.Query), _ROW_COUNTS)


def _is_target(node: exp.Expr) -> bool:
    """Whether a parameter is what a distance is measured to."""
    from nestvec.sql.relational.vectors import is_distance_function  # noqa: PLC0415 - for DuckDB alone

    measure = node.find_ancestor(VectorDistance, exp.Anonymous, exp.Query)
    return isinstance(measure, VectorDistance) or (measure is not None and is_distance_function(measure))


@lru_cache(maxsize=256)
def _data_type(oid: int) -> exp.DataType:
    """A type as the target of a cast."""
    name = "bigint" if oid in oids.UNSIGNED else oids.BY_OID[oid].name if oid in oids.BY_OID else "text"
    name = _CAST_NAMES.get(name, name)
    sql_name = f"{name[1:]}[]" if name.startswith("_") else name
    type_: exp.DataType = parse(f"SELECT NULL::{sql_name}").tree.expressions[0].args["to"]
    return type_


def _sample(oid: int, tree: exp.Expr, number: int, tables: Sequence[Table]) -> Any:
    if oid in oids.DENSE_VECTORS:
        return [1.0] * _dim(tree, number, tables)
    if oid == oids.BIT:
        return "1" * _dim(tree, number, tables)
    if oids.element_of(oid):
        return [SAMPLES.get(oids.element_of(oid), "a")]
    return SAMPLES.get(oid, "a")


def _dim(tree: exp.Expr, number: int, tables: Sequence[Table]) -> int:
    """The dim of the vector that a parameter is compared with."""
    for node in tree.find_all(VectorDistance):
        sides = (node.this, node.expression)
        names = {
            name
            for side in sides
            for part in side.find_all(*PARAMETER_NODES)
            if (name := parameter_name(part))
        }
        columns = (column for side in sides for column in side.find_all(exp.Column))
        if str(number) in names:
            for column in columns:
                for table in tables:
                    described = table.column(identifier_name(column.this))
                    if described is not None and described.dim:
                        # A bit string's own length: Milvus rounds its dim up to whole bytes.
                        return column_modifier(described)
    return 3


def _returning(tree: exp.Expr, tables: Sequence[Table]) -> tuple[Field, ...] | None:
    returning = tree.args.get("returning")
    if returning is None:
        return ()
    fields = list[Field]()
    for node in returning.expressions:
        if isinstance(node, exp.Star):
            columns = [column for table in tables[:1] for column in table.columns]
            fields += (
                field_of(column.name, column_oid(column), column_modifier(column)) for column in columns
            )
            continue
        inner = node.this if isinstance(node, exp.Alias) else node
        column = _named_column(inner, tables)
        if column is None:
            return None
        fields.append(field_of(node.alias_or_name, column_oid(column), column_modifier(column)))
    return tuple(fields)


def _computed_returning(
    session: Session, parsed: ParsedStatement, types: Sequence[int], tables: Sequence[Table]
) -> Steps[tuple[Field, ...] | None]:
    """The columns of a RETURNING that computes, as those of a query of its table; None if it is refused."""
    tree = parsed.tree
    target = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
    select = exp.Select(expressions=[node.copy() for node in tree.args["returning"].expressions])
    select.set("from_", exp.From(this=target.copy()))
    query, params = without_values(replace(parsed, tree=select), types, tables)
    mark_consumed(query.tree)
    try:
        return result_fields((yield from columns_of_query(session, query, params)))
    except SqlError:
        return None  # its execution says why


def _named_column(node: exp.Expr, tables: Sequence[Table]) -> Column | None:
    if not isinstance(node, exp.Column):
        return None
    columns = (table.column(identifier_name(node.this)) for table in tables)
    return next((column for column in columns if column is not None), None)
