"""Writes rows to Milvus, in batches that fit one request."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pymilvus import MilvusClient

from nestvec.ingest.batches import DEFAULT_BATCH_ROWS, MAX_BATCH_BYTES, max_batch_rows
from nestvec.ingest.convert import request_bytes
from nestvec.ingest.embed_columns import client_side_columns, embed_columns
from nestvec.ingest.image_check import unreadable_rows
from nestvec.milvus.catalog import Table
from nestvec.milvus.steps import BlockingCall, Steps, call
from nestvec.sql.session import Session
from nestvec_schemas.errors import NestvecError, RowRejected, SqlError, SqlTypeMismatch, StoreError

Row = dict[str, object]


def write_partitions(session: Session, table: Table) -> Steps[tuple[str, ...]]:
    """The partitions to update one after the other; empty if Milvus finds a row's partition by itself.

    They are those of ``nestvec.partitions`` if it is set. An updated row stays in its partition.
    """
    if any(column.partition_key for column in table.columns):
        return ()
    if session.settings.partitions:
        return session.settings.partitions
    names = yield call(f"listing the partitions of {table.name}", "list_partitions", table.name)
    return tuple(names) if len(names) > 1 else ()


def write_in_batches(
    session: Session, table: Table, rows: Sequence[Row], *, partial: bool = False, partition: str = ""
) -> Steps[list[Any]]:
    """Insert rows, or, with ``partial``, overwrite their columns in the rows of their ids. Returns the ids.

    Raises ServiceError; StoreError, and SqlTypeMismatch for a row whose image cannot be fetched, which say
    how many rows were written before.
    """
    yield from session.ensure_served(table.services)
    ids: list[Any] = []
    method = "upsert" if partial else "insert"
    options: dict[str, Any] = {"partial_update": True} if partial else {}
    options |= {"partition_name": partition} if partition else {}
    for batch in _batches(table, rows):
        try:
            yield from _check_images(session, table, batch)
        except SqlError as error:
            raise _with_written_count(error, len(ids)) from error
        filled = batch
        if client_side_columns(table) and (
            not partial or any(embedding.source in batch[0] for embedding in client_side_columns(table))
        ):
            filled = yield BlockingCall(_embed_columns(table, batch))
        try:
            doing = f"writing {len(batch)} rows to {table.name}"
            response = yield call(doing, method, table.name, filled, **options)
        except StoreError as error:
            raise _with_written_count(error, len(ids)) from error
        ids += list(response.get("ids") or [row.get(table.primary.name) for row in batch])
    return ids


def _embed_columns(table: Table, rows: list[Row]) -> Callable[[MilvusClient], list[Row]]:
    return lambda client: embed_columns(table, rows)


def _batches(table: Table, rows: Sequence[Row]) -> Iterator[list[Row]]:
    max_rows, batch, size = max_batch_rows(table, DEFAULT_BATCH_ROWS), list[Row](), 0
    for row in rows:
        weight = request_bytes(row)
        if batch and (len(batch) >= max_rows or size + weight > MAX_BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += weight
    if batch:
        yield batch


def _check_images(session: Session, table: Table, rows: Sequence[Row]) -> Steps[None]:
    """Raise SqlTypeMismatch for the first row whose image cannot be fetched, naming its key."""
    embeddings = yield from session.image_embeddings(table)
    if not embeddings:
        return
    reasons: dict[int, RowRejected] = yield BlockingCall(lambda client: unreadable_rows(embeddings, rows))
    for at, error in sorted(reasons.items()):
        key = table.primary.name
        which = f"with {key} {rows[at][key]!r}" if key in rows[at] else f"{at + 1} of {len(rows)}"
        raise SqlTypeMismatch(f"row {which}: {error.cause}", value=error.value, next_step=error.next_step)


def _with_written_count(error: StoreError | SqlError, count: int) -> NestvecError:
    if not count:
        return error
    remaining_rows = (
        "1 row was written and remains" if count == 1 else f"{count:,} rows were written and remain"
    )
    step = f"{error.next_step} {remaining_rows}: Milvus has no transactions."
    return error.reworded(next_step=step)
