"""The ingest itself: batch after batch, with a journal for a file and without for rows at hand."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pymilvus import MilvusClient

from nestvec.collections.lifecycle import count_rows
from nestvec.datasets.readers import CellTypes, RowSource, SourceRow, open_source
from nestvec.ingest import journal as journals
from nestvec.ingest.batches import MOST_ROWS, ROWS, Batch, batches, most_rows
from nestvec.ingest.embed_columns import with_filled
from nestvec.ingest.image_check import OnError, seeing, unreadable
from nestvec.ingest.journal import Journal, Pending, Reached
from nestvec.ingest.rejects import Rejected, append
from nestvec.ingest.row_schema import Shape, check_header, read_shape
from nestvec.milvus.catalog import Embedding, Table
from nestvec.milvus.connection import milvus_errors
from nestvec.terminal.progress import Advance
from nestvec_schemas.errors import IngestError, NestvecError

_REASONS = 5


@dataclass(frozen=True)
class Options:
    """How a file is ingested. ``target`` says which Milvus, for the journal; ``rejects`` and ``kind`` have
    defaults: FILE.rejected.jsonl, and the file's extension. ``on_error``: what becomes of a row whose picture
    cannot be had."""

    target: str
    batch: int = ROWS
    rejects: Path | None = None
    kind: str | None = None
    restart: bool = False
    on_error: OnError = "reject"


@dataclass(frozen=True)
class Report:
    """What came of it. ``inserted`` and ``rejected`` are of the whole file, also of the runs before.

    ``seconds``, ``this_run`` (rows inserted) and ``resumed_at`` (rows read before it) are this run's.
    ``reasons`` are its first few rejections; ``finished`` is False where it was told to stop.
    """

    inserted: int
    rejected: int
    seconds: float
    reasons: tuple[str, ...] = ()
    rejects: Path | None = None
    resumed_at: int = 0
    finished: bool = True
    this_run: int = 0


def ingest(
    client: MilvusClient,
    table: Table,
    path: Path,
    options: Options,
    advance: Advance = lambda rows: None,
    stop: Callable[[], bool] = lambda: False,
) -> Report:
    """Write a JSONL, CSV or Parquet file's rows into a collection; go on where an interrupted run stopped.

    ``stop`` is asked before each batch; ``advance`` gets the rows just read. Rows with a key of their own
    are upserted, so that a batch written twice is there once; where Milvus makes the keys, the journal
    holds the collection's count before each batch, so nothing else may write to it meanwhile.
    Raises FileUnreadable, IngestError, JournalMismatch, StoreError, ServiceError (where a column is
    filled here, or of pictures); the journal stays then.
    """
    started = time.monotonic()
    _check_batch(options.batch)
    source = open_source(path, options.kind)
    rejects = _rejects_path(path, table, options)
    shape = read_shape(client, table, source.cells)
    if source.columns is not None:
        check_header(source.columns, shape, path=str(path))
    where = journals.journal_path(path, table.name)
    journal = _begin(client, table, source, options, rejects)
    advance(journal.reached.read)
    looked = seeing(table) if options.on_error == "reject" else ()
    run = _Run(client, shape, where, rejects, journal, advance, looked)
    items = source.items(journal.reached.read)
    finished = run.through(batches(items, shape, most_rows(table, options.batch)), stop)
    if finished:
        journals.remove(where)
    reached = run.journal.reached
    return Report(
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
    batch: int = ROWS,
    advance: Advance = lambda rows: None,
) -> Report:
    """Write rows that are at hand, without a journal; rejected ones are counted and the first few explained.

    Raises IngestError, StoreError, ServiceError.
    """
    started = time.monotonic()
    _check_batch(batch)
    shape = read_shape(client, table, CellTypes())
    inserted, rejected, reasons = 0, 0, list[str]()
    looked = seeing(table)
    items = (SourceRow(f"row {number}", row) for number, row in enumerate(rows, 1))
    for found in batches(items, shape, most_rows(table, batch)):
        one = found.without(unreadable(looked, found.rows))
        _write(client, table, with_filled(table, one.rows))
        inserted += len(one.rows)
        rejected += len(one.rejected)
        reasons += _reasons(one.rejected)[: _REASONS - len(reasons)]
        advance(one.read)
    return Report(inserted, rejected, time.monotonic() - started, tuple(reasons), this_run=inserted)


@dataclass
class _Run:
    """The loop over a file's batches, and how far it is; pictures are ``looked`` at first."""

    client: MilvusClient
    shape: Shape
    where: Path
    rejects: Path
    journal: Journal
    advance: Advance
    looked: Sequence[Embedding]
    reasons: list[str] = field(default_factory=list)

    def through(self, found: Iterator[Batch], stop: Callable[[], bool]) -> bool:
        """Whether it went through to the end; False where it was told to stop."""
        try:
            while True:
                if stop():
                    return False
                batch = next(found, None)
                if batch is None:
                    return True
                self._one(batch.without(unreadable(self.looked, batch.rows)))
        except NestvecError as error:
            raise _so_far(error, self.journal.reached) from error

    def _one(self, batch: Batch) -> None:
        reached, table = self.journal.reached, self.shape.table
        then = Reached(
            read=reached.read + batch.read,
            inserted=reached.inserted + len(batch.rows),
            rejected=reached.rejected + len(batch.rejected),
            rejects_bytes=append(self.rejects, batch.rejected, reached.rejects_bytes),
        )
        rows = with_filled(table, batch.rows)
        if rows and table.primary.auto_id:
            pending = Pending(count=count_rows(self.client, table.name), rows=len(rows), then=then)
            journals.write(self.where, self.journal.model_copy(update={"pending": pending}))
        _write(self.client, table, rows)
        self.journal = self.journal.model_copy(update={"reached": then, "pending": None})
        journals.write(self.where, self.journal)
        self.reasons += _reasons(batch.rejected)[: _REASONS - len(self.reasons)]
        self.advance(batch.read)


