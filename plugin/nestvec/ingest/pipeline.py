"""Reading, embedding and writing at the same time, in the order of the source."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Final

from nestvec.ingest.background import Background
from nestvec.ingest.batches import RowBatch
from nestvec.ingest.embed_columns import client_side_columns, embed_columns
from nestvec.ingest.image_check import unreadable_rows
from nestvec.ingest.write.batch_size import BatchSize
from nestvec.ingest.write.delivery import Delivery
from nestvec.ingest.write.in_flight import deliver_in_order
from nestvec.ingest.write.patience import Patience, wait_for_service
from nestvec.ingest.write.writable import write_checked
from nestvec.ingest.write.writers import Writer
from nestvec.milvus.catalog import EmbeddingColumn, Table
from nestvec.service.in_process import compare_encoders

_READ_AHEAD: Final = 4
"""Batches that are read, and batches that are embedded, before they are written."""


@dataclass(frozen=True)
class WritePlan:
    """How the batches of a source are written."""

    table: Table
    writer: Writer
    patience: Patience

    max_rows: int
    """Rows of one request, at most."""

    requests: int = 1
    """Requests to Milvus at once, at most."""

    image_embeddings: tuple[EmbeddingColumn, ...] = ()
    """The embeddings whose images are checked before."""

    threads: bool = True
    """Whether the source may be read in another thread."""

    accepted: bool = False
    """Whether an earlier run wrote rows of this source."""

    @property
    def embeds(self) -> bool:
        """Whether rows need the service before Milvus."""
        return bool(self.image_embeddings or client_side_columns(self.table))

    def embed(self, batch: RowBatch) -> RowBatch:
        """The batch with what no Function of Milvus fills, and without the images that cannot be read.

        Raises ServiceError.
        """
        checked = batch.without(unreadable_rows(self.image_embeddings, batch.rows))
        return replace(checked, rows=tuple(embed_columns(self.table, checked.rows)))

    @cached_property
    def _unguarded_services(self) -> tuple[str, ...]:
        """The services that Milvus requests vectors from without naming the encoder that is recorded."""
        services = (column.service for column in self.table.embeddings if not column.is_guarded)
        return tuple(dict.fromkeys(services))

    def write(self, batch: RowBatch) -> RowBatch:
        """Write a batch and return it, if the encoders are still those that are recorded, before and after.

        Otherwise it does not count as written, and a writer whose batches may be repeated writes it again as
        it continues.

        Raises NestvecError, ServiceRefused or StoreRefused for another encoder, CollectionRetired for a
        collection of before a change, StopRequested.
        """
        stored_rows = write_checked(self.writer, self.table, self.patience, batch)
        if self._unguarded_services:
            compare = partial(compare_encoders, self._unguarded_services, (self.table,))
            wait_for_service(self.patience, compare)
        return stored_rows

    def keys(self, batch: RowBatch) -> frozenset[object]:
        """The primary keys of the batch's rows."""
        name = self.table.primary.name
        return frozenset(row[name] for row in batch.rows if name in row)


def written_parts(batches: Iterable[RowBatch], plan: WritePlan) -> Generator[RowBatch, None, None]:
    """The batches, or parts of them, in order, each after it was written.

    Raises what reading and ``Delivery.deliver`` raise. Close it if it is not iterated to the end.
    """
    check = plan.patience.check
    with ExitStack() as stack:
        if plan.threads:
            batches = stack.enter_context(Background(batches, _READ_AHEAD, check))
        if plan.embeds:
            size = BatchSize(plan.max_rows)
            embedding = Delivery(plan.embed, size, plan.patience, accepted=plan.accepted)
            batches = _deliver_each(batches, embedding)
            if plan.threads:
                batches = stack.enter_context(Background(batches, _READ_AHEAD, check))
        size = BatchSize(plan.max_rows)
        delivery = Delivery(
            plan.write,
            size,
            plan.patience,
            repeatable=plan.writer.repeatable,
            accepted=plan.accepted,
        )
        try:
            yield from deliver_in_order(batches, delivery, requests=plan.requests, keys=plan.keys)
        finally:
            # The threads that are left may wait for the service.
            plan.patience.aborted = True


def _deliver_each(batches: Iterable[RowBatch], delivery: Delivery) -> Iterator[RowBatch]:
    for batch in batches:
        yield from delivery.deliver(batch)
