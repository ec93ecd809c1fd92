"""How rows are ingested, and the result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from nestvec.datasets.readers import ReadOptions
from nestvec.ingest.batches import DEFAULT_BATCH_ROWS
from nestvec.ingest.columns import ColumnMap
from nestvec.ingest.finished import FinishedIngest
from nestvec.ingest.write.patience import DEFAULT_RETRY_SECONDS, Clock, Waiting
from nestvec_schemas.on_error import OnError

DEFAULT_REQUESTS: Final = 4


@dataclass(frozen=True)
class DeliveryOptions:
    """How hard a write is tried, and how many requests are in flight."""

    retry_seconds: float = DEFAULT_RETRY_SECONDS
    """How long a service or a Milvus that does not respond is waited for, since the last success."""

    requests: int = DEFAULT_REQUESTS
    """Requests to a Milvus server at once. Milvus Lite takes one at a time."""

    waiting: Callable[[Waiting], None] = lambda waiting: None
    """Called before each wait."""

    clock: Clock = field(default_factory=Clock)


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
    """The name of the format; None for the file's extension."""

    reading: ReadOptions = field(default_factory=ReadOptions)
    """What the content of the file does not say."""

    columns: ColumnMap = field(default_factory=ColumnMap)
    """Which columns of the file fill which columns of the collection."""

    restart: bool = False
    """Whether to ignore the journal of an interrupted run."""

    on_error: OnError = "reject"
    """What becomes of a row whose image cannot be fetched or read."""

    delivery: DeliveryOptions = field(default_factory=DeliveryOptions)

    again: Callable[[FinishedIngest], bool] = lambda finished: True
    """Whether to store the rows of a file a second time, where Milvus generates the keys."""


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

    replaced: int = 0
    """Rows among those of this run, of the first 16 million or so, whose key a later row has, which replaced
    them."""

    warnings: tuple[str, ...] = ()
    """What no row of this run had, although the options name it."""
