"""Rows written to Milvus in batches that one request holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pymilvus import MilvusClient

from nestvec.ingest.batches import BATCH_BYTES, ROWS, most_rows
from nestvec.ingest.convert import weigh
from nestvec.ingest.embed_columns import filled_here, with_filled
from nestvec.ingest.image_check import unreadable
from nestvec.milvus.catalog import Table
from nestvec.milvus.steps import Job, Steps, call
from nestvec.sql.execute.dynamic import with_dynamic_fields
from nestvec.sql.plan.filter import literal
from nestvec.sql.session import Session
from nestvec_schemas.errors import NestvecError, RowRejected, SqlError, SqlTypeMismatch, StoreError

STRONG_CONSISTENCY = {"consistency_level": "Strong"}
"""How what is to be written over is read: with every write that came before."""

MAX_IDS_PER_FILTER = 1_000
"""Ids in one filter."""

Row = dict[str, object]


def write_partitions(session: Session, table: Table) -> Steps[tuple[str, ...]]:
    """The partitions whose rows are written over one by one; none where Milvus finds a row's by itself.

    Those that reads look in, where they are set; a row that is written over stays in its partition.
    """
    if any(column.partition_key for column in table.columns):
        return ()
    if session.settings.partitions:
        return session.settings.partitions
    names = yield call(f"listing the partitions of {table.name}", "list_partitions", table.name)
    return tuple(names) if len(names) > 1 else ()


def write_rows(
    session: Session, table: Table, rows: Sequence[Row], *, partial: bool = False, partition: str = ""
) -> Steps[list[Any]]:
    """Insert rows, or, ``partial``, write the columns that they have over rows of their ids; those ids.

    Raises StoreError, ServiceError, SqlTypeMismatch for a row whose picture cannot be had; the error says how
    many rows are in where some are.
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
        if filled_here(table) and (
            not partial or any(embedding.source in batch[0] for embedding in filled_here(table))
        ):
            filled = yield Job(_embed_columns(table, batch))
        try:
            doing = f"writing {len(batch)} rows to {table.name}"
            response = yield call(doing, method, table.name, filled, **options)
        except StoreError as error:
            raise _with_written_count(error, len(ids)) from error
        ids += list(response.get("ids") or [row.get(table.primary.name) for row in batch])
    return ids


def read_by_ids(
    session: Session, table: Table, ids: Sequence[object], fields: Sequence[str], partition: str = ""
) -> Steps[dict[Any, Any]]:
    """The rows of these ids that are there, with the fields asked for, by id."""
    yield from session.ensure_loaded(table.name)
    key, rows_by_id = table.primary.name, dict[Any, Any]()
    options: dict[str, Any] = {"partition_names": [partition]} if partition else {}
    for start in range(0, len(ids), MAX_IDS_PER_FILTER):
        read = tuple(dict.fromkeys([key, *fields]))
        rows = yield call(
            f"looking up rows of {table.name}",
            "query",
            table.name,
            filter=ids_filter(table, ids[start : start + MAX_IDS_PER_FILTER]),
            output_fields=list(read),
            limit=MAX_IDS_PER_FILTER,
            **options,
            **STRONG_CONSISTENCY,
        )
        rows_by_id |= {row[key]: row for row in with_dynamic_fields(session, table.name, read, rows)}
    return rows_by_id


def ids_filter(table: Table, ids: Sequence[Any]) -> str:
    """The filter that is true of these ids."""
    return f"{table.primary.name} in [{', '.join(literal(row_id) for row_id in ids)}]"


def _embed_columns(table: Table, rows: list[Row]) -> Callable[[MilvusClient], list[Row]]:
    return lambda client: with_filled(table, rows)


def _batches(table: Table, rows: Sequence[Row]) -> Iterator[list[Row]]:
    max_rows, batch, size = most_rows(table, ROWS), list[Row](), 0
    for row in rows:
        weight = weigh(row)
        if batch and (len(batch) >= max_rows or size + weight > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += weight
    if batch:
        yield batch


def _check_images(session: Session, table: Table, rows: Sequence[Row]) -> Steps[None]:
    """Raise SqlTypeMismatch, by its key, for the first of the rows whose picture cannot be had."""
    embeddings = yield from session.image_embeddings(table)
    if not embeddings:
        return
    reasons: dict[int, RowRejected] = yield Job(lambda client: unreadable(embeddings, rows))
    for at, error in sorted(reasons.items()):
        key = table.primary.name
        which = f"with {key} {rows[at][key]!r}" if key in rows[at] else f"{at + 1} of {len(rows)}"
        raise SqlTypeMismatch(f"row {which}: {error.cause}", value=error.value, next_step=error.next_step)


def _with_written_count(error: StoreError | SqlError, count: int) -> NestvecError:
    if not count:
        return error
    step = f"{error.next_step} {count:,} rows are written already, and stay: Milvus has no transactions."
    return type(error)(error.cause, value=error.value, next_step=step)
