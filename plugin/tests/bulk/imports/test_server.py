"""Imports into a server: each file once, whatever is interrupted."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from plugin.tests.bulk.conftest import make_table
from pymilvus import MilvusException

from nestvec.bulk.imports.server import ServerImport
from nestvec.bulk.locations import OutputFolder
from nestvec.bulk.manifest import OutputFile, read_imports
from nestvec.ingest.write.patience import Patience
from nestvec_schemas.errors import JournalMismatch, NestvecError, StoreRefused

FILES = [OutputFile(name=f"files/{n}.parquet", rows=n + 1, size=1, sha256="") for n in range(6)]


@dataclass
class FakeJob:
    task_id: int
    infos: dict[str, str]
    state: int = 2
    polls: int = 0

    @property
    def failed_reason(self) -> str:
        return "no such file"


@dataclass
class FakeMilvus:
    """Imports that are complete at the second look."""

    jobs: dict[int, FakeJob] = field(default_factory=dict)
    lost_answers: int = 0
    refuses: frozenset[str] = frozenset()
    most_running: int = 0

    def do_bulk_insert(
        self, collection_name: str, partition_name: str, files: list[str], *, retry_times: int
    ) -> int:
        assert retry_times == 0
        job = FakeJob(100 + len(self.jobs), {"files": ",".join(files)})
        self.jobs[job.task_id] = job
        if self.lost_answers:
            self.lost_answers -= 1
            raise MilvusException(message="connection lost")
        self.most_running = max(self.most_running, sum(job.state == 2 for job in self.jobs.values()))
        return job.task_id

    def get_bulk_insert_state(self, task_id: int) -> FakeJob:
        job = self.jobs[task_id]
        job.polls += 1
        if job.polls > 1:
            job.state = 1 if Path(job.infos["files"]).name in self.refuses else 6
        return job

    def list_bulk_insert_tasks(self, limit: int, collection_name: str) -> list[FakeJob]:
        return list(self.jobs.values())

    @property
    def imported(self) -> list[str]:
        return sorted(Path(job.infos["files"]).name for job in self.jobs.values() if job.state == 6)


def importing(milvus: FakeMilvus, folder: Path, collection_id: int) -> ServerImport:
    return ServerImport(
        milvus,
        make_table(),
        OutputFolder(str(folder)),
        Patience(0),
        requests=2,
        collection_id=collection_id,
        sleep=lambda seconds: None,
    )


def run(milvus: FakeMilvus, folder: Path, collection_id: int = 0) -> int:
    imports = read_imports(OutputFolder(str(folder)))
    return importing(milvus, folder, collection_id).run(FILES, imports, lambda rows: None)


ALL = [f"{n}.parquet" for n in range(6)]


def test_every_file_is_imported_once(tmp_path: Path) -> None:
    milvus = FakeMilvus()
    assert run(milvus, tmp_path) == 21
    assert milvus.imported == ALL
    assert milvus.most_running == 2
    assert run(milvus, tmp_path) == 0
    assert len(milvus.jobs) == 6


def test_an_import_whose_answer_was_lost_is_found_again(tmp_path: Path) -> None:
    milvus = FakeMilvus(lost_answers=1)
    with pytest.raises(NestvecError):
        run(milvus, tmp_path)
    run(milvus, tmp_path)
    assert milvus.imported == ALL
    assert len(milvus.jobs) == 6


def test_a_failed_import_is_an_error_and_is_repeated_by_the_next_run(tmp_path: Path) -> None:
    milvus = FakeMilvus(refuses=frozenset({"3.parquet"}))
    with pytest.raises(StoreRefused, match=r"could not import files/3\.parquet: no such file"):
        run(milvus, tmp_path)
    milvus.refuses = frozenset()
    run(milvus, tmp_path)
    assert milvus.imported == ALL


def test_a_collection_that_was_created_again_is_refused(tmp_path: Path) -> None:
    milvus = FakeMilvus()
    run(milvus, tmp_path, collection_id=7)
    run(milvus, tmp_path, collection_id=7)
    for _ in range(2):
        with pytest.raises(
            JournalMismatch, match=r"docs is not the one .*: id 8, at the import 7.*--restart"
        ):
            run(milvus, tmp_path, collection_id=8)
    assert len(milvus.jobs) == 6
    (tmp_path / "imports.json").unlink()
    assert run(milvus, tmp_path, collection_id=8) == 21
