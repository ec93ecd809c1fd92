"""ADD COLUMN and DROP COLUMN, any number of them: at once in Milvus, or by one copy of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlglot import exp

from nestvec.collections.change.definition import Change
from nestvec.collections.change.new_columns import NewColumn
from nestvec.collections.hidden_fields import hidden_vector
from nestvec.milvus.catalog import Table
from nestvec.milvus.catalog.column_properties import HIDDEN_VALUE, HIDDEN_VECTOR
from nestvec.milvus.pymilvus_features import data_type
from nestvec.milvus.server_version import read_version
from nestvec.milvus.steps import BlockingCall, Call, Steps, call
from nestvec.sql.bind.ddl.alter import ColumnActions, bind_column_actions
from nestvec.sql.bind.ddl.columns import ColumnDraft, field_spec
from nestvec.sql.bind.ddl.defaults import DefaultExpression
from nestvec.sql.bind.ddl.generated import EmbedColumn
from nestvec.sql.bind.params import Params
from nestvec.sql.parse.source import SourceText
from nestvec.sql.session import Session
from nestvec.sql.statements.ddl.change_table import change_table
from nestvec.sql.statements.ddl.defaults import drop_default
from nestvec.sql.statements.ddl.embeddings import embedding_spec
from nestvec.sql.statements.ddl.new_columns import new_column
from nestvec.sqltypes import type_property
from nestvec_schemas.errors import EncoderError, SpecError, StoreRefused, StoreUnreachable
from nestvec_schemas.spec.collection_spec import EmbeddingSpec

COLUMN_ACTIONS: Final = (exp.ColumnDef, exp.Drop)

_LACKING: Final = ("unimplemented", "not implemented", "does not have the call")
"""Words of the errors of a server or a pymilvus that cannot do it."""


def alter_columns(
    session: Session, source: SourceText, table: Table, actions: Sequence[exp.Expr], params: Params
) -> Steps[None]:
    """Add and drop columns: all of them, or none if anything fails.

    Raises SqlError, StoreError, ServiceError, IngestError.
    """
    bound = bind_column_actions(source, table, actions, params)
    count = len(bound.dropped) + len(bound.added)
    version = yield BlockingCall(read_version)
    if not count or (count == 1 and not version.lite and (yield from _in_place(source, table, bound))):
        return
    columns, embeddings = list[NewColumn](), list[EmbeddingSpec]()
    for draft in bound.added:
        if isinstance(draft.function, EmbedColumn):
            embeddings.append(embedding_spec(session, source, table, draft, draft.function))
        else:
            columns.append((yield from new_column(session, source, table, draft, version)))
    drop = tuple(column.name for column in bound.dropped)
    has_vectors = any(column.is_vector for column in bound.remaining.columns)
    has_vectors = has_vectors or bool(embeddings) or any(column.vector_bytes for column in columns)
    hidden = tuple(name for name in table.hidden if has_vectors or name != HIDDEN_VECTOR)
    if not has_vectors and HIDDEN_VECTOR not in table.hidden:
        columns.append(NewColumn(HIDDEN_VECTOR, hidden_vector(), list(HIDDEN_VALUE)))
    change = Change(tuple(embeddings), (*drop, *hidden), columns=tuple(columns))
    services = (*bound.remaining.services, *(spec.service or "" for spec in embeddings))
    try:
        yield from change_table(session, table, change, services)
    except (SpecError, EncoderError) as error:
        raise source.type_mismatch(error.cause, error.value, actions[0], error.next_step) from error


def _in_place(source: SourceText, table: Table, bound: ColumnActions) -> Steps[bool]:
    """Have a server change the collection itself; returns whether it can."""
    for draft in bound.added:
        if (
            draft.type.name.endswith("_VECTOR")
            or isinstance(draft.default, DefaultExpression)
            or (draft.nullable is False and draft.default is None)
        ):
            return False
        return (yield from _add_in_place(source, table, draft))
    for column in bound.dropped:
        doing = f"dropping column {column.name} of {table.name}"
        dropping = call(doing, "drop_collection_field", table.name, column.name)
        if column.is_vector or not (yield from _can(dropping)):
            return False
        if type_property(column.name) in table.properties:
            doing = f"removing the type of {table.name}.{column.name}"
            yield call(doing, "drop_collection_properties", table.name, [type_property(column.name)])
        yield from drop_default(table, column.name)
    return True


def _add_in_place(source: SourceText, table: Table, draft: ColumnDraft) -> Steps[bool]:
    spec = field_spec(source, draft)
    options: dict[str, Any] = {
        "nullable": True,
        "default_value": spec.default,
        "max_length": spec.max_length,
        "element_type": None if spec.element_type is None else data_type(spec.element_type),
        "max_capacity": spec.max_capacity,
    }
    chosen = {key: value for key, value in options.items() if value is not None}
    doing = f"adding column {draft.name} to {table.name}"
    kind = data_type(spec.type)
    if not (yield from _can(call(doing, "add_collection_field", table.name, draft.name, kind, **chosen))):
        return False
    if spec.sql_type:
        doing = f"recording the type of {table.name}.{draft.name}"
        properties = {type_property(draft.name): spec.sql_type}
        yield call(doing, "alter_collection_properties", table.name, properties)
    return True


def _can(request: Call) -> Steps[bool]:
    """Carry out a request; returns False if the server, or this pymilvus, does not have it."""
    try:
        yield request
    except (StoreRefused, StoreUnreachable) as error:
        # A method that the server does not have is rejected by gRPC, not by Milvus.
        text = f"{error.cause} {error.value}".lower()
        if any(words in text for words in _LACKING):
            return False
        raise
    return True
