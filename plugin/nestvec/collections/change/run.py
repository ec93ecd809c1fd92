"""A change of a collection from its plan to its end, from wherever an earlier command left it."""

from __future__ import annotations

import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from pymilvus import MilvusClient

from nestvec.collections.change.copy import Copy, generated_keys
from nestvec.collections.change.copy_writer import RequestTimes
from nestvec.collections.change.definition import Change
from nestvec.collections.change.design import (
    CHANGE_PROPERTY,
    PREVIOUS_PROPERTY,
    build_schema,
    check_key,
    create_beside,
)
from nestvec.collections.change.interrupted import (
    check_unfinished,
    interrupted,
    open_change,
    read_mark,
    remove_mark,
)
from nestvec.collections.change.journal import ChangeJournal
from nestvec.collections.change.measure import measure
from nestvec.collections.change.new_values import new_values
from nestvec.collections.change.plan import ChangePlan, FieldPlan, Measured, Names, change_names, plan_change
from nestvec.collections.change.repair import mark_differing
from nestvec.collections.change.rows import RowReader, may_pass
from nestvec.collections.change.switch import (
    check_name,
    existing_names,
    is_switched,
    move_aliases,
    switch,
)
from nestvec.collections.change.verify import verify_copy
from nestvec.ingest.options import DeliveryOptions
from nestvec.ingest.write.faults import classify
from nestvec.ingest.write.names import leads_to, resolve
from nestvec.ingest.write.patience import Patience
from nestvec.ingest.write.writable import mark_retired
from nestvec.milvus.catalog import Table, read_table
from nestvec.milvus.connection import milvus_errors
from nestvec.milvus.lite import is_lite, load_lite
from nestvec.terminal.progress import Advance, Meter
from nestvec_schemas.errors import StoreInUse, StoreRefused, StoreUnreachable

_MAX_MERGES: Final = 5
"""Passes after the switch that may each find changes: who writes before it has written after two."""


_MAX_PASSED_KEYS: Final = 100_000
"""Keys that the new collection passes over at most; each takes a write."""


@dataclass(frozen=True)
class ChangeOptions:
    """How a change is carried out."""

    keep_old: bool = False
    """Whether the collection of before remains, for a rollback."""

    rows_per_second: float | None = None
    """At most; None for as many as the servers take."""

    delivery: DeliveryOptions = field(default_factory=DeliveryOptions)
    stop: Callable[[], bool] = lambda: False
    advance: Advance = lambda rows: None
    row_values: Mapping[str, Iterator[Any]] = field(default_factory=dict)
    """By new column whose default gives every row a value of its own, those values as Milvus stores them."""


@dataclass(frozen=True)
class ChangeReport:
    """The result of a change."""

    collection: str
    rows: int
    """Rows of the collection now."""

    seconds: float
    """Of this run."""

    fields: tuple[str, ...]
    """The fields that were filled."""

    old: str | None = None
    """The collection of before, if it was kept."""


def prepare(client: MilvusClient, collection: str, change: Change, *, keep_old: bool = False) -> ChangePlan:
    """The plan of a change, after a check of everything that can be checked before.

    The services of the new fields must respond. Raises CollectionNotFound, SpecError, StoreError,
    ServiceError, EncoderError.
    """
    check_name(client, collection)
    source = resolve(client, collection)
    existing = existing_names(client)
    check_unfinished(client, collection, existing)
    table, lite = read_table(client, source), is_lite(client)
    with milvus_errors(f"describing collection {source}"):
        described = client.describe_collection(source)
    check_key(described, lite=lite)
    load_lite(client, source)
    reader = RowReader(client, source, table, tuple(_stored(table, change)), lite=lite, patience=Patience(0))
    rows = reader.count()
    _check_generated_keys(reader, rows)
    names = change_names(collection, source, existing)
    plan_change(table, change, names, Measured(rows), keep_old=keep_old)  # before a service is called
    build_schema(client, described, change)
    return plan_change(table, change, names, measure(client, reader, rows, change), keep_old=keep_old)


def plan_or_continue(
    client: MilvusClient, collection: str, change: Change, *, keep_old: bool = False
) -> tuple[ChangePlan, bool]:
    """The plan of a change, and whether it has begun. Raises as ``prepare``, and JournalMismatch."""
    unfinished = interrupted(client, collection)
    if unfinished is None:
        return prepare(client, collection, change, keep_old=keep_old), False
    with open_change(client, collection) as journal:
        journal.check(change.identity())
    return ChangePlan(unfinished.names, FieldPlan(), rows=0, seconds=None, bytes=0, keep_old=keep_old), True


