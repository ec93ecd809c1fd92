"""Whether a collection still is what a writer takes it for: current, and embedded as before.

A change of a collection has its name lead to another one. Who read the collection before goes on writing to
that of before, where nobody sees it: it has the property ``nestvec.retired`` then, whose value is the name
that leads to the new one. And columns that nestvec fills may have become another encoder's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pymilvus import MilvusClient, MilvusException

from nestvec.ingest.batches import RowBatch
from nestvec.ingest.embed_columns import client_side_columns
from nestvec.ingest.write.faults import classify
from nestvec.ingest.write.patience import Patience
from nestvec.ingest.write.writers import Writer
from nestvec.milvus.catalog import EmbeddingColumn, Table, described_embeddings
from nestvec.milvus.connection import milvus_errors
from nestvec_schemas.embedding_config import CLIENT_SIDE_FORMS
from nestvec_schemas.errors import CollectionRetired, NestvecError, StoreError, StoreRefused
from nestvec_schemas.model_name import format_model_name

RETIRED_PROPERTY: Final = "nestvec.retired"
"""Of a collection of before a change: the name that leads to the new one."""


def write_checked(writer: Writer, table: Table, patience: Patience, batch: RowBatch) -> RowBatch:
    """Write a batch and return it, if the collection is what ``table`` says, before and after.

    Otherwise it does not count as written. Raises as ``check_writable``, and NestvecError.
    """
    check_writable(writer.client, table)
    stored_rows = writer(batch)
    try:
        check_patiently(writer.client, table, patience)
    except NestvecError as error:
        # A change may carry the batch over; only rows that have keys may be written again.
        error.has_written |= table.primary.auto_id
        raise
    return stored_rows


def check_patiently(client: MilvusClient, table: Table, patience: Patience) -> None:
    """``check_writable`` of a Milvus that may be lost: it has the batch, which is not to be written again."""
    while True:
        try:
            return check_writable(client, table)
        except StoreError as error:
            fault = classify(error)
            if fault.kind == "lasting":
                raise
            patience.wait(fault, error)


def check_writable(client: MilvusClient, table: Table) -> None:
    """Raise CollectionRetired if readers use another collection than ``table`` since a change, and
    StoreRefused if a column that nestvec fills is made otherwise now than ``table`` says, or is new.

    Vectors may be made anew by another encoder while rows are written: the collection's name leads to
    another one then, and no Milvus compares the vectors that it is given. Raises StoreError.
    """
    with milvus_errors(f"describing collection {table.name}"):
        described = client.describe_collection(table.name)
    _check_current(client, described)
    columns = client_side_columns(table)
    new = {str(field["name"]) for field in described["fields"]} - {column.name for column in table.columns}
    if not (columns or new):
        return
    present = {column.column: column for column in described_embeddings(described)}
    for name in sorted(new & present.keys()):
        if present[name].config.form in CLIENT_SIDE_FORMS:
            # Milvus would refuse each row, since it lacks the column.
            raise StoreRefused(
                f"{table.name}.{name} was added since this began, and nestvec fills it",
                value=_described(present[name]),
                next_step="Run it again: it fills the column, too.",
            )
    for column in columns:
        now = present.get(column.column)
        if now is not None and (now, now.config.fingerprint) == (column, column.config.fingerprint):
            continue
        raise StoreRefused(
            f"{table.name}.{column.column} is embedded otherwise since this began, and vectors of two "
            "encoders must not mix",
            value=f"now {_described(now)}, before {_described(column)}",
            next_step="Run it again: it goes on with the encoder of now.",
        )


def mark_retired(client: MilvusClient, name: str, readers_name: str) -> None:
    """Have writers to a collection refused as long as ``readers_name`` leads to another one.

    Raises MilvusException.
    """
    client.alter_collection_properties(name, {RETIRED_PROPERTY: readers_name})


def unmark_retired(client: MilvusClient, name: str) -> None:
    """Have writers to a collection accepted again. Raises MilvusException."""
    if not _readers_name(client.describe_collection(name)):
        return
    try:
        client.drop_collection_properties(name, [RETIRED_PROPERTY])
    except MilvusException:
        # Milvus before 2.5 removes no property.
        client.alter_collection_properties(name, {RETIRED_PROPERTY: ""})


def _check_current(client: MilvusClient, described: Mapping[str, Any]) -> None:
    alias = _readers_name(described)
    if not alias:
        return
    name = str(described.get("collection_name"))
    with milvus_errors(f"looking for collection {alias}"):
        exists = client.has_collection(alias)
        # It may lead here again: after a rollback that was interrupted, or since somebody moved the alias.
        present = str(client.describe_collection(alias).get("collection_name")) if exists else name
    if present != name:
        raise CollectionRetired(
            f"this is the collection of before a change, and who reads {alias} does not see what is written "
            "to it",
            value=name,
            next_step=f"Write to {alias}, which leads to {present}. To have it lead here again: nestvec "
            f"collection rollback {alias}.",
        )


def _readers_name(described: Mapping[str, Any]) -> str:
    return str((described.get("properties") or {}).get(RETIRED_PROPERTY, ""))


def _described(column: EmbeddingColumn | None) -> str:
    if column is None:
        return "by none"
    recorded = column.config.fingerprint or "not recorded"
    return f"by {format_model_name(column.config)}, fingerprint {recorded}"
