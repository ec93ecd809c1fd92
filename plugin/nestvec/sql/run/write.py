"""Rows written to Milvus in batches that one request holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pymilvus import MilvusClient

from nestvec.catalog import Table
from nestvec.ingest.batches import BATCH_BYTES, ROWS, most_rows
from nestvec.ingest.convert import weigh
from nestvec.ingest.filling import filled_here, with_filled
from nestvec.ingest.seeing import unreadable
from nestvec.sql.plan.filter import literal
from nestvec.sql.run.dynamic import with_dynamic
from nestvec.sql.session import Session
from nestvec.steps import Job, Steps, call
from nestvec_schemas.errors import NestvecError, RowRejected, SqlError, SqlTypeMismatch, StoreError

STRONG = {"consistency_level": "Strong"}
"""How what is to be written over is read: with every write that came before."""

IDS = 1_000
"""Ids in one filter."""

Row = dict[str, object]


def partitions(session: Session, table: Table) -> Steps[tuple[str, ...]]:
    """The partitions whose rows are written over one by one; none where Milvus finds a row's by itself.

    Those that reads look in, where they are set; a row that is written over stays in its partition.
    """
    if any(one.partition_key for one in table.columns):
        return ()
    if session.settings.partitions:
        return session.settings.partitions
    names = yield call(f"listing the partitions of {table.name}", "list_partitions", table.name)
    return tuple(names) if len(names) > 1 else ()


def write(
    session: Session, table: Table, rows: Sequence[Row], *, partial: bool = False, partition: str = ""
) -> Steps[list[Any]]:
    """Insert rows, or, ``partial``, write the columns that they have over rows of their ids; those ids.

    Raises StoreError, ServiceError, SqlTypeMismatch for a row whose picture cannot be had; the error says how
    many rows are in where some are.
    """
    yield from session.served(table.services)
    ids: list[Any] = []
    method = "upsert" if partial else "insert"
    options: dict[str, Any] = {"partial_update": True} if partial else {}
    options |= {"partition_name": partition} if partition else {}
    for batch in _batches(table, rows):
        try:
            yield from _check_pictures(session, table, batch)
        except SqlError as error:
            raise _so_far(error, len(ids)) from error
        filled = batch
        if filled_here(table) and (not partial or any(one.source in batch[0] for one in filled_here(table))):
            filled = yield Job(_filling(table, batch))
        try:
            doing = f"writing {len(batch)} rows to {table.name}"
            found = yield call(doing, method, table.name, filled, **options)
        except StoreError as error:
            raise _so_far(error, len(ids)) from error
        ids += list(found.get("ids") or [row.get(table.primary.name) for row in batch])
    return ids


def existing(
    session: Session, table: Table, ids: Sequence[object], fields: Sequence[str], partition: str = ""
) -> Steps[dict[Any, Any]]:
    """The rows of these ids that are there, with the fields asked for, by id."""
    yield from session.loaded(table.name)
    key, found = table.primary.name, dict[Any, Any]()
    where: dict[str, Any] = {"partition_names": [partition]} if partition else {}
    for start in range(0, len(ids), IDS):
        read = tuple(dict.fromkeys([key, *fields]))
        rows = yield call(
            f"looking up rows of {table.name}",
            "query",
            table.name,
            filter=of_ids(table, ids[start : start + IDS]),
            output_fields=list(read),
            limit=IDS,
            **where,
            **STRONG,
        )
        found |= {row[key]: row for row in with_dynamic(session, table.name, read, rows)}
    return found


def of_ids(table: Table, ids: Sequence[Any]) -> str:
    """The filter that is true of these ids."""
    return f"{table.primary.name} in [{', '.join(literal(one) for one in ids)}]"


def _filling(table: Table, rows: list[Row]) -> Callable[[MilvusClient], list[Row]]:
    return lambda client: with_filled(table, rows)


def _batches(table: Table, rows: Sequence[Row]) -> Iterator[list[Row]]:
    most, batch, size = most_rows(table, ROWS), list[Row](), 0
    for row in rows:
        weight = weigh(row)
        if batch and (len(batch) >= most or size + weight > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += weight
    if batch:
        yield batch


def _check_pictures(session: Session, table: Table, rows: Sequence[Row]) -> Steps[None]:
    """Raise SqlTypeMismatch, by its key, for the first of the rows whose picture cannot be had."""
    looked = yield from session.seeing(table)
    if not looked:
        return
    reasons: dict[int, RowRejected] = yield Job(lambda client: unreadable(looked, rows))
    for at, error in sorted(reasons.items()):
        key = table.primary.name
        which = f"with {key} {rows[at][key]!r}" if key in rows[at] else f"{at + 1} of {len(rows)}"
        raise SqlTypeMismatch(f"row {which}: {error.cause}", value=error.value, next_step=error.next_step)


def _so_far(error: StoreError | SqlError, written: int) -> NestvecError:
    if not written:
        return error
    step = f"{error.next_step} {written:,} rows are written already, and stay: Milvus has no transactions."
    return type(error)(error.cause, value=error.value, next_step=step)
