"""The rows of one task after the other, as a worker reads them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

from nestvec.bulk.inputs.parts import check_part
from nestvec.bulk.lance_table import reopen_lance
from nestvec.bulk.locations import LocalCopies
from nestvec.bulk.plan import Task, source_header, table_columns
from nestvec.bulk.tables import partition_values
from nestvec.datasets.readers import RowPosition, RowSource, SourceRow, open_source
from nestvec.ingest.check.mapped_columns import MappedColumns
from nestvec.ingest.options import IngestOptions
from nestvec.ingest.row_schema import RowSchema, checked_schema
from nestvec.milvus.catalog import Table
from nestvec_schemas.errors import RowRejected


@dataclass(frozen=True)
class _Unread:
    """The rows of a file after the last task."""

    address: str
    start: int
    """Rows of the file before them."""

    items: Iterator[SourceRow]


class TaskRows:
    """Reads the rows of tasks.

    A file without parts is read on where the last task ended: the tasks of a worker come in order, and
    reading it from its beginning for each would take time that is quadratic in its rows.
    """

    def __init__(self, table: Table, reading: IngestOptions, copies: str = "") -> None:
        """``copies`` is the folder for local copies of remote files, see ``LocalCopies``."""
        reading = replace(reading, columns=table_columns(table, reading))
        self._table, self._reading, self._copies = table, reading, LocalCopies(copies)
        self._unread: _Unread | None = None
        self.mapped = MappedColumns({})
        """Which mapped columns the rows of the present task have, of a format without a header."""

    def open(self, task: Task) -> tuple[Iterator[SourceRow], RowSchema]:
        """The rows of a task, and what they may contain. Raises NestvecError, JournalMismatch if they are no
        longer there."""
        reading = self._reading
        self.mapped = MappedColumns({})
        if task.table is not None:
            table = reopen_lance(task.address, task.table.version, task.table.sha256)
            schema = checked_schema(self._table, table.columns, table.cells, reading.columns, table.name)
            return table.items(task.start, task.rows), schema
        self.check(task)
        source = open_source(self._copies.path(task.address), reading.kind, reading.reading)
        values = partition_values(task.partition)
        header = source_header(source, task.partition)
        schema = checked_schema(self._table, header, source.cells, reading.columns, source.input.name)
        self.mapped = MappedColumns(reading.columns.renamed if header is None else {})
        items = self.mapped.follow(self._items(task, source))
        return (_with_values(item, values) for item in items) if values else items, schema

    def check(self, task: Task) -> None:
        """Raise JournalMismatch if the rows of a task are not those that it was planned with."""
        if task.part is not None:
            check_part(self._copies.path(task.address), task.part, task.address)

    def _items(self, task: Task, source: RowSource) -> Iterator[SourceRow]:
        if task.part is not None:
            start = RowPosition(task.start, task.part.offset, task.part.lines)
            return islice(source.items(start), task.rows)
        if source.total is not None:
            return islice(source.items(task.start), task.rows)
        return self._read_on(task, source)

    def _read_on(self, task: Task, source: RowSource) -> Iterator[SourceRow]:
        unread, self._unread = self._unread, None  # none after a task that fails
        if unread is None or unread.address != task.address or unread.start > task.start:
            unread = _Unread(task.address, task.start, source.items(task.start))
        before = task.start - unread.start
        yield from islice(unread.items, before, before + task.rows)
        self._unread = replace(unread, start=task.start + task.rows)


def _with_values(item: SourceRow, values: dict[str, object]) -> SourceRow:
    if isinstance(item.value, RowRejected):
        return item
    return item._replace(value={**item.value, **values})
