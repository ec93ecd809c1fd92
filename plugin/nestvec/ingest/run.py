"""Write rows in batches: those of a file with a journal, those in memory without."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pymilvus import MilvusClient

from nestvec.collections.lifecycle import count_rows
from nestvec.datasets.readers import RowSource, SourceRow, open_source
from nestvec.ingest import journal as journals
from nestvec.ingest.batches import DEFAULT_BATCH_ROWS, RowBatch, batch_rows, max_batch_rows
from nestvec.ingest.embed_columns import embed_columns
from nestvec.ingest.image_check import image_columns, unreadable_rows
from nestvec.ingest.journal import Journal, PendingBatch, Progress
from nestvec.ingest.rejects import RejectedRow, append_rejected
from nestvec.ingest.row_schema import RowSchema, check_header, row_schema
from nestvec.milvus.catalog import EmbeddingColumn, Table
from nestvec.milvus.connection import milvus_errors
from nestvec.milvus.providers import MAX_INSERT_ROWS
from nestvec.terminal.progress import Advance
from nestvec_schemas.errors import IngestError, NestvecError
from nestvec_schemas.on_error import OnError

_MAX_REASONS = 5


@dataclass(frozen=True)
class IngestOptions:
    """How a file is ingested."""

    target: str
    """The address or path of the database, for the journal."""

    batch: int = DEFAULT_BATCH_ROWS
    """Rows of one request."""

    rejects: Path | None = None
    """The file of rejected rows; None for FILE.rejected.jsonl."""

    kind: str | None = None
    """``jsonl``, ``csv`` or ``parquet``; None for the file's extension."""

    restart: bool = False
    """Whether to ignore the journal of an interrupted run."""

    on_error: OnError = "reject"
    """What becomes of a row whose image cannot be fetched or read."""


@dataclass(frozen=True)
class IngestReport:
    """The result of an ingest."""

    inserted: int
    """Rows of the file that are in the collection, those of earlier runs included."""

    rejected: int
    """Rows of the file that were rejected, those of earlier runs included."""

    seconds: float
    """Of this run."""

    reasons: tuple[str, ...] = ()
    """The first few rejections of this run."""

    rejects: Path | None = None
    """The file of rejected rows, if there are any."""

    resumed_at: int = 0
    """Rows read by earlier runs."""

    finished: bool = True
    """False if the run was stopped."""

    this_run: int = 0
    """Rows inserted by this run."""


def ingest(
    client: MilvusClient,
    table: Table,
    path: Path,
    options: IngestOptions,
    advance: Advance = lambda rows: None,
    stop: Callable[[], bool] = lambda: False,
) -> IngestReport:
    """Write a JSONL, CSV or Parquet file's rows into a collection; continue where an interrupted run stopped.

    ``stop`` is called before each batch; ``advance`` with the number of rows just read. Rows with a key of
    their own are upserted, so that a batch that is written twice is stored once. If Milvus generates the
    keys, the journal has the collection's count before each batch, so nothing else may write to it
    meanwhile. Raises FileUnreadable, IngestError, JournalMismatch, StoreError, and ServiceError if
    nestvec embeds a column or checks images; the journal remains then.
    """
    started = time.monotonic()
    _check_batch(options.batch)
    source = open_source(path, options.kind)
    rejects = _rejects_path(path, table, options)
    schema = row_schema(table, source.cells)
    if source.columns is not None:
        check_header(source.columns, schema, path=str(path))
    where = journals.journal_path(path, table.name)
    journal = _open_journal(client, table, source, options, rejects)
    advance(journal.reached.read)
    image_embeddings = image_columns(table) if options.on_error == "reject" else ()
    run = _FileIngest(
        client=client,
        schema=schema,
        journal_path=where,
        rejects=rejects,
        journal=journal,
        advance=advance,
        image_embeddings=image_embeddings,
    )
    items = source.items(journal.reached.read)
    finished = run.through(batch_rows(items, schema, max_batch_rows(table, options.batch)), stop)
    if finished:
        journals.remove_journal(where)
    reached = run.journal.reached
    return IngestReport(
        inserted=reached.inserted,
        rejected=reached.rejected,
        seconds=time.monotonic() - started,
        reasons=tuple(run.reasons),
        rejects=rejects if reached.rejected else None,
        resumed_at=journal.reached.read,
        finished=finished,
        this_run=reached.inserted - journal.reached.inserted,
    )


