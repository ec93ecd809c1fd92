"""Check the rows of a file as an ingest does, and write nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from nestvec.ingest.batches import batch_rows, max_batch_rows
from nestvec.ingest.check.row_notes import RowNotes
from nestvec.ingest.options import IngestOptions, IngestReport
from nestvec.ingest.run import open_rows
from nestvec.milvus.catalog import Table
from nestvec.terminal.progress import Advance


def check_rows(
    table: Table,
    path: Path,
    options: IngestOptions,
    advance: Advance = lambda rows: None,
    stop: Callable[[], bool] = lambda: False,
) -> IngestReport:
    """Read and convert a file's rows; ``inserted`` of the report counts those that can be stored.

    Neither Milvus nor the service is called: images are not checked. Raises FileUnreadable, IngestError.
    """
    started = time.monotonic()
    source, schema = open_rows(table, path, options)
    notes = RowNotes(schema, source)
    accepted, rejected, finished = 0, 0, True
    for batch in batch_rows(notes.follow(source.items()), schema, max_batch_rows(table, options.batch)):
        if stop():
            finished = False
            break
        accepted += len(batch.rows)
        rejected += len(batch.rejected)
        notes.add(batch)
        advance(batch.read)
    return IngestReport(
        inserted=accepted,
        rejected=rejected,
        seconds=time.monotonic() - started,
        reasons=notes.reasons,
        finished=finished,
        replaced=notes.replaced,
        warnings=notes.warnings if finished else (),
    )
