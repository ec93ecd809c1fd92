"""Write rows in batches: those of a file with a journal, those in memory without."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from pymilvus import MilvusClient

from nestvec.datasets.readers import RowSource, SourceRow, open_source
from nestvec.ingest import journal as journals
from nestvec.ingest.batches import (
    DEFAULT_BATCH_ROWS,
    RowBatch,
    batch_rows,
    check_batch_rows,
    max_batch_rows,
)
from nestvec.ingest.check.row_notes import RowNotes
from nestvec.ingest.content import ContentHash, ContentHasher, RowDigests
from nestvec.ingest.finished import FinishedIngest, former_names, read_earlier, write_finished
from nestvec.ingest.image_check import image_columns
from nestvec.ingest.journal import LINE_FORMATS, Journal, PendingBatch, Progress, with_progress
from nestvec.ingest.options import DeliveryOptions, IngestOptions, IngestReport
from nestvec.ingest.pipeline import WritePlan, written_parts
from nestvec.ingest.rejects import MAX_REASONS, append_rejected, rejection_reasons, rejects_path
from nestvec.ingest.row_count import row_counter
from nestvec.ingest.row_schema import RowSchema, checked_schema, row_schema
from nestvec.ingest.write.patience import Patience, StopRequested, wait_for_milvus
from nestvec.ingest.write.stored_keys import WrittenCollection
from nestvec.ingest.write.writers import (
    SETTLE_SECONDS,
    CountedWriter,
    KeyedWriter,
    LiteKeyWriter,
    Writer,
    new_first_key,
    settle_count,
)
from nestvec.milvus.catalog import Table
from nestvec.milvus.connection import milvus_errors
from nestvec.milvus.lite import count_rows, is_lite
from nestvec.terminal.progress import Advance, Meter
from nestvec_schemas.errors import NestvecError


def ingest(
    client: MilvusClient,
    table: Table,
    path: Path,
    options: IngestOptions,
    advance: Advance = lambda rows: None,
    stop: Callable[[], bool] = lambda: False,
) -> IngestReport:
    """Write a JSONL, CSV or Parquet file's rows into a collection; continue where an interrupted run stopped.

    A service or a Milvus that is busy, restarts or is gone is waited for, as ``options.delivery`` says; rows
    that are refused one by one are rejected. ``stop`` is called before each batch; ``advance`` with the
    number of rows just read. Rows with a key of their own are upserted, so that a batch that is written twice
    is stored once, and so are rows that Milvus Lite would generate the keys of. If a Milvus server generates
    them, the journal has the collection's count before each batch, so nothing else may write to it meanwhile.

    Raises FileUnreadable, IngestError, JournalMismatch, StoreError, ServiceError; the journal remains then.
    """
    started = time.monotonic()
    check_batch_rows(options.batch)
    source, schema = open_rows(table, path, options)
    rejects = rejects_path(path, table.name, options.rejects)
    delivery = options.delivery
    patience = Patience(delivery.retry_seconds, stop, delivery.waiting, delivery.clock)
    target = _Target(client, table, is_lite(client), patience)
    where = journals.journal_path(source.anchor, table.name)
    journal = _read_journal(table, source, options, rejects)
    run = _FileIngest(where, rejects, journal, advance, RowNotes(schema, source))
    try:
        # Before the journal is written: nothing remains if the answer is no.
        finished = _may_store(target, source, options, run.journal)
        if finished:
            with _progress_in_errors(run, target, resumable=source.resumable):
                _write_rows(run, target, source, schema, options)
    except StopRequested:
        finished = False
    report = run.report(time.monotonic() - started, finished=finished)
    if finished:
        if table.primary.auto_id and report.inserted and source.resumable:
            done = target.finished(path, report.inserted, run.hasher.present())
            write_finished(source.anchor, run.journal.identity, done)
        journals.remove_journal(where)
    return report


def open_rows(table: Table, path: Path, options: IngestOptions) -> tuple[RowSource, RowSchema]:
    """A file, and what its rows may contain. Raises FileUnreadable, IngestError for a header that gives no
    row."""
    source = open_source(path, options.kind, options.reading)
    name = source.input.name
    return source, checked_schema(table, source.columns, source.cells, options.columns, name)


def _write_rows(
    run: _FileIngest, target: _Target, source: RowSource, schema: RowSchema, options: IngestOptions
) -> None:
    """Write the rows after those of earlier runs. Raises StopRequested, NestvecError."""
    run.settle(target)
    first = run.journal.reached
    run.begin(first)
    with run.hashing(source) as run.hasher:
        plan = target.plan(
            max_batch_rows(target.table, options.batch),
            options.delivery,
            writer=target.writer(run.journal.first_key, run.before_insert),
            check_images=options.on_error == "reject",
        )
        plan = replace(plan, accepted=first.inserted > 0)
        batches = batch_rows(run.following(source), schema, plan.max_rows, first.read)
        with closing(written_parts(batches, plan)) as parts:
            for part in parts:
                run.commit(part)


def insert_rows(
    client: MilvusClient,
    table: Table,
    rows: Iterable[Mapping[str, object]],
    *,
    batch: int = DEFAULT_BATCH_ROWS,
    advance: Advance = lambda rows: None,
    delivery: DeliveryOptions | None = None,
) -> IngestReport:
    """Write rows that are in memory, without a journal; rejected ones are counted and the first few
    explained.

    A service or a Milvus that does not respond is waited for. Raises IngestError, StoreError, ServiceError.
    """
    started = time.monotonic()
    check_batch_rows(batch)
    delivery = delivery or DeliveryOptions()
    schema = row_schema(table)
    patience = Patience(delivery.retry_seconds, waiting=delivery.waiting, clock=delivery.clock)
    target = _Target(client, table, is_lite(client), patience)
    writer = target.writer(new_first_key() if target.makes_keys else None, lambda batch, count: None)
    # The rows may belong to this thread, as those of an SQLite cursor do.
    plan = target.plan(max_batch_rows(table, batch), delivery, writer=writer, threads=False)
    inserted, rejected, reasons = 0, 0, list[str]()
    items = (SourceRow(f"row {number}", row) for number, row in enumerate(rows, 1))
    with closing(written_parts(batch_rows(items, schema, plan.max_rows), plan)) as parts:
        for part in parts:
            inserted += len(part.rows)
            rejected += len(part.rejected)
            reasons += rejection_reasons(part.rejected)[: MAX_REASONS - len(reasons)]
            advance(part.read)
    return IngestReport(inserted, rejected, time.monotonic() - started, tuple(reasons), this_run=inserted)


@dataclass(frozen=True)
class _Target:
    """A collection, and what it takes to write to it."""

    client: MilvusClient
    table: Table
    lite: bool
    patience: Patience

    @property
    def makes_keys(self) -> bool:
        """Whether nestvec makes the keys of a source's rows."""
        return self.table.primary.auto_id and self.lite

    def writer(self, first_key: int | None, before: Callable[[RowBatch, int], None]) -> Writer:
        """How rows are stored once; ``before`` is called if only the collection's count says whether they
        are."""
        if not self.table.primary.auto_id:
            return KeyedWriter(self.client, self.table, keeps_dynamic=self.lite and self.table.dynamic)
        if first_key is not None:
            return LiteKeyWriter(self.client, self.table, first_key)
        return CountedWriter(self.client, self.table, self.patience, before)

    def plan(
        self,
        max_rows: int,
        delivery: DeliveryOptions,
        *,
        writer: Writer,
        check_images: bool = True,
        threads: bool = True,
    ) -> WritePlan:
        """How the batches are written."""
        # Writes to a collection of Milvus Lite must not be concurrent, and a count speaks for one batch.
        alone = self.lite or isinstance(writer, CountedWriter)
        return WritePlan(
            table=self.table,
            writer=writer,
            patience=self.patience,
            max_rows=max_rows,
            requests=1 if alone else delivery.requests,
            image_embeddings=image_columns(self.table) if check_images else (),
            threads=threads,
        )

    def collection_id(self) -> int:
        """Milvus's id of the collection; 0 if it has none."""
        with milvus_errors(f"describing {self.table.name}"):
            described = self.client.describe_collection(self.table.name)
        return int(described.get("collection_id") or 0)

    def described(self) -> WrittenCollection:
        """The collection that Milvus has now."""
        return WrittenCollection(self.table, self.collection_id())

    def finished(self, path: Path, rows: int, content: ContentHash) -> FinishedIngest:
        """The record of an ingest that ends now."""
        return FinishedIngest(
            file=str(path.absolute()),
            rows=rows,
            finished=time.time(),
            collection_id=self.collection_id(),
            content=content,
        )

    def count(self) -> int:
        """The collection's number of rows, once Milvus says it."""
        return settle_count(self._count, -1, self.patience, settle_seconds=0)

    def settled_count(self, expected: int, seconds: float) -> int:
        """The same, where it may still become ``expected`` for ``seconds``."""
        return settle_count(self._count, expected, self.patience, settle_seconds=seconds)

    def _count(self) -> int:
        return count_rows(self.client, self.table.name)


