"""One task of a bulk job: read rows, embed them, write files, and last the record that says so."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from nestvec.bulk.embedding import (
    EngineEmbedding,
    ServiceEmbedding,
    TextEmbedding,
    VectorOutput,
    base_names,
)
from nestvec.bulk.inputs.task_rows import TaskRows
from nestvec.bulk.locations import OutputFolder
from nestvec.bulk.manifest import (
    FILES,
    REJECTED,
    OutputFile,
    TaskRecord,
    note_begun,
    read_record,
    record_name,
)
from nestvec.bulk.parquet import FileColumns, FileWriter
from nestvec.bulk.plan import WINDOW, Task
from nestvec.engines.factory import EngineOptions
from nestvec.images import ImagePolicy
from nestvec.ingest.background import Background
from nestvec.ingest.batches import RowBatch, batch_rows
from nestvec.ingest.options import IngestOptions
from nestvec.ingest.rejects import MAX_REASONS, RejectedRow, rejection_reasons
from nestvec.milvus.catalog import EmbeddingColumn, Table
from nestvec_schemas.errors import JournalMismatch, NestvecError, RowRejected
from nestvec_schemas.repository import encoder_names

_READ_AHEAD: Final = 1
_MAXRSS_UNIT: Final = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True)
class EngineChoice:
    """What embeds in each worker."""

    models: Path
    options: EngineOptions = field(default_factory=EngineOptions)
    images: ImagePolicy = field(default_factory=ImagePolicy)

    service: str | None = None
    """The address of a service that embeds instead."""

    def open(self, encoders: tuple[str, ...]) -> TextEmbedding:
        """Load the engine. Raises NestvecError."""
        if self.service is not None:
            return ServiceEmbedding(self.service)
        return EngineEmbedding(self.models, encoders, self.options, self.images)

    def size(self, encoders: tuple[str, ...]) -> int:
        """Bytes of the files of encoders that each worker loads; 0 if it loads none, or they are not here."""
        if self.service is not None or self.options.name == "triton" or not self.models.is_dir():
            return 0
        names = base_names(self.models, encoders) or encoder_names(self.models)
        return sum(
            path.stat().st_size
            for name in names
            for path in (self.models / name).rglob("*")
            if path.is_file()
        )


@dataclass(frozen=True)
class Work:
    """What the tasks of a job have in common."""

    table: Table
    folder: str
    reading: IngestOptions
    engine: EngineChoice

    max_file_bytes: int = 512 << 20
    """A file that has reached this size is followed by another one."""

    plan: str = ""
    """The id of the job's plan."""

    copies: str = ""
    """The folder for local copies of input files, on the machine of the command."""

    @property
    def embeddings(self) -> tuple[EmbeddingColumn, ...]:
        """The collection's columns that are embedded."""
        return self.table.embeddings

    @property
    def encoders(self) -> tuple[str, ...]:
        """Their encoders."""
        return tuple(dict.fromkeys(column.config.encoder for column in self.embeddings))


def vector_output(column: EmbeddingColumn) -> VectorOutput:
    """How a column is embedded: as the requests of whoever fills it."""
    return VectorOutput(column.column, column.config, column.endpoint.sends_prompts)


