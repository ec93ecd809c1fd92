"""One task: rows, vectors, files, and the record that says that they are there."""

from __future__ import annotations

import errno
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from plugin.tests.bulk.conftest import FakeEmbedding, MakeWork, row, vector_of, write_rows

from nestvec.bulk import parquet
from nestvec.bulk.locations import OutputFolder
from nestvec.bulk.manifest import (
    BEGUN,
    FILES,
    REJECTED,
    TASKS,
    ImportRecord,
    TaskRecord,
    check_files,
    count_begun,
    drop_damaged,
    finished_tasks,
    read_imports,
    write_imports,
)
from nestvec.bulk.plan import Task, input_files, plan_tasks
from nestvec.bulk.task import TaskRunner
from nestvec.ingest.options import IngestOptions
from nestvec_schemas.errors import EngineError, IngestError, JournalMismatch


def task(path: Path, start: int = 0, rows: int = 10) -> Task:
    return Task(number=3, address=str(path), start=start, rows=rows, first=start)


def written_files(job: Path) -> list[Path]:
    """All files of a job, but those that say that a task was begun."""
    return [file for file in job.rglob("*") if file.is_file() and file.parent.name != BEGUN]


def test_a_task_writes_its_rows_with_all_vectors(tmp_path: Path, make_work: MakeWork) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [row(number) for number in range(30)])
    record = TaskRunner(make_work(), FakeEmbedding())(task(path, start=10, rows=15))
    (file,) = record.files
    content = (tmp_path / "job" / file.name).read_bytes()
    assert (record.rows, record.rejected, file.rows, file.size) == (15, 0, 15, len(content))
    assert file.sha256 == hashlib.sha256(content).hexdigest()
    written = pq.read_table(tmp_path / "job" / file.name)
    assert written.column("id").to_pylist() == list(range(10, 25))
    for dim in (8, 16):
        vectors = np.asarray(written.column(f"text_{dim}").to_pylist(), np.float32)
        np.testing.assert_array_equal(vectors[3], vector_of("text 13", dim))
    assert json.loads(written.column("$meta").to_pylist()[0]) == {"more": 10}
    group = pq.read_metadata(tmp_path / "job" / file.name).row_group(0)
    chunks = [group.column(number) for number in range(group.num_columns)]
    dictionaries = {chunk.path_in_schema: chunk.has_dictionary_page for chunk in chunks}
    assert [dictionaries[name] for name in ("year", "text", "text_16.list.element")] == [True, False, False]
    codecs = {chunk.path_in_schema: chunk.compression for chunk in chunks}
    assert {codecs["text"], codecs["tags.list.element"], codecs["$meta"]} == {"SNAPPY"}
    assert codecs["text_16.list.element"] == "UNCOMPRESSED"
    assert finished_tasks(OutputFolder(str(tmp_path / "job"))) == {3: record}


def test_rows_that_cannot_be_stored_or_embedded_are_rejected_with_their_place(
    tmp_path: Path, make_work: MakeWork
) -> None:
    rows = [row(0), row(1) | {"year": "soon"}, row(2) | {"text": "broken"}, row(3)]
    path = write_rows(tmp_path / "rows.jsonl", rows)
    record = TaskRunner(make_work(), FakeEmbedding())(task(path, rows=4))
    assert (record.rows, record.rejected) == (2, 2)
    lines = (tmp_path / "job" / REJECTED / "task-000003.jsonl").read_text().splitlines()
    rejected = [json.loads(line) for line in lines]
    assert [line["place"] for line in rejected] == ["rows.jsonl, line 2", "rows.jsonl, line 3"]
    assert "column text: the image is broken" in rejected[1]["reason"]
    written = pq.read_table(tmp_path / "job" / record.files[0].name)
    assert written.column("id").to_pylist() == [0, 3]
    vectors = np.asarray(written.column("text_8").to_pylist(), np.float32)
    np.testing.assert_array_equal(vectors[1], vector_of("text 3", 8))
    assert json.loads(written.column("text_words").to_pylist()[1]) == {"3": 0.25, "6": 0.5}


def test_files_are_bounded(tmp_path: Path, make_work: MakeWork, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nestvec.bulk.task.WINDOW", 8)
    path = write_rows(tmp_path / "rows.jsonl", [row(number) for number in range(40)])
    record = TaskRunner(make_work(max_file_bytes=1), FakeEmbedding())(task(path, rows=40))
    assert [file.rows for file in record.files] == [8] * 5
    ids = [
        number
        for file in record.files
        for number in pq.read_table(tmp_path / "job" / file.name).column("id").to_pylist()
    ]
    assert ids == list(range(40))


def test_a_task_that_fails_leaves_neither_a_record_nor_a_file(tmp_path: Path, make_work: MakeWork) -> None:
    class Failing(FakeEmbedding):
        def embed(self, texts, outputs):  # type: ignore[no-untyped-def]
            raise EngineError("the engine failed", next_step="Retry.")

    path = write_rows(tmp_path / "rows.jsonl", [row(0)])
    with pytest.raises(EngineError):
        TaskRunner(make_work(), Failing())(task(path))
    assert written_files(tmp_path / "job") == []


def test_a_batch_that_cannot_be_written_fails_its_task(tmp_path: Path, make_work: MakeWork) -> None:
    class OneTooFew(FakeEmbedding):
        def embed(self, texts, outputs):  # type: ignore[no-untyped-def]
            embedded = super().embed(texts, outputs)
            embedded.columns = {name: values[:-1] for name, values in embedded.columns.items()}
            return embedded

    path = write_rows(tmp_path / "rows.jsonl", [row(number) for number in range(10)])
    with pytest.raises(ValueError, match="same length"):
        TaskRunner(make_work(), OneTooFew())(task(path))
    job = tmp_path / "job"
    assert not (job / "tasks").exists()
    assert written_files(job) == []


def test_a_file_that_lost_rows_since_the_plan_is_an_error(tmp_path: Path, make_work: MakeWork) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [row(number) for number in range(5)])
    with pytest.raises(JournalMismatch, match=r"fewer rows.*rows\.jsonl: 3 of 4 rows after row 2"):
        TaskRunner(make_work(), FakeEmbedding())(task(path, start=2, rows=4))
    assert written_files(tmp_path / "job") == []


