"""Rows in batches, each for one request to Milvus."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from nestvec.datasets.readers import SourceRow
from nestvec.ingest.check.unchanged_rows import UnchangedRows
from nestvec.ingest.convert import convert_row, request_bytes
from nestvec.ingest.rejects import RejectedRow
from nestvec.ingest.row_schema import RowSchema
from nestvec.milvus.catalog import Table
from nestvec.milvus.providers import MAX_INSERT_ROWS
from nestvec_schemas.errors import IngestError, RowRejected

DEFAULT_BATCH_ROWS: Final = 256
MAX_BATCH_BYTES: Final = 16 << 20
"""A quarter of what Milvus's gRPC accepts in one request."""


def check_batch_rows(batch: int) -> None:
    """Raise IngestError for a number of rows that no request may have."""
    if not 1 <= batch <= MAX_INSERT_ROWS:
        raise IngestError(
            "a batch cannot have this many rows",
            value=batch,
            next_step=f"Choose 1 to {MAX_INSERT_ROWS} rows.",
        )


def max_batch_rows(table: Table, batch: int) -> int:
    """Rows in one request: ``batch``, or as many as Milvus accepts for this table."""
    return min([batch, *(embedding.endpoint.max_insert_rows for embedding in table.embeddings)])


@dataclass(frozen=True)
class RowBatch:
    """Consecutive rows of a source: those to store, and those that cannot be stored."""

    start: int
    """Rows of the source before it."""

    read: int
    """Number of rows read."""

    rows: tuple[dict[str, object], ...] = ()
    """The rows to store, as Milvus takes them."""

    source_rows: tuple[SourceRow, ...] = ()
    """The rows to store, as they were read."""

    positions: tuple[int, ...] = ()
    """Where the rows to store are among those read, in ascending order."""

    rejected: tuple[RejectedRow, ...] = ()
    rejected_positions: tuple[int, ...] = ()
    """Where the rejected rows are among those read, in ascending order."""

    def without(self, reasons: Mapping[int, RowRejected]) -> RowBatch:
        """The batch with the rows at these indexes of ``rows`` rejected."""
        if not reasons:
            return self
        accepted = [index for index in range(len(self.rows)) if index not in reasons]
        rejected = dict(zip(self.rejected_positions, self.rejected, strict=True))
        for index, reason in reasons.items():
            rejected[self.positions[index]] = reject(self.source_rows[index], reason)
        positions = sorted(rejected)
        return replace(
            self,
            rows=tuple(self.rows[index] for index in accepted),
            source_rows=tuple(self.source_rows[index] for index in accepted),
            positions=tuple(self.positions[index] for index in accepted),
            rejected=tuple(rejected[position] for position in positions),
            rejected_positions=tuple(positions),
        )

    def split(self, count: int) -> tuple[RowBatch, RowBatch]:
        """Two batches: the first has ``count`` of the rows to store, fewer than all."""
        at = self.positions[count]
        rejects = bisect_left(self.rejected_positions, at)
        first = replace(
            self,
            read=at,
            rows=self.rows[:count],
            source_rows=self.source_rows[:count],
            positions=self.positions[:count],
            rejected=self.rejected[:rejects],
            rejected_positions=self.rejected_positions[:rejects],
        )
        second = RowBatch(
            start=self.start + at,
            read=self.read - at,
            rows=self.rows[count:],
            source_rows=self.source_rows[count:],
            positions=tuple(position - at for position in self.positions[count:]),
            rejected=self.rejected[rejects:],
            rejected_positions=tuple(position - at for position in self.rejected_positions[rejects:]),
        )
        return first, second

    def followed_by(self, other: RowBatch) -> RowBatch:
        """This batch and the one that begins where it ends, as one."""
        return RowBatch(
            start=self.start,
            read=self.read + other.read,
            rows=self.rows + other.rows,
            source_rows=self.source_rows + other.source_rows,
            positions=self.positions + tuple(self.read + position for position in other.positions),
            rejected=self.rejected + other.rejected,
            rejected_positions=self.rejected_positions
            + tuple(self.read + position for position in other.rejected_positions),
        )


