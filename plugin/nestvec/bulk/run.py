"""A bulk job from its plan to its report; an interrupted one continues where it stopped."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field

from pymilvus import MilvusClient

from nestvec.bulk import manifest as manifests
from nestvec.bulk.actor_pool import run_tasks
from nestvec.bulk.imports.lite import LiteTarget, OrderedInserts
from nestvec.bulk.imports.server import ServerImport, allow_vectors
from nestvec.bulk.imports.stale import EARLIER_KEYS, STALE_KEYS, keep_keys, list_stale
from nestvec.bulk.locations import OutputFolder, check_scheme, is_remote, is_within
from nestvec.bulk.manifest import (
    BEGUN,
    FILES,
    PLAN,
    REJECTED,
    TASKS,
    ImportRecord,
    JobIdentity,
    JobPlan,
    TaskRecord,
)
from nestvec.bulk.on_ray import cluster
from nestvec.bulk.options import BulkOptions, BulkReport, WorkerReport
from nestvec.bulk.plan import InputFile, Task, input_files, plan_tasks
from nestvec.bulk.task import Work
from nestvec.ingest.rejects import MAX_REASONS
from nestvec.ingest.write.patience import Patience, StopRequested
from nestvec.ingest.write.writable import check_writable
from nestvec.ingest.write.writers import new_first_key
from nestvec.milvus.catalog import Table
from nestvec.milvus.connection import milvus_errors
from nestvec.milvus.lite import is_lite
from nestvec.terminal.progress import Advance
from nestvec_schemas.errors import IngestError, JournalMismatch, StoreRefused

_PLAN_ID_BYTES = 8

REJECTS = "rejected.jsonl"

Progress = Callable[[str, int], AbstractContextManager[Advance]]
"""Shows the progress of a job of this title and this many rows."""


@dataclass
class BulkJob:
    """A job, and how far it is."""

    client: MilvusClient
    table: Table
    options: BulkOptions
    progress: Progress
    stop: Callable[[], bool] = lambda: False
    folder: OutputFolder = field(init=False)
    lite: bool = field(init=False)

    def __post_init__(self) -> None:
        self.folder = OutputFolder(self.options.folder)
        self.lite = is_lite(self.client)

    def run(self) -> BulkReport:
        """Embed what is not embedded yet, and import what is not imported yet: into Milvus Lite while later
        tasks are embedded, into a server after all of them.

        A record is written for each task after its files, so that a run that is killed anywhere repeats only
        the tasks that workers were in. Raises StoreInUse while another run has the folder, NestvecError.
        """
        started = time.monotonic()
        self._check_target()
        is_new = self.options.rows.restart or self.folder.read(PLAN) is None
        files = self._files(task_rows=self._task_rows if is_new else None)
        with self.folder.locked():
            report = self._run(files)
        report.seconds["total"] = time.monotonic() - started
        return report

    def dry_run(self) -> tuple[list[InputFile], int]:
        """The files of a run, and how many tasks they have: those of the plan, if an earlier run made one.

        Nothing is written. Raises NestvecError for what a run would refuse before it embeds.
        """
        self._check_target()
        earlier = None if self.options.rows.restart else manifests.read_plan(self.folder)
        if earlier is None:
            files = planned = self._files(task_rows=self._task_rows, hashed=False)
        else:
            files, planned = self._files(task_rows=None), list(earlier.files)
            manifests.check_plan(earlier, self.options.identity(self.table), files)
        return files, sum(1 for _ in plan_tasks(planned, self._task_rows))

    def _files(self, *, task_rows: int | None, hashed: bool = True) -> list[InputFile]:
        options = self.options
        return input_files(options.source, options.rows, self.table, hashed=hashed, task_rows=task_rows)

    def _run(self, files: list[InputFile]) -> BulkReport:
        plan = self._plan(files)
        tasks = list(plan_tasks(list(plan.files), plan.identity.task_rows))
        done = manifests.finished_tasks(self.folder, plan.id)
        manifests.drop_damaged(self.folder, done, tasks)
        report = BulkReport(tasks=len(tasks), resumed=len(done))
        if self.options.imports:
            check_writable(self.client, self.table)
            self._check_collection(plan, list(done.values()))
        embed = self._embed_into_lite if self.lite and self.options.imports else self._embed
        try:
            embed(plan, tasks, done, report)
        except StopRequested:
            report.finished = False
        report.finished &= len(done) == len(tasks)
        report.repeated = max(0, manifests.count_begun(self.folder, plan.id) - len(done))
        self._summarise(list(done.values()), report)
        if report.finished:
            renamed = self.options.rows.columns.renamed
            report.warnings = manifests.unmapped_warnings(list(done.values()), renamed)
            self._collect(list(done.values()))
            if self.options.imports:
                try:
                    self._import(plan, list(done.values()), report)
                except StopRequested:
                    report.finished = False
        return report

    def _check_target(self) -> None:
        """Raise IngestError where the files could not be imported, or would be read as input."""
        check_scheme(self.options.folder)
        if is_within(self.options.folder, self.options.source):
            raise IngestError(
                "the folder of the job is in the source, whose files it would read as rows",
                value=self.options.folder,
                next_step="Name another folder with --to.",
            )
        if self.options.imports and not self.lite and not is_remote(self.options.folder):
            raise IngestError(
                "a Milvus server imports files from its own store, which --to does not name",
                value=self.options.folder,
                next_step="Name a folder in its bucket, --to s3://BUCKET/FOLDER, or omit the import with "
                "--no-import.",
            )

    def _plan(self, files: list[InputFile]) -> JobPlan:
        """The plan of an earlier run, if it is this job's, or a new one."""
        identity = self.options.identity(self.table)
        replaced = self._restart(identity, files) if self.options.rows.restart else None
        earlier = manifests.read_plan(self.folder)
        if earlier is not None:
            manifests.check_plan(earlier, identity, files)
            return earlier
        first_key, replaced_rows = None, 0
        if self._makes_keys and replaced is not None:
            first_key = replaced.first_key
            replaced_rows = max(replaced.replaced_rows, sum(file.rows for file in replaced.files))
        elif self._makes_keys:
            first_key = new_first_key()
        plan = JobPlan(
            identity=identity,
            files=tuple(files),
            first_key=first_key,
            replaced_rows=replaced_rows,
            id=secrets.token_hex(_PLAN_ID_BYTES),
        )
        self.folder.write(PLAN, plan.model_dump_json().encode())
        return plan

    @property
    def _task_rows(self) -> int:
        return self.options.max_task_rows(self.table)

    @property
    def _makes_keys(self) -> bool:
        return self.lite and self.table.primary.auto_id

    def _restart(self, identity: JobIdentity, files: list[InputFile]) -> JobPlan | None:
        """Remove what a run would continue from. Returns the plan whose rows, under keys of nestvec's, those
        of the new plan replace; None if there is none of this source and collection.

        Raises StoreRefused where imported rows could not be told from new ones.
        """
        try:
            earlier, is_damaged = manifests.read_plan(self.folder), False
        except JournalMismatch:
            earlier, is_damaged = None, True
        lost_keys = is_damaged and self._makes_keys
        if (not self.lite or lost_keys) and self._is_imported():
            raise StoreRefused(
                f"files of this job may be in the collection {self.table.name}, and an import would store "
                "their rows a second time",
                value=self.folder.address,
                next_step="Drop the collection, create it again and remove this folder; or name another "
                "folder with --to to import all rows again.",
            )
        is_same = (
            earlier is not None
            and (earlier.identity.target, earlier.identity.collection)
            == (identity.target, identity.collection)
            and (earlier.identity.source == identity.source or _overlap(earlier.files, files))
        )
        if (is_same or is_damaged) and self.lite and not self._makes_keys:
            keep_keys(self.folder, self.table.primary)
        elif earlier is not None:
            self.folder.remove(EARLIER_KEYS)
        self._remove_all()
        return earlier if is_same and earlier is not None and earlier.first_key is not None else None

    def _is_imported(self) -> bool:
        """Whether files of the job may have been imported into this very collection."""
        try:
            imports = manifests.read_imports(self.folder)
        except JournalMismatch:
            return True
        try:
            self._server_import().check_collection(imports)
        except JournalMismatch:
            return False
        return bool(imports)

    def _remove_all(self) -> None:
        if not self.folder.names(TASKS) and self.folder.read(PLAN) is None:
            return
        # First what a run would continue from.
        for name in (manifests.IMPORTS, REJECTS, STALE_KEYS):
            self.folder.remove(name)
        for folder in (TASKS, FILES, REJECTED, BEGUN):
            for name in self.folder.names(folder):
                self.folder.remove(f"{folder}/{name}")
        self.folder.remove(PLAN)

    def _embed(
        self, plan: JobPlan, tasks: list[Task], done: dict[int, TaskRecord], report: BulkReport
    ) -> None:
        if len(done) == len(tasks):
            return
        with self.progress("Embedding", sum(task.rows for task in tasks)) as advance:
            skip = getattr(advance, "skip", advance)
            skip(sum(record.task.rows for record in done.values()))
            with closing(self._run_tasks(plan, tasks, done, report)) as records:
                for record in records:
                    advance(record.task.rows if record is not None else 0)

    def _embed_into_lite(
        self, plan: JobPlan, tasks: list[Task], done: dict[int, TaskRecord], report: BulkReport
    ) -> None:
        """Embed, and insert the rows of finished tasks meanwhile. Raises NestvecError, StopRequested."""
        imports = manifests.read_imports(self.folder)
        self._check_files(list(done.values()), imports)
        doing = "Inserting" if len(done) == len(tasks) else "Embedding and inserting"
        with (
            self.progress(f"{doing} into {self.table.name}", sum(task.rows for task in tasks)) as advance,
            self._lite_target(plan).inserting(imports, advance) as insert,
        ):
            inserts = OrderedInserts(done, insert)
            try:
                with closing(self._run_tasks(plan, tasks, done, report, inserts.is_ready)) as records:
                    for record in records:
                        if record is None and inserts.is_ready():
                            inserts.step()
                # Ray has ended.
                while inserts.is_ready():
                    inserts.step()
            finally:
                report.imported, report.seconds["import"] = inserts.rows, inserts.seconds

    def _run_tasks(
        self,
        plan: JobPlan,
        tasks: list[Task],
        done: dict[int, TaskRecord],
        report: BulkReport,
        is_busy: Callable[[], bool] = lambda: False,
    ) -> Generator[TaskRecord | None]:
        """Run the tasks that are not done until the job is to stop, and note each; see ``run_tasks``."""
        waiting = [task for task in tasks if task.number not in done]
        if not waiting:
            return
        work = Work(self.table, self.folder.address, self.options.rows, self.options.engine, plan=plan.id)
        with (
            cluster(self.options.ray) as ray,
            closing(run_tasks(ray, work, waiting, self.options.ray, is_busy)) as records,
        ):
            for record in records:
                if record is not None:
                    done[record.task.number] = record
                    _add_to_report(record, report)
                yield record
                if self.stop():
                    return

    def _summarise(self, records: list[TaskRecord], report: BulkReport) -> None:
        records = sorted(records, key=lambda record: record.task.number)
        report.rows = sum(record.rows for record in records)
        report.rejected = sum(record.rejected for record in records)
        reasons = [reason for record in records for reason in record.reasons]
        report.reasons = tuple(reasons[:MAX_REASONS])

    def _collect(self, records: list[TaskRecord]) -> None:
        """One file of all rejected rows; and no file of a task that ran twice, but those that count."""
        rejected = sorted(f"{REJECTED}/{record.task.name}.jsonl" for record in records if record.rejected)
        if rejected:
            self.folder.write(REJECTS, b"".join(self.folder.read(name) or b"" for name in rejected))
        named = {file.name for record in records for file in record.files}
        for name in self.folder.names(FILES):
            if f"{FILES}/{name}" not in named:
                self.folder.remove(f"{FILES}/{name}")

    def _check_collection(self, plan: JobPlan, records: list[TaskRecord]) -> None:
        """Raise JournalMismatch if the collection is not that of earlier imports."""
        imports = manifests.read_imports(self.folder)
        if not imports:
            return
        if self.lite:
            self._lite_target(plan).check_collection(records, imports)
        else:
            self._server_import().check_collection(imports)

    def _patience(self) -> Patience:
        delivery = self.options.rows.delivery
        return Patience(delivery.retry_seconds, self.stop, delivery.waiting, delivery.clock)

    def _lite_target(self, plan: JobPlan) -> LiteTarget:
        return LiteTarget(
            self.client,
            self.table,
            self.folder,
            plan.first_key,
            self._patience(),
            replaced_rows=plan.replaced_rows,
        )

    def _server_import(self) -> ServerImport:
        with milvus_errors(f"describing {self.table.name}"):
            described = self.client.describe_collection(self.table.name)
        return ServerImport(
            self.client._get_connection(),
            self.table,
            self.folder,
            self._patience(),
            requests=self.options.rows.delivery.requests,
            collection_id=int(described.get("collection_id") or 0),
        )

    def _check_files(self, records: list[TaskRecord], imports: Mapping[str, ImportRecord]) -> None:
        """Raise JournalMismatch if a file that is to be imported is damaged; StopRequested."""
        if not records:
            return
        patience = self._patience()
        with self.progress("Checking the files", sum(record.rows for record in records)) as advance:

            def next_file(rows: int) -> None:
                advance(rows)
                patience.check()

            manifests.check_files(self.folder, records, imports, next_file)

    def _import(self, plan: JobPlan, records: list[TaskRecord], report: BulkReport) -> None:
        """Import into a server; or end the import into Milvus Lite, where all rows are inserted."""
        started = time.monotonic()
        if self.lite:
            read = sum(record.task.rows for record in records)
            is_limited = self.options.rows.reading.limit is not None
            # The source has more rows than were read: those of before stay.
            replaced = min(plan.replaced_rows, read) if is_limited else plan.replaced_rows
            self._lite_target(plan).remove_replaced(records, replaced)
            if not is_limited:
                report.stale = list_stale(self.client, self.table, self.folder, records)
        else:
            imports = manifests.read_imports(self.folder)
            self._check_files(records, imports)
            with self.progress(f"Importing into {self.table.name}", report.rows) as advance:
                allow_vectors(self.client, self.table)
                ordered = sorted(records, key=lambda record: record.task.number)
                files = [file for record in ordered for file in record.files]
                report.imported = self._server_import().run(files, imports, advance)
        # Nobody sees what was imported if a change has replaced the collection meanwhile.
        check_writable(self.client, self.table)
        report.seconds["import"] = report.seconds.get("import", 0.0) + time.monotonic() - started


def _overlap(before: tuple[InputFile, ...], now: list[InputFile]) -> bool:
    return not {file.address for file in before}.isdisjoint(file.address for file in now)


def _add_to_report(record: TaskRecord, report: BulkReport) -> None:
    """Note a task that this run finished."""
    for name, value in record.seconds.items():
        report.seconds[name] = report.seconds.get(name, 0.0) + value
    worker = report.workers.setdefault(record.worker, WorkerReport())
    worker.tokens += record.tokens
    worker.seconds += record.seconds.get("tokenize", 0.0) + record.seconds.get("engine", 0.0)
    if record.engine_bytes:
        beyond = record.peak_bytes - record.engine_bytes
        worker.bytes_beyond_engine = max(worker.bytes_beyond_engine, beyond)
