"""What a report says of the rows of a file beside their number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from nestvec.datasets.readers import RowSource, SourceRow
from nestvec.ingest.batches import RowBatch
from nestvec.ingest.check.mapped_columns import MappedColumns
from nestvec.ingest.check.repeated_keys import RepeatedKeys
from nestvec.ingest.rejects import MAX_REASONS, rejection_reasons
from nestvec.ingest.row_schema import RowSchema


class RowNotes:
    """Notes the rows of a file as they are read, and then as they are stored or rejected."""

    def __init__(self, schema: RowSchema, source: RowSource) -> None:
        key, mapping = schema.table.primary, schema.mapping
        # A header was checked before any row.
        unchecked = mapping.renamed if mapping is not None and source.columns is None else {}
        self._columns = MappedColumns(unchecked)
        self._keys = RepeatedKeys(None if key.auto_id else key.name)
        self._reasons: list[str] = []

    def follow(self, items: Iterable[SourceRow]) -> Iterator[SourceRow]:
        """The items, as they are read."""
        return self._columns.follow(items)

    def add(self, part: RowBatch) -> None:
        """Note rows that are stored, or can be, and those that are rejected."""
        self._keys.add(part.rows)
        self._reasons += rejection_reasons(part.rejected)[: MAX_REASONS - len(self._reasons)]

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the first few rejected rows were."""
        return tuple(self._reasons)

    @property
    def replaced(self) -> int:
        """Rows whose key a later row has."""
        return self._keys.count

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the rows lack that the options name."""
        return self._columns.warnings()