class _BatchBuilder:
    """Builds a batch of at most ``max_rows`` rows and MAX_BATCH_BYTES."""

    def __init__(self, max_rows: int, key: str | None, start: int) -> None:
        self.max_rows, self.key, self.start = max_rows, key, start
        self.read = self.bytes = 0
        self.rows: list[dict[str, object]] = []
        self.source_rows: list[SourceRow] = []
        self.positions: list[int] = []
        self.rejected: list[RejectedRow] = []
        self.rejected_positions: list[int] = []
        self.keys: set[object] = set()

    @property
    def full(self) -> bool:
        return max(len(self.rows), len(self.rejected)) >= self.max_rows

    def add(self, item: SourceRow, row: dict[str, object], size: int) -> bool:
        """Add a row, if it fits: within the bytes, and with a key of its own, since Milvus refuses
        duplicates."""
        if self.bytes + size > MAX_BATCH_BYTES and self.rows:
            return False
        if self.key is not None:
            key = row.get(self.key)
            if key in self.keys:
                return False
            self.keys.add(key)
        self.rows.append(row)
        self.source_rows.append(item)
        self.positions.append(self.read)
        self.read += 1
        self.bytes += size
        return True

    def reject(self, item: SourceRow, reason: RowRejected) -> None:
        self.rejected.append(reject(item, reason))
        self.rejected_positions.append(self.read)
        self.read += 1

    def batch(self) -> RowBatch:
        return RowBatch(
            self.start,
            self.read,
            rows=tuple(self.rows),
            source_rows=tuple(self.source_rows),
            positions=tuple(self.positions),
            rejected=tuple(self.rejected),
            rejected_positions=tuple(self.rejected_positions),
        )

    def next(self) -> _BatchBuilder:
        """The builder of the batch after this one."""
        return _BatchBuilder(self.max_rows, self.key, self.start + self.read)


def batch_rows(
    items: Iterable[SourceRow], schema: RowSchema, max_rows: int, start: int = 0
) -> Iterator[RowBatch]:
    """Batches of at most ``max_rows`` rows and MAX_BATCH_BYTES that contain all ``items`` in order.

    ``start`` is the number of rows of the source before ``items``.

    A row whose primary key is in the batch already begins the next one: the last row of a key is the one
    stored.
    """
    key = None if schema.table.primary.auto_id else schema.table.primary.name
    builder = _BatchBuilder(max_rows, key, start)
    unchanged = UnchangedRows(schema)
    for item in items:
        try:
            row, size = _convert_item(item, schema, unchanged)
        except RowRejected as reason:
            builder.reject(item, reason)
        else:
            if not builder.add(item, row, size):
                yield builder.batch()
                builder = builder.next()
                builder.add(item, row, size)
        if builder.full:
            yield builder.batch()
            builder = builder.next()
    if builder.read:
        yield builder.batch()


def reject(item: SourceRow, reason: RowRejected) -> RejectedRow:
    """A row that was read, as rejected for a reason."""
    return RejectedRow(item.place, reason, item.raw if isinstance(item.value, RowRejected) else item.value)


def _convert_item(
    item: SourceRow, schema: RowSchema, unchanged: UnchangedRows
) -> tuple[dict[str, object], int]:
    if isinstance(item.value, RowRejected):
        raise item.value
    size = unchanged.size(item.value)
    if 0 < size <= MAX_BATCH_BYTES:
        return dict(item.value), size
    row = convert_row(item.value, schema)
    size = request_bytes(row)
    if size > MAX_BATCH_BYTES:
        raise RowRejected(
            "the row is larger than 16 MiB", value=f"{size} bytes", next_step="Store less in one row."
        )
    return row, size


def request_rows(rows: Sequence[dict[str, Any]], max_rows: int) -> Iterator[list[dict[str, Any]]]:
    """Rows as Milvus stores them, in parts of at most ``max_rows`` rows and MAX_BATCH_BYTES."""
    part, size = list[dict[str, Any]](), 0
    for row in rows:
        weight = request_bytes(row)
        if part and (len(part) >= max_rows or size + weight > MAX_BATCH_BYTES):
            yield part
            part, size = [], 0
        part.append(row)
        size += weight
    if part:
        yield part
