"""What a bulk job does, and its result."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from nestvec.bulk.locations import is_remote
from nestvec.bulk.manifest import JobIdentity
from nestvec.bulk.on_ray import RayOptions
from nestvec.bulk.parquet import FileColumns
from nestvec.bulk.task import EngineChoice
from nestvec.ingest.options import IngestOptions
from nestvec.milvus.catalog import Table
from nestvec_schemas.errors import IngestError

DEFAULT_TASK_ROWS = 50_000

_MAX_FILE_BYTES = 256 << 20
"""Of the vectors of a task, beyond which it has fewer rows."""


@dataclass(frozen=True)
class BulkOptions:
    """How a source is embedded and imported."""

    source: str
    """A file, a folder, a pattern, or a store's address."""

    folder: str
    """Where the files and the manifest go."""

    rows: IngestOptions
    """How the files are read, and which columns they fill."""

    engine: EngineChoice
    ray: RayOptions = field(default_factory=RayOptions)

    task_rows: int = DEFAULT_TASK_ROWS
    """Rows of a task, at most."""

    imports: bool = True
    """Whether the files are imported."""

    def max_task_rows(self, table: Table) -> int:
        """Rows of a task, at most: ``task_rows``, or fewer if their vectors would be large."""
        row_bytes = FileColumns.of(table).row_bytes
        return min(self.task_rows, max(1, _MAX_FILE_BYTES // max(1, row_bytes)))

    def identity(self, table: Table) -> JobIdentity:
        """What a later run must have in common to continue."""
        options, columns = self.rows, FileColumns.of(table)
        return JobIdentity(
            source=self.source,
            reading="; ".join(filter(None, (options.reading.identity(), options.columns.identity()))),
            target=options.target,
            collection=table.name,
            columns=(
                *(f"{column.name} {column.type} {column.dim or ''}".strip() for column in columns.columns),
                *(f"{column.column}: {column.config.attributes()}" for column in table.embeddings),
                *(f"{column.column}: {column.config.fingerprint}" for column in table.embeddings),
            ),
            task_rows=self.max_task_rows(table),
        )


def default_folder(source: str, collection: str) -> str:
    """The folder of a job whose ``--to`` is omitted: beside the source. Raises IngestError for a store's."""
    is_pattern = any(character in source for character in "*?[") and not Path(source).exists()
    if is_remote(source) or is_pattern:
        raise IngestError(
            "a source in a store or a pattern needs a folder for the files",
            value=source,
            next_step="Name it with --to.",
        )
    return f"{source.rstrip('/')}.{collection}.bulk"


@dataclass
class WorkerReport:
    """What one worker did."""

    tokens: int = 0

    seconds: float = 0.0
    """In its tokenizer and its engine."""

    bytes_beyond_engine: int = 0
    """Its largest memory beyond what it had once the engine was loaded."""

    @property
    def tokens_per_second(self) -> float:
        """In its tokenizer and its engine."""
        return self.tokens / max(self.seconds, 1e-9)


@dataclass
class ImportReport:
    """What became of the collection."""

    imported: int = 0
    """Rows that this run imported."""

    stale: int = 0
    """Rows of before ``--restart`` that stay, though the source no longer has their keys."""


@dataclass
class BulkReport(ImportReport):
    """The result of a bulk job: of all runs, but for what is said to be of this one."""

    rows: int = 0
    """In the files."""

    rejected: int = 0
    reasons: tuple[str, ...] = ()
    tasks: int = 0
    resumed: int = 0
    """Tasks that earlier runs finished."""

    repeated: int = 0
    """Times that a task was begun again, as after a worker or a command was lost; and of an unfinished job,
    tasks that were begun."""

    seconds: dict[str, float] = field(default_factory=dict)
    """Of this run: ``total`` and ``import``; of all workers ``read``, ``tokenize``, ``engine`` and ``write``;
    and ``cpu``, the time of all of their threads."""

    workers: dict[str, WorkerReport] = field(default_factory=dict)
    """The workers of this run."""

    finished: bool = True
    """False if the run was stopped."""

    warnings: tuple[str, ...] = ()
    """Columns of ``--map`` that no row has."""

    @property
    def tokens(self) -> int:
        """Embedded by this run."""
        return sum(worker.tokens for worker in self.workers.values())
