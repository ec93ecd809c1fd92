"""Passes over a collection that bring the one beside it to the same rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Final

from nestvec.collections.change.copy_writer import CopyWriter, RequestTimes
from nestvec.collections.change.journal import UNFINISHED, ChangeJournal
from nestvec.collections.change.new_values import NewValues
from nestvec.collections.change.rows import Page, Row, RowReader
from nestvec.datasets.readers import SourceRow
from nestvec.ingest.batches import DEFAULT_BATCH_ROWS, RowBatch, max_batch_rows, request_rows
from nestvec.ingest.pipeline import WritePlan, written_parts
from nestvec.ingest.write.patience import Patience, wait_for_milvus
from nestvec.ingest.write.stored_keys import key_filter
from nestvec.ingest.write.writers import KeyedWriter
from nestvec.milvus.catalog import EmbeddingColumn, Table
from nestvec.milvus.connection import milvus_errors
from nestvec.milvus.lite import write_alone
from nestvec_schemas.errors import IngestError, StoreRefused

_MAX_PASSES: Final = 20
"""Passes that may each find changes before the switch: the last one, after it, finds the rest."""

_LATE_ROWS: Final = 16
"""Rows of a request after the switch: nothing else may write them while Milvus embeds them."""

_GENERATED_KEYS: Final = 1 << 40
"""Keys that Milvus Lite generates are below: it counts, and nestvec's own have a time in them."""

_SPARE_KEYS: Final = 1_000
"""Keys that the first collection may generate between the last pass before the switch and that after it."""

Advance = Callable[[int], None]


