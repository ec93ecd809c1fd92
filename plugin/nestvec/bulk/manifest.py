"""The manifest of a bulk job: its plan, and a record of each task that is finished."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from pydantic import Field, ValidationError

from nestvec.bulk.locations import OutputFolder
from nestvec.bulk.plan import InputFile, JobRecord, Task
from nestvec.ingest.check.mapped_columns import missing_warnings
from nestvec.ingest.target import RecordedTarget
from nestvec_schemas.errors import JournalMismatch

PLAN: Final = "plan.json"
IMPORTS: Final = "imports.json"
TASKS: Final = "tasks"
FILES: Final = "files"
REJECTED: Final = "rejected"

BEGUN: Final = "begun"
"""Has an empty file for each time that a task was begun."""


class JobIdentity(JobRecord):
    """What a job is about."""

    source: str

    reading: str
    """How its files are read; empty if by the defaults."""

    target: RecordedTarget
    collection: str

    columns: tuple[str, ...]
    """The collection's columns with their types, and the vectors with what makes them."""

    task_rows: int


class JobPlan(JobRecord):
    """What a job does."""

    identity: JobIdentity
    files: tuple[InputFile, ...]

    first_key: int | None = None
    """The key of the first row, if nestvec makes the keys that Milvus Lite would generate."""

    replaced_rows: int = 0
    """How many keys from there earlier plans used, whose rows may be in the collection."""

    created: float = Field(default_factory=time.time)

    id: str = ""
    """Distinguishes it from other plans of the same folder; empty in plans of before there was one."""


class OutputFile(JobRecord):
    """A file for Milvus's import."""

    name: str
    rows: int
    size: int
    sha256: str


class TaskRecord(JobRecord):
    """A finished task. It is written after its files, which it names."""

    task: Task
    files: tuple[OutputFile, ...]

    rows: int
    """Rows in the files."""

    rejected: int
    reasons: tuple[str, ...] = ()
    """The first few rejections."""

    tokens: int = 0
    seconds: dict[str, float] = Field(default_factory=dict)
    """Time in read, tokenize, engine and write; and ``cpu``, that of all of the worker's threads."""

    worker: str = ""
    """Which process did it."""

    engine_bytes: int = 0
    """Memory of the worker once it had loaded the engine."""

    peak_bytes: int = 0
    """Its largest memory so far."""

    plan: str = ""
    """The id of the plan that it belongs to."""

    unmapped: tuple[str, ...] = ()
    """Columns of ``--map`` that none of its rows has, of a format without a header."""

    columns: tuple[str, ...] = ()
    """Columns that its rows have, if there are such."""


class ImportRecord(JobRecord):
    """What became of a file's import."""

    file: str

    state: str
    """``started`` or ``done``."""

    job: int | None = None
    """Milvus's id of the import; None for Milvus Lite, and until it is known."""

    rows: int = 0
    """Rows that are in the collection, of a file whose rows are inserted in order."""

    collection: int = 0
    """Milvus's id of the collection that the import goes to; 0 for Milvus Lite, which gives none."""


class Imports(JobRecord):
    """The imports of a job."""

    files: dict[str, ImportRecord] = Field(default_factory=dict)


def read_plan(folder: OutputFolder) -> JobPlan | None:
    """The plan of an earlier run; None if there is none. Raises JournalMismatch if it is damaged."""
    data = folder.read(PLAN)
    if data is None:
        return None
    try:
        return JobPlan.model_validate_json(data)
    except ValidationError as error:
        raise _damaged(folder, PLAN, error) from error


def check_plan(earlier: JobPlan, identity: JobIdentity, files: list[InputFile]) -> None:
    """Raise JournalMismatch if an earlier run's plan is that of another job, or its input has changed."""
    old, new = earlier.identity.model_dump(), identity.model_dump()
    changed = next((name for name in _CHANGES if old[name] != new[name]), None)
    if changed is not None:
        raise _mismatch(_CHANGES[changed], f"{old[changed]}, now {new[changed]}")
    old_files = {file.address: file for file in earlier.files}
    present = {file.address: file for file in files}
    for address in old_files.keys() & present.keys():
        rows, now_rows = old_files[address].rows, present[address].rows
        if rows != now_rows and old_files[address].sha256 == present[address].sha256 != "":
            # The same content.
            raise _mismatch(
                "the number of rows to read (--limit) has changed",
                f"{rows} rows of {address}, now {now_rows}",
            )
    for address in sorted(old_files.keys() | present.keys()):
        before, now = old_files.get(address), present.get(address)
        if before is None or now is None or not _is_same(before, now):
            raise _mismatch("its input files have changed", address)


def _is_same(before: InputFile, now: InputFile) -> bool:
    """Whether a file has the rows of before, whenever it was written."""
    if (before.size, before.head_sha256, before.rows) != (now.size, now.head_sha256, now.rows):
        return False
    return not before.sha256 or before.sha256 == now.sha256


_CHANGES: Final = {
    "source": "the source has changed",
    "target": "--uri has changed",
    "collection": "the collection has changed",
    "columns": "the collection's columns or its encoders have changed",
    "reading": "the options for reading it have changed",
    "task_rows": "--task-rows has changed",
}


