"""Rows gathered into what one request to Milvus may hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from nestvec.datasets.readers import SourceRow
from nestvec.ingest.convert import convert, weigh
from nestvec.ingest.rejects import Rejected
from nestvec.ingest.row_schema import Shape
from nestvec.milvus.catalog import Table
from nestvec_schemas.errors import RowRejected

ROWS: Final = 256
MOST_ROWS: Final = 5_120
"""Milvus takes 5 calls of the service an insert, each of 1,024 texts."""
COHERE_ROWS: Final = 480
"""5 calls of 96 texts, where its provider is ``cohere``."""
BATCH_BYTES: Final = 16 << 20
"""A quarter of what Milvus's gRPC takes in one request."""


def most_rows(table: Table, asked: int) -> int:
    """Rows in one request: as many as asked for, and as Milvus takes for this table."""
    cohere = any(one.endpoint.provider == "cohere" for one in table.embeddings)
    return min(asked, COHERE_ROWS) if cohere else asked


@dataclass(frozen=True)
class Batch:
    """What was made of ``read`` rows in order: those to store, and those that cannot be.

    ``items`` are what the ``rows`` were made of.
    """

    read: int
    rows: tuple[dict[str, object], ...]
    items: tuple[SourceRow, ...]
    rejected: tuple[Rejected, ...]

    def without(self, reasons: Mapping[int, RowRejected]) -> Batch:
        """The batch with the rows at these places rejected."""
        if not reasons:
            return self
        kept = [at for at in range(len(self.rows)) if at not in reasons]
        rejected = (_rejected(self.items[at], reason) for at, reason in sorted(reasons.items()))
        return replace(
            self,
            rows=tuple(self.rows[at] for at in kept),
            items=tuple(self.items[at] for at in kept),
            rejected=(*self.rejected, *rejected),
        )


class _Gathering:
    """A batch in the making; one per ``most`` rows, or per BATCH_BYTES of them."""

    def __init__(self, most: int, key: str | None) -> None:
        self.most, self.key = most, key
        self.read = self.bytes = 0
        self.rows: list[dict[str, object]] = []
        self.items: list[SourceRow] = []
        self.rejected: list[Rejected] = []
        self.keys: set[object] = set()

    def has_room(self, row: dict[str, object], size: int) -> bool:
        """Whether a row fits: not over the bytes, and no second row of one key, which Milvus refuses."""
        fits = not self.rows or self.bytes + size <= BATCH_BYTES
        return fits and (self.key is None or row.get(self.key) not in self.keys)

    @property
    def full(self) -> bool:
        return max(len(self.rows), len(self.rejected)) >= self.most

    def add(self, item: SourceRow, row: dict[str, object], size: int) -> None:
        self.read += 1
        if self.key is not None:
            self.keys.add(row.get(self.key))
        self.rows.append(row)
        self.items.append(item)
        self.bytes += size

    def reject(self, item: SourceRow, reason: RowRejected) -> None:
        self.read += 1
        self.rejected.append(_rejected(item, reason))

    def batch(self) -> Batch:
        return Batch(self.read, tuple(self.rows), tuple(self.items), tuple(self.rejected))


def batches(items: Iterable[SourceRow], shape: Shape, most: int) -> Iterator[Batch]:
    """Batches of at most ``most`` rows and BATCH_BYTES, in the order of ``items``; each item is in one.

    A row whose primary key is in the batch already begins the next one: the last row of a key stays.
    """
    key = None if shape.table.primary.auto_id else shape.table.primary.name
    gathering = _Gathering(most, key)
    for item in items:
        try:
            row, size = _made(item, shape)
        except RowRejected as reason:
            gathering.reject(item, reason)
        else:
            if not gathering.has_room(row, size):
                yield gathering.batch()
                gathering = _Gathering(most, key)
            gathering.add(item, row, size)
        if gathering.full:
            yield gathering.batch()
            gathering = _Gathering(most, key)
    if gathering.read:
        yield gathering.batch()


def _rejected(item: SourceRow, reason: RowRejected) -> Rejected:
    return Rejected(item.place, reason, item.raw if isinstance(item.value, RowRejected) else item.value)


def _made(item: SourceRow, shape: Shape) -> tuple[dict[str, object], int]:
    if isinstance(item.value, RowRejected):
        raise item.value
    row = convert(item.value, shape)
    size = weigh(row)
    if size > BATCH_BYTES:
        raise RowRejected(
            "the row is larger than 16 MiB", value=f"{size} bytes", next_step="Store less in one row."
        )
    return row, size