def insert_rows(
    client: MilvusClient,
    table: Table,
    rows: Iterable[Mapping[str, object]],
    *,
    batch: int = DEFAULT_BATCH_ROWS,
    advance: Advance = lambda rows: None,
) -> IngestReport:
    """Write rows that are in memory, without a journal; rejected ones are counted and the first few
    explained.

    Raises IngestError, StoreError, ServiceError.
    """
    started = time.monotonic()
    _check_batch(batch)
    schema = row_schema(table)
    inserted, rejected, reasons = 0, 0, list[str]()
    image_embeddings = image_columns(table)
    items = (SourceRow(f"row {number}", row) for number, row in enumerate(rows, 1))
    for raw_batch in batch_rows(items, schema, max_batch_rows(table, batch)):
        checked = raw_batch.without(unreadable_rows(image_embeddings, raw_batch.rows))
        _write_rows(client, table, embed_columns(table, checked.rows))
        inserted += len(checked.rows)
        rejected += len(checked.rejected)
        reasons += _reasons(checked.rejected)[: _MAX_REASONS - len(reasons)]
        advance(checked.read)
    return IngestReport(inserted, rejected, time.monotonic() - started, tuple(reasons), this_run=inserted)


@dataclass
class _FileIngest:
    """The loop over a file's batches, and its progress."""

    client: MilvusClient
    schema: RowSchema
    journal_path: Path
    rejects: Path
    journal: Journal
    advance: Advance
    image_embeddings: Sequence[EmbeddingColumn]
    reasons: list[str] = field(default_factory=list)

    def through(self, row_batches: Iterator[RowBatch], stop: Callable[[], bool]) -> bool:
        """Write all batches. Returns whether all were written: False if ``stop`` ended it early."""
        try:
            while True:
                if stop():
                    return False
                batch = next(row_batches, None)
                if batch is None:
                    return True
                self._ingest_batch(batch.without(unreadable_rows(self.image_embeddings, batch.rows)))
        except NestvecError as error:
            raise _with_progress(error, self.journal.reached) from error

    def _ingest_batch(self, batch: RowBatch) -> None:
        reached, table = self.journal.reached, self.schema.table
        then = Progress(
            read=reached.read + batch.read,
            inserted=reached.inserted + len(batch.rows),
            rejected=reached.rejected + len(batch.rejected),
            rejects_bytes=append_rejected(self.rejects, batch.rejected, reached.rejects_bytes),
        )
        rows = embed_columns(table, batch.rows)
        if rows and table.primary.auto_id:
            pending = PendingBatch(count=count_rows(self.client, table.name), rows=len(rows), then=then)
            journals.write_journal(self.journal_path, self.journal.model_copy(update={"pending": pending}))
        _write_rows(self.client, table, rows)
        self.journal = self.journal.model_copy(update={"reached": then, "pending": None})
        journals.write_journal(self.journal_path, self.journal)
        self.reasons += _reasons(batch.rejected)[: _MAX_REASONS - len(self.reasons)]
        self.advance(batch.read)


def _open_journal(
    client: MilvusClient, table: Table, source: RowSource, options: IngestOptions, rejects: Path
) -> Journal:
    """The journal to continue from, its pending batch settled; written before any row."""
    where = journals.journal_path(source.path, table.name)
    identity = journals.identify(
        source.path,
        format=source.format,
        target=options.target,
        collection=table.name,
        rejects=rejects,
    )
    if options.restart:
        journals.remove_journal(where)
    journal = journals.resume_journal(where, identity)
    if journal.pending or journal.reached.inserted:
        journal = journals.settle_pending(journal, count_rows(client, table.name))
    journals.write_journal(where, journal)
    return journal


def _write_rows(client: MilvusClient, table: Table, rows: list[dict[str, object]]) -> None:
    if not rows:
        return
    with milvus_errors(f"writing {len(rows)} rows to {table.name}"):
        write = client.insert if table.primary.auto_id else client.upsert
        write(table.name, rows)


def _reasons(rejected: Iterable[RejectedRow]) -> list[str]:
    return [f"{row.place}: {row.reason}" for row in rejected]


def _check_batch(batch: int) -> None:
    if not 1 <= batch <= MAX_INSERT_ROWS:
        raise IngestError(
            "a batch cannot have this many rows",
            value=batch,
            next_step=f"Choose 1 to {MAX_INSERT_ROWS} rows.",
        )


def _rejects_path(path: Path, table: Table, options: IngestOptions) -> Path:
    rejects = options.rejects or path.with_name(f"{path.name}.rejected.jsonl")
    same = rejects.exists() and rejects.samefile(path)
    if same or rejects == journals.journal_path(path, table.name):
        raise IngestError(
            "the rejected rows would be written over the input or its journal",
            value=str(rejects),
            next_step="Name another file with --rejects.",
        )
    return rejects


def _with_progress(error: NestvecError, reached: Progress) -> NestvecError:
    """The error with the progress of the ingest, and how to continue it."""
    step = (
        f"{error.next_step} {reached.inserted} rows are stored and {reached.rejected} were rejected; "
        "the same command continues from there."
    )
    return error.reworded(next_step=step)