@dataclass
class _FileIngest:
    """The progress of a file's ingest."""

    journal_path: Path
    rejects: Path
    journal: Journal
    advance: Advance
    notes: RowNotes
    hasher: ContentHasher = field(init=False)
    collection: WrittenCollection = field(init=False)
    first: Progress = field(init=False)
    """The progress of earlier runs."""

    source: RowSource | None = None
    """The file, once it is read."""

    digests: RowDigests | None = None
    """The digests of the rows read, in a format whose files may become longer."""

    def __post_init__(self) -> None:
        self.first = self.journal.reached

    def settle(self, target: _Target) -> None:
        """Find out whether a batch that was being written is stored; writes the journal before any row."""
        journal = self.journal
        self.collection = wait_for_milvus(target.patience, target.described, resumes=True)
        check = partial(self.collection.check_has_rows_of, journal.reached, target.client)
        wait_for_milvus(target.patience, check, resumes=True)
        if journal.pending:
            pending = journal.pending
            lost = time.time() - self.journal_path.stat().st_mtime
            seconds = max(0.0, SETTLE_SECONDS - lost)
            count = target.settled_count(pending.count + pending.rows, seconds)
            journal = journals.settle_pending(journal, count)
        elif journal.reached.inserted:
            journal = journals.settle_pending(journal, target.count())
        if target.makes_keys and journal.first_key is None:
            journal = journal.model_copy(update={"first_key": new_first_key() - journal.reached.read})
        self.journal = journal
        journals.write_journal(self.journal_path, journal)

    def begin(self, first: Progress) -> None:
        """Show the rows of earlier runs."""
        self.first = first
        show = self.advance.skip if isinstance(self.advance, Meter) else self.advance
        show(first.read)

    def report(self, seconds: float, *, finished: bool) -> IngestReport:
        """The result of this run."""
        reached = self.journal.reached
        return IngestReport(
            inserted=reached.inserted,
            rejected=reached.rejected,
            seconds=seconds,
            reasons=self.notes.reasons,
            rejects=self.rejects if reached.rejected else None,
            resumed_at=self.first.read,
            finished=finished,
            this_run=reached.inserted - self.first.inserted,
            replaced=self.notes.replaced,
            warnings=self.notes.warnings if finished else (),
        )

    def following(self, source: RowSource) -> Iterator[SourceRow]:
        """The source's rows after those of earlier runs."""
        reached = self.journal.reached
        items = self.notes.follow(source.items(reached.read))
        if source.format not in LINE_FORMATS or not source.resumable:
            return items
        self.digests = RowDigests(reached.read, reached.rows_sha256)
        return self.digests.follow(items)

    def hashing(self, source: RowSource) -> ContentHasher:
        """The hasher of the source's file, which counts its rows too, where its bytes say how many it has."""
        self.source = source
        return ContentHasher(source.anchor, self.journal.identity.size, row_counter(source))

    def total(self) -> int | None:
        """The file's rows, once they are counted."""
        rows = self.hasher.rows()
        if rows is None or self.source is None:
            return None
        options = self.source.options
        rows -= int(self.source.columns is not None and options.columns is None)
        return rows if options.limit is None else min(rows, options.limit)

    def before_insert(self, part: RowBatch, count: int) -> None:
        """Note that a part is about to be written to a collection of ``count`` rows."""
        pending = PendingBatch(count=count, rows=len(part.rows), then=self._after(part))
        update = {"pending": pending, "content": self.hasher.present()}
        journals.write_journal(self.journal_path, self.journal.model_copy(update=update))

    def commit(self, part: RowBatch) -> None:
        """Note that a part is written."""
        update = {"reached": self._after(part), "pending": None, "content": self.hasher.present()}
        self.journal = self.journal.model_copy(update=update)
        journals.write_journal(self.journal_path, self.journal)
        if self.digests is not None:
            self.digests.forget(self.journal.reached.read)
        self.notes.add(part)
        if isinstance(self.advance, Meter) and self.advance.total is None:
            self.advance.total = self.total()
        self.advance(part.read)

    def _after(self, part: RowBatch) -> Progress:
        """The progress after a part; the rows that it rejects are in their file."""
        reached = self.journal.reached
        read = reached.read + part.read
        return Progress(
            read=read,
            rows_sha256=self.digests.after(read) if self.digests else "",
            inserted=reached.inserted + len(part.rows),
            rejected=reached.rejected + len(part.rejected),
            rejects_bytes=append_rejected(self.rejects, part.rejected, reached.rejects_bytes),
            collection_id=self.collection.id,
            last_keys=self.collection.last_keys(reached.last_keys, part, self.journal.first_key),
        )