def _begin(client: MilvusClient, table: Table, source: RowSource, options: Options, rejects: Path) -> Journal:
    """The journal to go on from, its pending batch settled; a first one is written before any row."""
    where = journals.journal_path(source.path, table.name)
    identity = journals.identify(
        source.path,
        format=source.format,
        target=options.target,
        collection=table.name,
        rejects=rejects,
    )
    if options.restart:
        journals.remove(where)
    journal = journals.resume(where, identity)
    if journal.pending or journal.reached.inserted:
        journal = journals.settle(journal, count_rows(client, table.name))
    journals.write(where, journal)
    return journal


def _write(client: MilvusClient, table: Table, rows: list[dict[str, object]]) -> None:
    if not rows:
        return
    with milvus_errors(f"writing {len(rows)} rows to {table.name}"):
        write = client.insert if table.primary.auto_id else client.upsert
        write(table.name, rows)


def _reasons(rejected: Iterable[Rejected]) -> list[str]:
    return [f"{one.place}: {one.reason}" for one in rejected]


def _check_batch(batch: int) -> None:
    if not 1 <= batch <= MOST_ROWS:
        raise IngestError(
            "a batch of this many rows is more than Milvus takes, or none",
            value=batch,
            next_step=f"Choose 1 to {MOST_ROWS} rows.",
        )


def _rejects_path(path: Path, table: Table, options: Options) -> Path:
    rejects = options.rejects or path.with_name(f"{path.name}.rejected.jsonl")
    same = rejects.exists() and rejects.samefile(path)
    if same or rejects == journals.journal_path(path, table.name):
        raise IngestError(
            "the rejected rows would be written over the input or its journal",
            value=str(rejects),
            next_step="Name another file with --rejects.",
        )
    return rejects


def _so_far(error: NestvecError, reached: Reached) -> NestvecError:
    """The error with how far the ingest is, and how it goes on."""
    step = (
        f"{error.next_step} {reached.inserted} rows are in and {reached.rejected} were rejected; "
        "the same command goes on from there."
    )
    if error.value is None:
        return type(error)(error.cause, next_step=step)
    return type(error)(error.cause, value=error.value, next_step=step)