def test_a_task_runs_again_if_its_file_is_cut_off_or_gone(tmp_path: Path, make_work: MakeWork) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [row(number) for number in range(12)])
    tasks = list(plan_tasks(input_files(str(path), IngestOptions("a.db")), 4))
    runner = TaskRunner(make_work(), FakeEmbedding())
    files = [tmp_path / "job" / runner(each).files[0].name for each in tasks]
    folder = OutputFolder(str(tmp_path / "job"))
    files[0].write_bytes(files[0].read_bytes()[:-1])
    files[2].unlink()
    names = [f"{FILES}/{file.name}" for file in files]
    write_imports(folder, {name: ImportRecord(file=name, state="done") for name in names})
    records = finished_tasks(folder)
    drop_damaged(folder, records, tasks)
    assert sorted(records) == [0, 1, 2]
    write_imports(folder, {})
    drop_damaged(folder, records, tasks)
    assert list(records) == list(finished_tasks(folder)) == [1]
    assert [runner(each).files[0].name for each in tasks] == names
    assert count_begun(folder, "") == 5


def test_a_task_of_which_a_part_is_imported_is_not_repeated(
    tmp_path: Path, make_work: MakeWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nestvec.bulk.task.WINDOW", 2)
    path = write_rows(tmp_path / "rows.jsonl", [row(number) for number in range(4)])
    tasks = list(plan_tasks(input_files(str(path), IngestOptions("a.db")), 4))
    first, second = TaskRunner(make_work(max_file_bytes=1), FakeEmbedding())(tasks[0]).files
    folder = OutputFolder(str(tmp_path / "job"))
    write_imports(folder, {first.name: ImportRecord(file=first.name, state="done")})
    folder.remove(second.name)
    with pytest.raises(JournalMismatch, match="gone or cut off"):
        drop_damaged(folder, finished_tasks(folder), tasks)


def test_a_task_that_is_done_is_not_run_again(tmp_path: Path, make_work: MakeWork) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [row(number) for number in range(5)])
    first = TaskRunner(make_work(), FakeEmbedding())(task(path, rows=5))
    embedding = FakeEmbedding()
    second = TaskRunner(make_work(), embedding)(task(path, rows=5))
    assert (first, embedding.calls) == (second, [])
    assert count_begun(OutputFolder(str(tmp_path / "job")), "") == 1


def test_a_task_that_runs_twice_leaves_what_the_last_record_names(
    tmp_path: Path, make_work: MakeWork
) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [row(number) for number in range(5)])
    first = TaskRunner(make_work(), FakeEmbedding())(task(path, rows=5))
    (tmp_path / "job" / TASKS / "task-000003.json").unlink()
    second = TaskRunner(make_work(), FakeEmbedding())(task(path, rows=5))
    assert first.files == second.files
    assert len(list((tmp_path / "job" / FILES).iterdir())) == 1
    data = (tmp_path / "job" / TASKS / "task-000003.json").read_bytes()
    assert TaskRecord.model_validate_json(data).files == second.files


def test_a_file_whose_content_changed_is_not_imported(tmp_path: Path, make_work: MakeWork) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [row(number) for number in range(8)])
    tasks = list(plan_tasks(input_files(str(path), IngestOptions("a.db")), 4))
    records = [TaskRunner(make_work(), FakeEmbedding())(each) for each in tasks]
    folder = OutputFolder(str(tmp_path / "job"))
    checked: list[int] = []
    check_files(folder, records, read_imports(folder), checked.append)
    assert checked == [4, 4]
    (file,) = records[1].files
    written = tmp_path / "job" / file.name
    content = bytearray(written.read_bytes())
    content[len(content) // 2] ^= 1
    written.write_bytes(content)
    with pytest.raises(JournalMismatch, match=r"task-000001-0-\w+\.parquet .*SHA-256.*Remove this file"):
        check_files(folder, records, read_imports(folder), checked.append)
    # What is imported is not read again.
    write_imports(folder, {file.name: ImportRecord(file=file.name, state="done")})
    check_files(folder, records, read_imports(folder), checked.append)
    written.unlink()
    check_files(folder, records, read_imports(folder), checked.append)


def test_a_disk_that_is_full_fails_a_task(
    tmp_path: Path, make_work: MakeWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(self: Any, data: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(parquet._HashedFile, "write", write)
    path = write_rows(tmp_path / "rows.jsonl", [row(number) for number in range(10)])
    with pytest.raises(IngestError, match=r"there is no space left.*Free space there"):
        TaskRunner(make_work(), FakeEmbedding())(task(path))
    assert written_files(tmp_path / "job") == []