@dataclass(frozen=True)
class Copy:
    """Two collections, and the journal of what of the first is in the second."""

    source: RowReader
    target: RowReader
    table: Table
    """The second collection."""

    embeddings: tuple[EmbeddingColumn, ...]
    """Its fields that nestvec embeds as it writes the rows."""

    journal: ChangeJournal
    patience: Patience
    advance: Advance = lambda rows: None
    rows_per_second: float | None = None
    """At most; None for as many as the servers take."""

    times: RequestTimes = field(default_factory=RequestTimes)
    new_values: NewValues = field(default_factory=NewValues)

    @property
    def client(self) -> Any:
        """The connection."""
        return self.target.client

    def settle(self) -> None:
        """Pass over the rows until a pass finds no change, or changes never end. Raises NestvecError."""
        for _ in range(_MAX_PASSES):
            if not self.pass_over():
                return

    def pass_over(self) -> int:
        """Write what was added to or changed in the first collection, and delete what was deleted there.

        Returns the number of those rows. A row that was copied is written again only if it changed since.
        Raises StoreRefused for one that somebody else has changed in the second collection.
        """
        number = self.journal.next_pass()
        changes = 0
        partitions = self._partitions()
        for partition in partitions:
            pages = self._own(self._changed(self._pages(partition, partitions, number), number))
            moved = self._moved(pages)
            changes += self._write(self._journalled(moved, number), partition, number)
        return changes + self._delete_unseen(number)

    def merge(self) -> int:
        """After the switch: bring over what was written to the first collection since the last pass.

        A row that was written to the second one since stays as it is: each request compares its rows at its
        end, once they are embedded. Returns the number of changes.
        """
        number, changes = self.journal.next_pass(), 0
        partitions = self._partitions()
        for partition in partitions:
            pages = self._changed(self._pages(partition, partitions, number), number)
            changes += self._write(self._unless_newer(pages, number), partition, number, after_switch=True)
        return changes + self._delete_unseen(number, unless_newer=True)

    def reserve_keys(self) -> None:
        """Have Milvus Lite generate other keys in the second collection than rows of the first one have, or
        get before the switch.

        It counts the rows that it writes, so a row is written again as often as there are keys to pass over.
        """
        keys = sorted(generated_keys(self.target), key=lambda key: int(str(key)), reverse=True)
        # The first collection may have passed over keys itself, at the change before.
        changes = int(self.table.name.rpartition("__")[2])
        spare = int(str(keys[0])) + 1 - self.target.count() + _SPARE_KEYS * changes if keys else 0
        silent = replace(self, advance=lambda rows: None, rows_per_second=None)
        for key in keys if spare > 0 else ():
            for partition in self.source.partitions():
                for row in self.source.rows([key], partition).values():
                    number = self.journal.next_pass()
                    silent._write(iter([Page(partition, (row,) * spare)]), partition, number)
                    return

    @property
    def _keeps_dynamic(self) -> bool:
        """Whether Milvus keeps dynamic fields of a row that is replaced by one without them."""
        return self.source.lite and self.table.dynamic

    def _partitions(self) -> tuple[str, ...]:
        """The partitions of the first collection; the second one has them, too."""
        partitions, present = self.source.partitions(), self.target.partitions()
        for partition in partitions:
            if partition not in present:
                with milvus_errors(f"creating partition {partition} of {self.table.name}"):
                    self.client.create_partition(self.table.name, partition)
        return partitions

    def _pages(self, partition: str, partitions: Sequence[str], number: int) -> Iterator[Page]:
        """The rows of a partition. Raises StoreRefused for one that another partition has, too."""
        key = self.source.key.name
        for page in self.source.pages((partition,)):
            if len(partitions) > 1:
                self._check_unique([row[key] for row in page.rows], number)
            yield page

    def _changed(self, pages: Iterable[Page], number: int) -> Iterator[Page]:
        """The rows that are not copied as they are now; the others are marked as seen."""
        key = self.source.key.name
        for page in pages:
            self._check_names(page.rows)
            recorded = self.journal.digests([row[key] for row in page.rows])
            digests = {row[key]: self.source.digests(row, page.partition) for row in page.rows}
            same = [(name, present[0]) for name, present in digests.items() if recorded.get(name) in present]
            self.journal.record(same, number)
            unchanged = {name for name, _ in same}
            yield replace(page, rows=tuple(row for row in page.rows if row[key] not in unchanged))

    def _check_names(self, rows: Sequence[Row]) -> None:
        """Raise IngestError for a row with a dynamic field of the name of a new one, which would hide it."""
        for row in rows:
            for name in self.source.new_fields & row.keys():
                raise IngestError(
                    f"a row of {self.source.collection} has a dynamic field of the same name as a new field: "
                    f"{name}",
                    value=f"{self.source.key.name} {str(row[self.source.key.name])[:60]}",
                    next_step="Remove it from the rows, and run the command again: it continues. Or give the "
                    "new field another name (name: in the spec of nestvec collection alter), with --restart.",
                )

    def _check_unique(self, keys: Sequence[object], number: int) -> None:
        """Raise StoreRefused for rows that several partitions have: nothing says which one is the row.

        Milvus Lite goes on showing a row in its partition after it was written to another.
        """
        doubled = self.source.in_several_partitions(self.journal.keys_in_pass(keys, number))
        # A row that was moved meanwhile is in one of them when both are read again.
        if doubled := self.source.in_several_partitions(doubled):
            raise StoreRefused(
                f"several partitions of {self.source.collection} have a row of the same key",
                value=f"{self.source.key.name} {_listed(doubled)}",
                next_step="Delete such rows, flush the collection, and insert them where they belong; then "
                "the same command continues. Move rows between partitions of Milvus Lite only so.",
            )

    def _moved(self, pages: Iterable[Page]) -> Iterator[Page]:
        """The same rows, after those that were in another partition are deleted there, and those whose
        dynamic fields they would keep in their own."""
        key = self.source.key.name
        for page in pages:
            recorded = list(self.journal.digests([row[key] for row in page.rows]))
            for partition in self.target.partitions() if recorded else ():
                if self._keeps_dynamic or partition != page.partition:
                    self._delete(list(self.target.rows(recorded, partition)))
            yield page

    def _own(self, pages: Iterable[Page]) -> Iterator[Page]:
        """The same rows, unless the second collection has one of them as somebody else wrote it."""
        for page in pages:
            self._check_own([row[self.source.key.name] for row in page.rows])
            yield page

    def _check_own(self, keys: Sequence[object]) -> None:
        """Raise StoreRefused for rows of the second collection that no pass sent."""
        recorded = self.journal.digests(keys)
        for partition in self.target.partitions() if recorded else ():
            rows = self.target.rows(list(recorded), partition)
            present = {key: self.target.digests(row, partition) for key, row in rows.items()}
            differing = {key: digests for key, digests in present.items() if recorded[key] not in digests}
            foreign = differing.keys() - self.journal.sent(differing)
            if foreign:
                raise foreign_rows(self.table.name, foreign)

    def _journalled(self, pages: Iterable[Page], number: int) -> Iterator[Page]:
        """The same rows, recorded: the second collection may have them if the command is killed now."""
        for page in pages:
            name = self.source.key.name
            marks = [(row[name], self.source.digest(row, page.partition)) for row in page.rows]
            self.journal.record_sent(marks, number)
            yield page

    def _unless_newer(self, pages: Iterable[Page], number: int) -> Iterator[Page]:
        """Of changed rows those that the second collection has as they were copied, or never had."""
        key = self.source.key.name
        for page in pages:
            untouched = self._untouched([row[key] for row in page.rows])
            newer = [
                (row[key], self.source.digest(row, page.partition))
                for row in page.rows
                if row[key] not in untouched
            ]
            self.journal.record(newer, number)
            yield replace(page, rows=tuple(row for row in page.rows if row[key] in untouched))

    def _write_late(self, writer: KeyedWriter, batch: RowBatch, number: int) -> None:
        """Write those rows of a batch that nobody has written to the second collection meanwhile.

        Nothing comes between in a Milvus Lite of this process; elsewhere only what Milvus carries out in the
        time of this one request.
        """
        key = self.source.key.name
        with write_alone(self.table.name) if self.target.lite else nullcontext():
            untouched = self._untouched([row[key] for row in batch.rows])
            rows = tuple(row for row in batch.rows if row[key] in untouched)
            rows = self.new_values.present(self.target, rows, writer.partition)
            self._delete_elsewhere([row[key] for row in rows], writer.partition, number)
            writer(replace(batch, rows=rows))

    def _delete_elsewhere(self, keys: Sequence[object], partition: str, number: int) -> None:
        """Delete rows that other partitions have; the journal says that they are to be written."""
        for other in self.target.partitions() if keys else ():
            moved = list(self.target.rows(keys, other)) if other != partition else []
            if moved:
                self.journal.record_sent(list(self.journal.digests(moved).items()), number)
                self._delete(moved)

    def _untouched(self, keys: Sequence[object]) -> set[object]:
        """Which of these rows the second collection has as they were copied, or lacks as they were not."""
        recorded = self.journal.digests(keys)
        present, same = set[object](), set[object]()
        for partition in self.target.partitions():
            rows = self.target.rows(keys, partition)
            present |= set(rows)
            digests = {key: self.target.digests(row, partition) for key, row in rows.items()}
            same |= {key for key in digests if recorded.get(key) in digests[key]}
            # A command may have been killed after it recorded that it would delete a row here.
            same |= self.journal.sent(
                {key: digests[key] for key in digests if recorded.get(key) == UNFINISHED}
            )
        absent = [key for key in keys if key not in present]
        return same | {key for key in absent if recorded.get(key, UNFINISHED) == UNFINISHED}

    def _delete_unseen(self, number: int, *, unless_newer: bool = False) -> int:
        deleted = 0
        for keys in self.journal.unseen(number):
            present = self.source.rows(keys)  # a row that was written again while its page was read
            gone = [key for key in keys if key not in present]
            if unless_newer:
                with write_alone(self.table.name) if self.target.lite else nullcontext():
                    untouched = self._untouched(gone)
                    self._delete([key for key in gone if key in untouched])
            else:
                self._check_own(gone)
                self._delete(gone)
            self.journal.forget(gone)
            deleted += len(gone)
        return deleted

    def _delete(self, keys: Sequence[object]) -> None:
        if not keys:
            return

        def delete() -> None:
            with milvus_errors(f"deleting {len(keys)} rows of {self.table.name}"):
                self.client.delete(self.table.name, filter=key_filter(self.target.key, keys))
                if self.target.lite and len(self.target.partitions()) > 1:
                    # Milvus Lite shows the row in its partition again if another gets one of its key before.
                    self.client.flush(self.table.name)

        wait_for_milvus(self.patience, delete, resumes=True)

    def _write(
        self, pages: Iterator[Page], partition: str, number: int, *, after_switch: bool = False
    ) -> int:
        """Write rows as an ingest does; after the switch few at once, those that nobody has written since,
        with NULL for each dynamic field that a row would keep of the one that it replaces.

        Raises IngestError for a row that is refused.
        """
        key, rows_stored = self.source.key.name, 0
        table = replace(self.table, embeddings=self.embeddings)
        max_rows = max_batch_rows(self.table, _LATE_ROWS if after_switch else DEFAULT_BATCH_ROWS)

        def write(writer: KeyedWriter, batch: RowBatch) -> None:
            if after_switch:
                self._write_late(writer, batch, number)
            else:
                writer(batch)

        keyed = KeyedWriter(self.client, self.table, partition, after_switch and self._keeps_dynamic)
        plan = WritePlan(
            table=table,
            writer=CopyWriter(keyed, write, self.times),
            patience=replace(self.patience),  # the pipeline ends the waits of its own at its end
            max_rows=max_rows,
            threads=False,
        )
        began = time.monotonic()
        with closing(written_parts(self._batches(pages, max_rows), plan)) as parts:
            for part in parts:
                for rejected in part.rejected:
                    raise IngestError(
                        f"a row of {self.source.collection} cannot be copied ({rejected.place}): "
                        f"{rejected.reason.cause}",
                        value=rejected.reason.value,
                        next_step=f"{rejected.reason.next_step} Correct or delete the row; then the same "
                        "command continues.",
                    )
                rows = [item.value for item in part.source_rows if isinstance(item.value, dict)]
                marks = [(row[key], self.source.digest(row, partition)) for row in rows]
                self.journal.record(marks, number)
                rows_stored += len(rows)
                self.advance(len(rows))
                self._hold_back(rows_stored, began)
        return rows_stored

    def _batches(self, pages: Iterator[Page], max_rows: int) -> Iterator[RowBatch]:
        start = 0
        for page in pages:
            for rows in request_rows(page.rows, max_rows):
                name = self.source.key.name
                yield RowBatch(
                    start,
                    len(rows),
                    rows=self.new_values.of(rows),
                    source_rows=tuple(SourceRow(f"{name} {str(row[name])[:60]}", row) for row in rows),
                    positions=tuple(range(len(rows))),
                )
                start += len(rows)

    def _hold_back(self, rows: int, began: float) -> None:
        """Wait until as many rows may have been written."""
        if self.rows_per_second is None:
            return
        clock = self.patience.clock
        until = began + rows / self.rows_per_second
        while (rest := until - time.monotonic()) > 0:
            self.patience.check()
            clock.sleep(min(rest, 0.2))


def generated_keys(reader: RowReader) -> list[object]:
    """The keys of a collection of Milvus Lite that it may have generated."""
    return [key for key in reader.all_keys() if str(key).isdigit() and int(str(key)) < _GENERATED_KEYS]


def foreign_rows(name: str, keys: Collection[object]) -> StoreRefused:
    """The error for rows of the second collection, ``name``, that somebody else wrote."""
    return StoreRefused(
        f"the copy {name} has rows that the change did not write; nothing was switched",
        value=_listed(keys),
        next_step="Write those that are to remain into the collection itself. Then run the command again "
        "with --restart, which drops the copy and copies all rows anew.",
    )


def _listed(keys: Collection[object]) -> str:
    names = sorted(str(key)[:60] for key in keys)
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