def serving_tables(
    client: MilvusClient, collection: str, change: Change
) -> tuple[tuple[str, ...], tuple[Table, ...]]:
    """The services that a change needs, and the table whose fields they fill before and after it."""
    unfinished = interrupted(client, collection)
    name = collection if unfinished is None else unfinished.before(client) or unfinished.names.target
    table = read_table(client, name)
    remaining = tuple(item for item in table.embeddings if item.column not in change.drop)
    table = replace(table, embeddings=remaining)
    new = (field.service for field in change.fields.values())
    return tuple(dict.fromkeys((*table.services, *new))), (table,)


def run_change(
    client: MilvusClient, plan: ChangePlan, change: Change, options: ChangeOptions = ChangeOptions()
) -> ChangeReport:
    """Carry out a plan: fill the new collection, compare it, let readers use it, drop that of before.

    An interrupted change continues. Raises StoreInUse while another command changes the collection,
    JournalMismatch if an interrupted change is another one; StoreError, ServiceError, IngestError: readers
    use the collection of before then, or the new one if it was complete; StopRequested.
    """
    started = time.monotonic()
    with open_change(client, plan.names.collection) as journal:
        identity = change.identity()
        journal.check(identity)
        if journal.names is None:
            _check_current(client, plan.names)
            mark = f"{uuid.uuid4().hex} {socket.gethostname()} {datetime.now(UTC):%Y-%m-%d %H:%M}Z"
            journal.begin(identity, plan.names, mark, keep_old=options.keep_old)
        names = journal.names or plan.names
        options = replace(options, keep_old=options.keep_old or journal.keep_old)
        return _Run(client, replace(plan, names=names), change, options, journal).finish(started)


def _check_current(client: MilvusClient, names: Names) -> None:
    """Raise StoreInUse if another command has changed the collection since the plan was made."""
    present = resolve(client, names.collection)
    if names != change_names(names.collection, present, existing_names(client)):
        raise StoreInUse(
            f"{names.collection} was changed by another command since the plan was made",
            value=f"it leads to {present}",
            next_step="Run the command again.",
        )