def _mismatch(what: str, value: str) -> JournalMismatch:
    return JournalMismatch(
        f"a bulk job was begun in this folder, and {what} since",
        value=value[:500],
        next_step="Restore it to continue, name another folder with --to, or begin again with --restart.",
    )


def record_name(task: Task) -> str:
    """Where the record of a task is."""
    return f"{TASKS}/{task.name}.json"


def read_record(folder: OutputFolder, name: str) -> TaskRecord | None:
    """The record of a finished task; None if there is none. Raises JournalMismatch if it is damaged."""
    data = folder.read(name)
    if data is None:
        return None
    try:
        return TaskRecord.model_validate_json(data)
    except ValidationError as error:
        raise _damaged(folder, name, error) from error


def finished_tasks(folder: OutputFolder, plan: str = "") -> dict[int, TaskRecord]:
    """The records of a plan's finished tasks, by number. Raises JournalMismatch for one that is damaged."""
    records: dict[int, TaskRecord] = {}
    for name in folder.names(TASKS):
        if not name.endswith(".json") or name.startswith("."):
            continue
        record = read_record(folder, f"{TASKS}/{name}")
        if record is not None and record.plan == plan:
            records[record.task.number] = record
    return records


def unmapped_warnings(records: Sequence[TaskRecord], renamed: Mapping[str, str]) -> tuple[str, ...]:
    """A sentence for each column of ``renamed`` that no row of the tasks had."""
    missing = {
        name: target for name, target in renamed.items() if all(name in record.unmapped for record in records)
    }
    rows = sum(record.rows + record.rejected for record in records)
    names = dict.fromkeys(name for record in records for name in record.columns)
    return missing_warnings(missing, rows, tuple(names))


def note_begun(folder: OutputFolder, task: Task, plan: str) -> None:
    """Note that a task is begun, perhaps again."""
    folder.write(f"{BEGUN}/{task.name}-{plan}-{secrets.token_hex(4)}", b"")


def count_begun(folder: OutputFolder, plan: str) -> int:
    """How many times tasks of a plan were begun."""
    return sum(not name.startswith(".") and name.split("-")[2] == plan for name in folder.names(BEGUN))


def drop_damaged(folder: OutputFolder, records: dict[int, TaskRecord], tasks: Sequence[Task]) -> None:
    """Remove the records of tasks that have to run again: those whose files are gone or cut off.

    Raises JournalMismatch if a part of such a task is imported already.
    """
    sizes, imports = folder.sizes(FILES), read_imports(folder)
    for number, record in list(records.items()):
        # What is imported is not read again, and may be removed.
        imported = [file for file in record.files if file.name in imports]
        damaged = [
            file.name
            for file in record.files
            if file.name not in imports and sizes.get(file.name.removeprefix(f"{FILES}/")) != file.size
        ]
        if damaged and imported:
            raise _damaged(
                folder, damaged[0], "it is gone or cut off, after others of its task were imported"
            )
        if damaged or number >= len(tasks) or record.task != tasks[number]:
            del records[number]
            folder.remove(record_name(record.task))


def check_files(
    folder: OutputFolder,
    records: Sequence[TaskRecord],
    imports: Mapping[str, ImportRecord],
    advance: Callable[[int], None],
) -> None:
    """Raise JournalMismatch if a file that is yet to be imported has another content than was written.

    Each file is read once; ``advance`` is called with its rows.
    """
    for file in (file for record in records for file in record.files):
        progress = imports.get(file.name)
        requested = progress is not None and (progress.state == "done" or progress.job is not None)
        if not requested and folder.digest(file.name) != file.sha256:
            raise JournalMismatch(
                f"{file.name} of the bulk job is damaged: its SHA-256 is not that of what was written",
                value=folder.address,
                next_step="Remove this file and run the command again, which repeats its task; or begin "
                "again with --restart.",
            )
        advance(file.rows)


def read_imports(folder: OutputFolder) -> dict[str, ImportRecord]:
    """What became of the imports of earlier runs, by file. Raises JournalMismatch if it is damaged."""
    data = folder.read(IMPORTS)
    try:
        return dict(Imports.model_validate_json(data).files) if data is not None else {}
    except ValidationError as error:
        raise _damaged(folder, IMPORTS, error) from error


def write_imports(folder: OutputFolder, imports: dict[str, ImportRecord]) -> None:
    """Replace the record of imports."""
    folder.write(IMPORTS, Imports(files=imports).model_dump_json().encode())


def other_collection(collection: str, value: str) -> JournalMismatch:
    """The error for a collection that is not the one that earlier runs imported into."""
    return JournalMismatch(
        f"the collection {collection} is not the one that this job's files were imported into: it was "
        "dropped and created again, or emptied",
        value=value[:500],
        next_step=f"Begin again with --restart; or remove {IMPORTS} from the job's folder, and all files are "
        "imported again.",
    )


def _damaged(folder: OutputFolder, name: str, error: ValidationError | str) -> JournalMismatch:
    reason = error if isinstance(error, str) else error.errors()[0]["msg"]
    return JournalMismatch(
        f"{name} of the bulk job is damaged",
        value=f"{folder.address}: {reason}",
        next_step="Begin again with --restart.",
    )
