"""Rows in batches, each for one request to Milvus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from nestvec.datasets.readers import SourceRow
from nestvec.ingest.convert import convert_row, request_bytes
from nestvec.ingest.rejects import RejectedRow
from nestvec.ingest.row_schema import RowSchema
from nestvec.milvus.catalog import Table
from nestvec_schemas.errors import RowRejected

DEFAULT_BATCH_ROWS: Final = 256
MAX_BATCH_BYTES: Final = 16 << 20
"""A quarter of what Milvus's gRPC accepts in one request."""


def max_batch_rows(table: Table, batch: int) -> int:
    """Rows in one request: ``batch``, or as many as Milvus accepts for this table."""
    return min([batch, *(embedding.endpoint.max_insert_rows for embedding in table.embeddings)])


@dataclass(frozen=True)
class RowBatch:
    """Consecutive rows: those to store, and those that cannot be stored."""

    read: int
    """Number of rows read."""

    rows: tuple[dict[str, object], ...]
    """The rows to store, as Milvus takes them."""

    source_rows: tuple[SourceRow, ...]
    """The rows to store, as they were read."""

    rejected: tuple[RejectedRow, ...]

    def without(self, reasons: Mapping[int, RowRejected]) -> RowBatch:
        """The batch with the rows at these positions rejected."""
        if not reasons:
            return self
        accepted = [position for position in range(len(self.rows)) if position not in reasons]
        rejected = (
            _reject(self.source_rows[position], reason) for position, reason in sorted(reasons.items())
        )
        return replace(
            self,
            rows=tuple(self.rows[position] for position in accepted),
            source_rows=tuple(self.source_rows[position] for position in accepted),
            rejected=(*self.rejected, *rejected),
        )


class _BatchBuilder:
    """Builds a batch of at most ``max_rows`` rows and MAX_BATCH_BYTES."""

    def __init__(self, max_rows: int, key: str | None) -> None:
        self.max_rows, self.key = max_rows, key
        self.read = self.bytes = 0
        self.rows: list[dict[str, object]] = []
        self.source_rows: list[SourceRow] = []
        self.rejected: list[RejectedRow] = []
        self.keys: set[object] = set()

    def has_room(self, row: dict[str, object], size: int) -> bool:
        """Whether a row fits: within the bytes, and with a key of its own, since Milvus refuses
        duplicates."""
        within_bytes = not self.rows or self.bytes + size <= MAX_BATCH_BYTES
        return within_bytes and (self.key is None or row.get(self.key) not in self.keys)

    @property
    def full(self) -> bool:
        return max(len(self.rows), len(self.rejected)) >= self.max_rows

    def add(self, item: SourceRow, row: dict[str, object], size: int) -> None:
        self.read += 1
        if self.key is not None:
            self.keys.add(row.get(self.key))
        self.rows.append(row)
        self.source_rows.append(item)
        self.bytes += size

    def reject(self, item: SourceRow, reason: RowRejected) -> None:
        self.read += 1
        self.rejected.append(_reject(item, reason))

    def batch(self) -> RowBatch:
        return RowBatch(self.read, tuple(self.rows), tuple(self.source_rows), tuple(self.rejected))


def batch_rows(items: Iterable[SourceRow], schema: RowSchema, max_rows: int) -> Iterator[RowBatch]:
    """Batches of at most ``max_rows`` rows and MAX_BATCH_BYTES that contain all ``items`` in order.

    A row whose primary key is in the batch already begins the next one: the last row of a key is the one
    stored.
    """
    key = None if schema.table.primary.auto_id else schema.table.primary.name
    builder = _BatchBuilder(max_rows, key)
    for item in items:
        try:
            row, size = _convert_item(item, schema)
        except RowRejected as reason:
            builder.reject(item, reason)
        else:
            if not builder.has_room(row, size):
                yield builder.batch()
                builder = _BatchBuilder(max_rows, key)
            builder.add(item, row, size)
        if builder.full:
            yield builder.batch()
            builder = _BatchBuilder(max_rows, key)
    if builder.read:
        yield builder.batch()


def _reject(item: SourceRow, reason: RowRejected) -> RejectedRow:
    return RejectedRow(item.place, reason, item.raw if isinstance(item.value, RowRejected) else item.value)


def _convert_item(item: SourceRow, schema: RowSchema) -> tuple[dict[str, object], int]:
    if isinstance(item.value, RowRejected):
        raise item.value
    row = convert_row(item.value, schema)
    size = request_bytes(row)
    if size > MAX_BATCH_BYTES:
        raise RowRejected(
            "the row is larger than 16 MiB", value=f"{size} bytes", next_step="Store less in one row."
        )
    return row, size