def _read_journal(table: Table, source: RowSource, options: IngestOptions, rejects: Path) -> Journal:
    """The journal to continue from."""
    where = journals.journal_path(source.anchor, table.name)
    identity = journals.identify(
        source.anchor,
        format=source.format,
        reading="; ".join(filter(None, (options.reading.identity(), options.columns.identity()))),
        target=options.target,
        collection=table.name,
        encoders="; ".join(
            f"{embedding.column} {embedding.config.fingerprint}"
            for embedding in table.embeddings
            if embedding.config.fingerprint
        ),
        rejects=rejects,
    )
    if options.restart:
        journals.remove_journal(where)
    return journals.resume_journal(where, identity, source)


def _may_store(target: _Target, source: RowSource, options: IngestOptions, journal: Journal) -> bool:
    """Whether the file's rows are to be stored: a second time only if that is wanted."""
    begins = journal == Journal(identity=journal.identity)
    if not target.table.primary.auto_id or not begins or not source.resumable:
        return True
    former = former_names(target.client, target.table.name)
    before = read_earlier(source.anchor, journal.identity, former)
    if before is None or before.collection_id != target.collection_id() or not target.count():
        return True
    return options.again(before)


@contextmanager
def _progress_in_errors(run: _FileIngest, target: _Target, *, resumable: bool) -> Iterator[None]:
    """Errors say the progress of the ingest, and how to continue it."""
    try:
        yield
    except NestvecError as error:
        reached, generated = run.journal.reached, target.table.primary.auto_id
        wrote = reached.inserted > run.first.inserted
        raise with_progress(error, reached, generated=generated, resumable=resumable, wrote=wrote) from error
