"""Writes rows to Milvus, in batches that fit one request."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pymilvus import MilvusClient

from nestvec.ingest.batches import DEFAULT_BATCH_ROWS, max_batch_rows, request_rows
from nestvec.ingest.embed_columns import client_side_columns, embed_columns
from nestvec.ingest.image_check import unreadable_rows
from nestvec.ingest.write.batch_size import BatchSize
from nestvec.ingest.write.faults import Fault, classify
from nestvec.ingest.write.patience import Patience
from nestvec.ingest.write.writable import check_patiently, check_writable
from nestvec.milvus.catalog import Table
from nestvec.milvus.providers import MAX_INSERT_ROWS
from nestvec.milvus.steps import BlockingCall, Steps, call
from nestvec.sql.execute.read import read_by_ids
from nestvec.sql.session import Session
from nestvec_schemas.errors import (
    CollectionRetired,
    NestvecError,
    RowRejected,
    ServiceError,
    SqlTypeMismatch,
    StoreError,
)

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
    session: Session,
    table: Table,
    rows: Sequence[Row],
    *,
    partial: bool = False,
    partition: str = "",
    written_ids: list[Any] | None = None,
) -> Steps[list[Any]]:
    """Insert rows, or, with ``partial``, overwrite their columns in the rows of their ids. Returns the ids.

    They are appended to ``written_ids``, those that the statement wrote before, if it is not None. A service
    or a Milvus that does not respond is waited for, as ``nestvec.retry_seconds`` says. Raises ServiceError,
    StoreError, and SqlTypeMismatch for a row whose image cannot be fetched, which say how many rows of the
    statement were written before.
    """
    patience = session.patience()
    yield from session.ensure_served(table.services, patience)
    write = _Write(table, partial, partition, patience, BatchSize(MAX_INSERT_ROWS))
    ids: list[Any] = [] if written_ids is None else written_ids
    with saying_changed(ids):
        for batch in request_rows(rows, max_batch_rows(table, DEFAULT_BATCH_ROWS)):
            yield from _check_images(session, table, batch)
            yield from write.run(batch, ids)
    return ids


def update_rows(
    session: Session, table: Table, rows: Mapping[Any, Row], written_ids: list[Any] | None = None
) -> Steps[list[Any]]:
    """Overwrite columns of the rows of these ids, each in the partition that it is in. Returns the ids.

    Raises as ``write_in_batches`` does, to whose ``written_ids`` the ids are appended.
    """
    pending, ids = dict(rows), [] if written_ids is None else written_ids
    for partition in (yield from write_partitions(session, table)) or ("",):
        here = list(pending)
        if partition:
            with saying_changed(ids):
                here = list((yield from read_by_ids(session, table, here, (), partition)))
        chosen = [pending.pop(row_id) for row_id in here]
        yield from write_in_batches(
            session, table, chosen, partial=True, partition=partition, written_ids=ids
        )
    return ids


@contextmanager
def saying_changed(ids: Sized, verb: str = "written") -> Iterator[None]:
    """Errors of the block say how many rows the statement has changed before: as many as there are ids."""
    try:
        yield
    except NestvecError as error:
        if not ids:
            raise
        raise error.after_writing(len(ids), verb) from error


@dataclass
class _Write:
    """Writes the batches of one statement, again while the service or Milvus does not respond."""

    table: Table
    partial: bool
    partition: str
    patience: Patience
    size: BatchSize

    repeated: bool = False
    """Whether a request is sent that may have been carried out before."""

    def run(self, batch: list[Row], ids: list[Any]) -> Steps[None]:
        """Write the rows, and append their ids."""
        pending = [batch]
        while pending:
            rows = pending.pop()
            if len(rows) > self.size.rows:
                pending.append(rows[self.size.rows :])
                rows = rows[: self.size.rows]
            try:
                response = yield from self._send(rows)
            except (StoreError, ServiceError) as error:
                fault = classify(error)
                if not self._may_repeat(fault):
                    raise
                if fault.fewer_rows:
                    self.size.failed(len(rows))
                pending.append(rows)
                yield BlockingCall(_wait(self.patience, fault, error))
                continue
            self.patience.succeeded()
            self.size.succeeded()
            ids += list(response.get("ids") or [row.get(self.table.primary.name) for row in rows])

    def _may_repeat(self, fault: Fault) -> bool:
        """Whether a failed request is sent again: not if its rows would be stored twice."""
        if fault.kind != "transient":
            return False
        if not fault.before_write:
            self.repeated = True
        return fault.before_write or self.partial or not self.table.primary.auto_id

    def _send(self, rows: list[Row]) -> Steps[Any]:
        table, filled = self.table, rows
        columns = client_side_columns(table)
        if columns and (not self.partial or any(column.source in rows[0] for column in columns)):
            filled = yield BlockingCall(lambda client: embed_columns(table, rows))
        yield from check_current(table)
        options: dict[str, Any] = {"partial_update": True} if self.partial else {}
        options |= {"partition_name": self.partition} if self.partition else {}
        # Rows that may be stored already are replaced by themselves.
        method = "upsert" if self.partial or (self.repeated and not table.primary.auto_id) else "insert"
        if method == "insert":
            # pymilvus would send it again: a server stores rows twice, also those of the same key.
            options["retry_times"] = 0
        doing = f"writing {len(rows)} rows to {table.name}"
        response = yield call(doing, method, table.name, filled, **options)
        with saying_changed(rows):
            yield from self._check_stored()
        return response

    def _check_stored(self) -> Steps[None]:
        """``check_current`` after a request, which is not sent again if Milvus is lost now."""
        table, patience = self.table, self.patience
        try:
            yield BlockingCall(lambda client: check_patiently(client, table, patience))
        except CollectionRetired as error:
            if not table.primary.auto_id:
                raise
            step = (
                "Keys are generated, and a change may have carried them over: look for them before they are "
                f"written again. {error.next_step}"
            )
            raise error.reworded(next_step=step) from error


def check_current(table: Table) -> Steps[None]:
    """Raise CollectionRetired or StoreRefused if a change has replaced the collection, or its encoder, since
    the session read it.

    Before a request nothing is lost by it; after one, nobody may see what it wrote.
    """
    yield BlockingCall(lambda client: check_writable(client, table))


def _wait(patience: Patience, fault: Fault, error: NestvecError) -> Callable[[MilvusClient], None]:
    return lambda client: patience.wait(fault, error)


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