@dataclass(frozen=True)
class _Run:
    """A change that is being carried out."""

    client: MilvusClient
    plan: ChangePlan
    change: Change
    options: ChangeOptions
    journal: ChangeJournal
    times: RequestTimes = field(default_factory=RequestTimes)

    @property
    def names(self) -> Names:
        return self.plan.names

    def finish(self, started: float) -> ChangeReport:
        """Do what is left to do, again from the journal whenever Milvus was lost meanwhile."""
        patience, lite = self._patience(), is_lite(self.client)
        while True:
            transactions = self.journal.writes
            try:
                return self._finish(started)
            except (StoreUnreachable, StoreRefused) as error:
                if not may_pass(error, lite=lite):
                    raise
                if self.journal.writes != transactions:
                    patience.succeeded()
                patience.wait(replace(classify(error), reason=str(error), absent=True), error)

    def _finish(self, started: float) -> ChangeReport:
        if not is_switched(self.client, self.names):
            resumed = self._create()
            self._fill(resumed=resumed)
            self._check_fields(self.names.source)
            switch(self.client, self.names)
        rows = self._end()
        old = self.names.retired if self.options.keep_old else None
        return ChangeReport(
            self.names.collection,
            rows,
            time.monotonic() - started,
            (*(column.name for column in self.change.columns), *self.change.fields),
            old,
        )

    def _create(self) -> bool:
        """Create the second collection; returns whether it was there already, from an earlier run."""
        names = self.names
        with milvus_errors(f"looking for collection {names.target}"):
            exists = bool(self.client.has_collection(names.target))
        if exists and read_mark(self.client, names.target) != self.journal.mark:
            raise StoreRefused(
                "a collection or alias of this name exists and is not part of this change",
                value=names.target,
                next_step="Rename or drop it; or run the command again with --restart for another name.",
            )
        if not exists:
            self.journal.forget_all()
            create_beside(self.client, self.plan, self.change, self.journal.mark)
        return exists

    def _fill(self, *, resumed: bool) -> None:
        load_lite(self.client, self.names.target)
        copy = self._copy(self.names.source)
        if isinstance(meter := self.options.advance, Meter):
            meter.total = copy.source.count()
            meter.skip(max(0, self.journal.count() - meter.done))  # those of this run count already
        copy.settle()
        if resumed and mark_differing(copy):
            copy.settle()
        new = [item for item in copy.table.embeddings if item.column in self.change.fields]
        before = {item.column: item for item in copy.source.table.embeddings}
        others = [item for item in copy.table.embeddings if item.column not in self.change.fields]
        # Of the other fields that Milvus fills again, the first collection says what made their vectors.
        computed = [before[item.column] for item in others if not item.caller_is_nestvec]
        verify_copy(copy, new, computed)
        if copy.target.key.auto_id:
            copy.reserve_keys()

    def _end(self) -> int:
        """Bring over what was written last, and remove what is not needed any more."""
        names, client = self.names, self.client
        load_lite(client, names.target)
        remains = leads_to(client, names.retired) == names.retired
        if remains:
            with milvus_errors(f"moving the aliases of {names.retired}"):
                mark_retired(client, names.retired, names.collection)
                move_aliases(client, names.retired, names.target)
            load_lite(client, names.retired)
            self._merge(self._copy(names.retired))
        with milvus_errors(f"completing the change of {names.collection}"):
            properties = client.describe_collection(names.target).get("properties") or {}
            if self.options.keep_old and remains:
                client.alter_collection_properties(names.target, {PREVIOUS_PROPERTY: names.retired})
            elif remains:
                client.drop_collection(names.retired)
            if names.plain_source and not client.has_collection(names.plain_source):
                client.create_alias(names.target, names.plain_source)
            if properties.get(CHANGE_PROPERTY):
                remove_mark(client, names.target)
        table = read_table(client, names.target)
        rows = RowReader(
            client, names.target, table, (), lite=is_lite(client), patience=self._patience()
        ).count()
        self.journal.remove()
        return rows

    def _merge(self, copy: Copy) -> None:
        """Bring over what was written before the switch, and by requests that began before it.

        Milvus looks up the collection of a request first, then has its texts embedded, then writes. So the
        rows are compared until none has changed for as long as a request takes. Raises StoreInUse if changes
        never end.
        """
        clock = self.options.delivery.clock
        for _ in range(_MAX_MERGES):
            began = clock.now()
            copy.merge()
            # Also if that took long: a row may have been written behind the pass that read it.
            while (rest := began + self.times.quiet_seconds() - clock.now()) > 0:
                copy.patience.check()
                clock.sleep(min(rest, 0.2))
            if not copy.merge():
                return
        raise StoreInUse(
            f"somebody still writes to the collection of before, which readers of {self.names.collection} do "
            "not use any more; it remains, with all of its rows",
            value=copy.source.collection,
            next_step=f"Have it write to {self.names.collection}; then the same command continues.",
        )

    def _copy(self, source: str) -> Copy:
        client, lite, patience = self.client, is_lite(self.client), self._patience()
        load_lite(client, source)
        before, after = self._check_fields(source)
        fields = tuple(_stored(before, self.change))
        new = tuple(item for item in after.embeddings if item.column in self.change.fields)
        names = self.change.new_names
        return Copy(
            source=RowReader(client, source, before, fields, lite=lite, patience=patience, new_fields=names),
            target=RowReader(client, self.names.target, after, fields, lite=lite, patience=patience),
            table=after,
            embeddings=new,
            journal=self.journal,
            patience=patience,
            advance=self.options.advance,
            rows_per_second=self.options.rows_per_second,
            times=self.times,
            new_values=new_values(self.change.columns, self.options.row_values),
        )

    def _check_fields(self, source: str) -> tuple[Table, Table]:
        """The tables of before and after. Raises StoreRefused if the first got fields that are not copied."""
        before, after = read_table(self.client, source), read_table(self.client, self.names.target)
        types = {column.name: column.type for column in after.columns}
        columns = [column for column in before.columns if column.name not in self.change.drop]
        lacking = [column.name for column in columns if types.get(column.name) != column.type]
        if lacking:
            raise StoreRefused(
                f"{self.names.collection} has new fields since its change began, which the copy lacks",
                value=", ".join(lacking),
                next_step=f"Add them to {after.name} too, with MilvusClient.add_collection_field; then the "
                "same command continues.",
            )
        return before, after

    def _patience(self) -> Patience:
        delivery = self.options.delivery
        return Patience(delivery.retry_seconds, self.options.stop, delivery.waiting, delivery.clock)


def _stored(table: Table, change: Change) -> list[str]:
    """The fields whose values are copied: neither dropped, nor what a Function of Milvus fills."""
    computed = set(table.generated) - {item.column for item in table.embeddings if item.caller_is_nestvec}
    names = [table.primary.name, *(column.name for column in table.columns), *table.hidden]
    return [name for name in dict.fromkeys(names) if name not in computed | set(change.drop)]


def _check_generated_keys(reader: RowReader, rows: int) -> None:
    """Raise StoreRefused if too many writes would pass before Milvus Lite generates keys that no row has."""
    if not reader.key.auto_id:
        return
    largest = max((int(str(key)) for key in generated_keys(reader)), default=0)
    if largest > rows + _MAX_PASSED_KEYS:
        raise StoreRefused(
            "Milvus Lite generates the keys of this collection by counting its writes, and would give new "
            "rows the keys of others",
            value=f"key {largest} of {rows} rows",
            next_step="Write its rows into a collection with keys of their own (auto_id: false).",
        )