class TaskRunner:
    """Runs tasks in one process, which loads the engine once."""

    def __init__(self, work: Work, embedding: TextEmbedding | None = None) -> None:
        """``embedding`` is what embeds; None to load the engine with the first row."""
        self.work, self.folder = work, OutputFolder(work.folder)
        self.rows = TaskRows(work.table, work.reading, work.copies)
        self.columns = FileColumns.of(work.table)
        self._embedding = embedding
        self._engine_bytes = 0
        self._outputs: dict[str, list[VectorOutput]] = {}
        for column in work.embeddings:
            self._outputs.setdefault(column.source, []).append(vector_output(column))
        self._nullable_vectors = [
            column.name for column in work.table.columns if column.type_params.null_flag
        ]

    def __call__(self, task: Task) -> TaskRecord:
        """Run a task, unless its record says that it is done: Ray runs one again whose result was lost with a
        node. Raises NestvecError, JournalMismatch if its rows are no longer there."""
        earlier = read_record(self.folder, record_name(task))
        if earlier is not None and (earlier.task, earlier.plan) == (task, self.work.plan):
            return earlier
        note_begun(self.folder, task, self.work.plan)
        course = _Course(task, cpu_before=time.process_time())
        with ExitStack() as stack:
            batches = stack.enter_context(Background(self._batches(task, course), _READ_AHEAD))
            files = _Files(self, task, course)
            stack.callback(files.discard)
            # Written while the next rows are embedded; at most one batch waits.
            writer = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="nestvec-write"))
            writing: Future[None] | None = None
            for batch in batches:
                course.read += batch.read
                embedded = self._embed(batch, course)
                if writing is not None:
                    writing.result()
                writing = writer.submit(files.write, *embedded)
                course.rejected += [self._placed(row, task) for row in course.pending]
                course.pending.clear()
            if writing is not None:
                writing.result()
            self.rows.check(task)
            if course.read != task.rows:
                raise JournalMismatch(
                    "a file has fewer rows than when the bulk job was begun",
                    value=f"{task.address}: {course.read} of {task.rows} rows after row {task.start}",
                    next_step="Restore it to continue, or begin again with --restart.",
                )
            files.close()
        if course.rejected:
            lines = b"".join(row.line() for row in course.rejected)
            self.folder.write(f"{REJECTED}/{task.name}.jsonl", lines)
        record = TaskRecord(
            task=task,
            files=tuple(files.published),
            rows=sum(file.rows for file in files.published),
            rejected=len(course.rejected),
            reasons=tuple(rejection_reasons(course.rejected[:MAX_REASONS])),
            tokens=course.tokens,
            seconds={name: round(seconds, 4) for name, seconds in course.all_seconds().items()},
            worker=f"{socket.gethostname()}:{os.getpid()}",
            engine_bytes=self._engine_bytes,
            peak_bytes=_peak_bytes(),
            plan=self.work.plan,
            unmapped=self.rows.mapped.missing,
            columns=self.rows.mapped.names if self.rows.mapped.missing else (),
        )
        self.folder.write(record_name(task), record.model_dump_json().encode())
        return record

    def _batches(self, task: Task, course: _Course) -> Iterator[RowBatch]:
        started = time.perf_counter()
        items, schema = self.rows.open(task)
        for batch in batch_rows(items, schema, WINDOW, task.start):
            course.seconds["read"] += time.perf_counter() - started
            yield batch
            started = time.perf_counter()

    def _embed(self, batch: RowBatch, course: _Course) -> tuple[RowBatch, dict[str, Any]]:
        """A batch without the rows that cannot be embedded, and the vectors of the others by column."""
        batch = batch.without(self._without_source(batch) | self._without_vector(batch))
        vectors: dict[str, Any] = {}
        failed: dict[int, RowRejected] = {}
        if batch.rows and self._outputs:
            if self._embedding is None:
                self._embedding = self.work.engine.open(self.work.encoders)
                self._engine_bytes = _peak_bytes()
            for source, outputs in self._outputs.items():
                texts = [str(row[source]) for row in batch.rows]
                embedded = self._embedding.embed(texts, outputs)
                vectors |= embedded.columns
                failed |= {at: _rejection(source, error) for at, error in embedded.failed.items()}
                course.tokens += embedded.tokens
                course.seconds["tokenize"] += embedded.tokenize_seconds
                course.seconds["engine"] += embedded.engine_seconds
        if failed:
            accepted = [at for at in range(len(batch.rows)) if at not in failed]
            vectors = {
                name: [values[at] for at in accepted] if isinstance(values, list) else values[accepted]
                for name, values in vectors.items()
            }
            batch = batch.without(failed)
        course.pending += batch.rejected
        return batch, vectors

    def _without_source(self, batch: RowBatch) -> dict[int, RowRejected]:
        return {
            at: RowRejected(
                f"column {source} is null, so there is nothing to embed",
                next_step="Write a text, or drop the row.",
            )
            for at, row in enumerate(batch.rows)
            for source in self._outputs
            if source not in row
        }

    def _without_vector(self, batch: RowBatch) -> dict[int, RowRejected]:
        return {
            at: RowRejected(
                f"column {name} is null, which bulk files of vectors cannot hold",
                next_step="Write the row by nestvec ingest.",
            )
            for name in self._nullable_vectors
            for at, row in enumerate(batch.rows)
            if name not in row
        }

    def _placed(self, row: RejectedRow, task: Task) -> RejectedRow:
        name = task.address.partition("?")[0].rstrip("/").rpartition("/")[2]
        return replace(row, place=f"{name}, {row.place}")


@dataclass
class _Course:
    """What a task has done so far."""

    task: Task
    read: int = 0
    rejected: list[RejectedRow] = field(default_factory=list)
    pending: list[RejectedRow] = field(default_factory=list)
    tokens: int = 0
    seconds: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(("read", "tokenize", "engine", "write"), 0.0)
    )

    cpu_before: float = 0.0
    """CPU time of this process at the start of the task."""

    def all_seconds(self) -> dict[str, float]:
        """By phase, and the CPU time of the task so far."""
        return {**self.seconds, "cpu": time.process_time() - self.cpu_before}


class _Files:
    """The files of one task. Each is named after its content, so that a task that runs twice, as after a
    node was lost, never changes a file that a record names."""

    def __init__(self, runner: TaskRunner, task: Task, course: _Course) -> None:
        self._runner, self._task, self._course = runner, task, course
        self._temporary = ExitStack()
        self._path = Path()
        self._writer: FileWriter | None = None
        self.published: list[OutputFile] = []

    def write(self, batch: RowBatch, vectors: dict[str, Any]) -> None:
        """Add rows."""
        if not batch.rows:
            return
        started = time.perf_counter()
        runner = self._runner
        with runner.folder.write_errors():
            if self._writer is None:
                path = runner.folder.temporary(f"{FILES}/{self._task.name}")
                self._path = self._temporary.enter_context(path)
                self._writer = FileWriter(self._path, runner.columns)
            self._writer.add(batch.rows, vectors)
        self._course.seconds["write"] += time.perf_counter() - started
        if self._writer.size >= runner.work.max_file_bytes:
            self.close()

    def close(self) -> None:
        """Publish the file that is open, if there is one."""
        if self._writer is None:
            return
        started = time.perf_counter()
        writer, self._writer = self._writer, None
        with self._runner.folder.write_errors():
            digest = writer.close()
        name = f"{FILES}/{self._task.name}-{len(self.published)}-{digest[:12]}.parquet"
        self._runner.folder.publish(self._path, name)
        self.published.append(OutputFile(name=name, rows=writer.rows, size=writer.size, sha256=digest))
        self._temporary.close()
        self._course.seconds["write"] += time.perf_counter() - started

    def discard(self) -> None:
        """Remove what was not published."""
        writer, self._writer = self._writer, None
        # What cannot be written has been raised.
        with self._temporary, suppress(OSError):
            if writer is not None:
                writer.close()


def _peak_bytes() -> int:
    """The largest memory of this process so far; 0 where the system does not say."""
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_UNIT


def _rejection(source: str, error: NestvecError) -> RowRejected:
    value = {} if error.value is None else {"value": error.value}
    return RowRejected(f"column {source}: {error.cause}", next_step=error.next_step, **value)
