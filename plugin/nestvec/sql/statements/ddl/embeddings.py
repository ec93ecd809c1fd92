"""Columns that EMBED fills, as ALTER TABLE adds them and has them embedded otherwise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlglot import exp

from nestvec.collections.change.definition import Change, new_embedding
from nestvec.collections.upgrade.columns import described_index
from nestvec.milvus.catalog import EmbeddingColumn, Table
from nestvec.milvus.steps import BlockingCall, Steps
from nestvec.sql.bind.ddl.columns import ColumnDraft
from nestvec.sql.bind.ddl.generated import EmbedColumn
from nestvec.sql.parse.source import SourceText
from nestvec.sql.session import Session
from nestvec.sql.statements.ddl.change_table import change_table
from nestvec_schemas.embedding_config import Form
from nestvec_schemas.errors import EncoderError, SpecError
from nestvec_schemas.spec.collection_spec import EmbeddingSpec


def embedding_spec(
    session: Session, source: SourceText, table: Table, draft: ColumnDraft, function: EmbedColumn
) -> EmbeddingSpec:
    """The spec of a column to add that EMBED fills. Raises SqlError."""
    service = _service(session, source, table, function, draft.node)
    form: Form = "float" if draft.type.dim is not None else "sparse"
    values = _values(function, form, draft.type.dim) | {"name": draft.name, "service": service}
    try:
        return new_embedding(values)
    except SpecError as error:
        raise source.type_mismatch(error.cause, error.value, draft.node, error.next_step) from error


def replace_embedding(
    session: Session,
    source: SourceText,
    table: Table,
    column: EmbeddingColumn,
    node: exp.Expr,
    function: EmbedColumn,
) -> Steps[None]:
    """Have EMBED fill a column otherwise, all of its rows too; its type and its index stay.

    Raises SqlError, StoreError, ServiceError.
    """
    name, caller = column.column, column.endpoint.caller
    service = function.service or column.service
    index = yield BlockingCall(lambda client: described_index(client, table, name))
    values = _values(function, column.config.form, column.config.dim) | index
    values |= {"name": name, "service": service}
    if caller in ("cohere", "voyageai") and service == column.service:
        values["provider"] = caller
    try:
        change = Change((new_embedding(values),), (name,))
        yield from change_table(session, table, change, (*table.services, service))
    except (SpecError, EncoderError) as error:
        raise source.type_mismatch(error.cause, error.value, node, error.next_step) from error


def _values(function: EmbedColumn, form: Form, dim: int | None) -> dict[str, Any]:
    """The keys of an embedding in a spec, but for its name and its service."""
    values = replace(function.config, form=form).attributes()
    values.pop("dim")
    return {**values, "field": function.source, "dims": () if dim is None else (dim,)}


def _service(
    session: Session, source: SourceText, table: Table, function: EmbedColumn, node: exp.Expr
) -> str:
    """The service that EMBED names, or the only one that is known. Raises SqlTypeMismatch."""
    services = table.services
    service = function.service or session.settings.service or (services[0] if len(services) == 1 else None)
    if service is None:
        raise source.type_mismatch(
            "no service is known that embeds",
            function.config.encoder,
            node,
            "Add service => 'http://127.0.0.1:8080' to EMBED, or SET nestvec.service.",
        )
    return service
