"""CREATE TABLE … AS query: a collection with the columns of the query, and its rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from pymilvus import MilvusClient
from sqlglot import exp

from nestvec.collections import lifecycle
from nestvec.collections.hidden_fields import hidden_vector, row_id
from nestvec.milvus.catalog.column_properties import ROW_ID_FIELD
from nestvec.milvus.server_version import TAKES_OWN_IDS, read_version
from nestvec.milvus.steps import BlockingCall, Steps, call
from nestvec.sql.bind.ddl.columns import validate_model
from nestvec.sql.bind.params import Params
from nestvec.sql.bind.scope import Scope
from nestvec.sql.parse.parse import ParsedStatement
from nestvec.sql.parse.source import SourceText, identifier_name
from nestvec.sql.result import StatementResult
from nestvec.sql.session import Session
from nestvec.sql.statements.dml.insert import insert_rows
from nestvec.sql.statements.select import select_typed
from nestvec.sql.statements.tables import plain_table
from nestvec.sql.statements.views import check_distinct, refuse_view
from nestvec.sqltypes import parse_sql_type, storage
from nestvec_schemas.errors import NestvecError
from nestvec_schemas.spec.collection_spec import CollectionSpec, FieldSpec, VectorSpec

_MAX_PRECISION: Final = 38
_MAX_TEXT: Final = 65_535
_MAX_ELEMENTS: Final = 4_096
_WRITE: Final = "Write CREATE TABLE name AS SELECT id, …, vector FROM t."


def run_create_as(session: Session, parsed: ParsedStatement, params: Params) -> Steps[StatementResult]:
    """CREATE TABLE AS. As in PostgreSQL, the table has no primary key.

    Raises SqlError, StoreError, ServiceError; the collection is dropped if its rows cannot be written.
    """
    source, tree = parsed.source, parsed.tree
    node = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
    name = plain_table(source, node)
    if (yield call(f"looking for collection {name}", "has_collection", name)):
        if tree.args.get("exists"):
            return StatementResult(tag="CREATE TABLE")
        raise source.type_mismatch(
            "a collection of this name already exists", name, node, "Drop it, or write IF NOT EXISTS."
        )
    yield from refuse_view(session, source, node, name)
    query = tree.args["expression"]
    query = query.unnest() if isinstance(query, exp.Subquery) else query
    result, data = yield from select_typed(session, source, query, params)
    names = data.column_names
    if isinstance(tree.this, exp.Schema):
        names = [identifier_name(column) for column in tree.this.expressions]
        if len(names) != len(data.column_names):
            raise source.syntax_error("the list has another number of columns", tree.this, _WRITE)
    check_distinct(source, node, names)
    types = {at: _vector_type(data.column(number)) for number, at in enumerate(names)}
    spec = _spec(source, node, name, types, dict(zip(names, result.types, strict=True)))

    def create(client: MilvusClient) -> None:
        version = read_version(client)
        takes = version.lite or version.at_least(TAKES_OWN_IDS)
        settings = {"allow_insert_auto_id": "true"} if takes else {}
        lifecycle.create_collection(client, spec, settings, names)

    yield BlockingCall(create)
    session.forget(name)
    try:
        table = yield from session.table(source, node)
        scope = Scope(source, table, table.name, params)
        count = yield from insert_rows(session, scope, tuple(names), query, result)
    except NestvecError:
        session.forget(name)
        yield call(f"dropping collection {name}", "drop_collection", name)
        raise
    return StatementResult(tag=f"SELECT {count}", count=count)


def _vector_type(column: pa.ChunkedArray) -> pa.DataType:
    """The type of a column; a list of 32-bit floats of one length, such as avg(v), is a vector."""
    type_ = column.type
    if not pa.types.is_list(type_) or not pa.types.is_float32(type_.value_type):
        return type_
    lengths = set(pc.unique(pc.list_value_length(column)).to_pylist())
    dim = next(iter(lengths)) if len(lengths) == 1 else None
    return pa.list_(type_.value_type, dim) if dim is not None and dim > 1 else type_


def _spec(
    source: SourceText,
    node: exp.Expr,
    name: str,
    types: Mapping[str, pa.DataType],
    result_types: Mapping[str, str],
) -> CollectionSpec:
    fields, vectors = {ROW_ID_FIELD: row_id()}, list[VectorSpec]()
    for column, type_ in types.items():
        if pa.types.is_fixed_size_list(type_) and pa.types.is_floating(type_.value_type):
            values = {"name": column, "dim": type_.list_size, "index": "FLAT", "nullable": True}
            vectors.append(validate_model(source, node, VectorSpec, values))
            continue
        if result_types[column] == "BIT":
            raise source.not_supported(
                f"column {column} of bits in CREATE TABLE AS", node, "Create the table, and INSERT … SELECT."
            )
        fields[column] = _field(type_, result_types[column])
    return CollectionSpec(collection=name, fields=fields, vectors=tuple(vectors or [hidden_vector()]))


def _field(type_: pa.DataType, result_type: str) -> FieldSpec:
    element = ""
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        sql_type = _sql_type(type_.value_type)
        element, stored = _stored_type(type_.value_type, sql_type), "ARRAY"
        sql_type = f"{sql_type}[]" if sql_type else ""
    elif result_type == "JSON":
        # An Arrow table has the text of a document, and that of a uuid.
        stored, sql_type = "JSON", ""
    else:
        sql_type = "uuid" if result_type == "UUID" else _sql_type(type_)
        stored = _stored_type(type_, sql_type)
    text = "VARCHAR" in (stored, element)
    return FieldSpec.model_validate(
        {
            "type": stored,
            "nullable": True,
            "max_length": _MAX_TEXT if text else None,
            "element_type": element or None,
            "max_capacity": _MAX_ELEMENTS if element else None,
            "sql_type": sql_type,
        }
    )


def _stored_type(type_: pa.DataType, sql_type: str) -> str:
    kind = parse_sql_type(sql_type)
    return _milvus_type(type_) if kind is None else storage(kind)[0]


def _sql_type(type_: pa.DataType) -> str:
    """The SQL type of Arrow's types that Milvus does not have; empty for the others."""
    if pa.types.is_date(type_):
        return "date"
    if pa.types.is_time(type_):
        return "time"
    if pa.types.is_timestamp(type_):
        return "timestamptz" if type_.tz else "timestamp"
    if pa.types.is_decimal(type_):
        # DuckDB's largest precision stands for a NUMERIC without one.
        fixed = type_.precision < _MAX_PRECISION
        return f"numeric({type_.precision},{type_.scale})" if fixed else "numeric"
    return "bytea" if pa.types.is_binary(type_) or pa.types.is_large_binary(type_) else ""


def _milvus_type(type_: pa.DataType) -> str:
    if pa.types.is_boolean(type_):
        return "BOOL"
    if pa.types.is_integer(type_):
        return f"INT{min(type_.bit_width, 64)}"
    if pa.types.is_floating(type_):
        return "FLOAT" if type_.bit_width <= 32 else "DOUBLE"
    return "VARCHAR"
